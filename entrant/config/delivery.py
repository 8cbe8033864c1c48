"""Where a client secret or a certificate is delivered to: `deliver` in the vocabulary."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

from pydantic import Field, PlainSerializer, PlainValidator, StringConstraints, WithJsonSchema

from entrant.facts.scopes import Scope

from .broken import BROKEN
from .known import Known, known_of, scope_of
from .model import Model
from .problems import Refused, shorten
from .source import expected, text_of
from .values import Shaped, Text, parse_url

_VAULT_TYPE: Final = "microsoft.keyvault/vaults"
_Repository = Annotated[
    str, Shaped(r"[A-Za-z0-9][A-Za-z0-9_-]*/(?!.*\.git$)[A-Za-z0-9._-]+", "owner/name, without the rest of an address")
]
_GitHubName = Annotated[
    str,
    Shaped(
        r"(?!GITHUB_)[A-Z_][A-Z0-9_]*",
        "the name of a secret as GitHub shows it: upper-case letters, digits and _, no digit first, not GITHUB_ in front",
    ),
]
_Variable = Annotated[str, Shaped(r"[A-Za-z_][A-Za-z0-9_]{0,254}", "the name of a variable: letters, digits and _")]
_DevOpsVariable = Annotated[
    str, Shaped(r"[A-Za-z_][A-Za-z0-9_.]{0,254}", "the name of a variable: letters, digits, _ and .")
]
_Path = Annotated[str, Shaped(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)+", "group/project")]
_Namespace = Annotated[
    str, Shaped(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a namespace: lower-case letters, digits and -")
]
_KubernetesName = Annotated[
    str,
    Shaped(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", "the name of a Secret: lower-case letters, digits, - and ."),
]
_VaultSecret = Annotated[
    str, Shaped(r"[0-9A-Za-z-]{1,127}", "the name of a secret in Key Vault: at most 127 letters, digits and -")
]
_Words = Annotated[Text, StringConstraints(max_length=200)]


def _vault(value: Any, known: Known) -> Scope:
    scope = scope_of(text_of(value), known)
    # Where its name's own entry is wrong, that is reported there.
    if scope is not BROKEN and scope.resource_type.lower() != _VAULT_TYPE:
        raise Refused(
            "expected a Key Vault: /subscriptions/…/providers/Microsoft.KeyVault/vaults/NAME, or its name in `scopes`"
        )
    return scope


_Vault = Annotated[
    Scope,
    PlainValidator(lambda value, info: _vault(value, known_of(info))),
    PlainSerializer(lambda scope: scope.id),
    WithJsonSchema({"type": "string"}),
]


def _organization(value: Any) -> str:
    """An organization of Azure DevOps by name, or the address of a collection of Azure DevOps Server."""
    text = text_of(value)
    if "://" in text:
        return parse_url(text, "https", "http").rstrip("/")
    if not text or not all(letter.isalnum() or letter in "-_" for letter in text):
        raise Refused(f'expected the organization\'s name alone, such as contoso; found "{shorten(text)}"')
    return text


_Organization = Annotated[str, PlainValidator(_organization), WithJsonSchema({"type": "string"})]


def _command(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise Refused(expected("a list: the program, then its arguments", value))
    words = tuple(text_of(word) for word in value)
    if not words[0].strip() or any("\0" in word for word in words):
        raise Refused("the first entry is the program's name or path, and no entry has a NUL character")
    return words


_Command = Annotated[
    tuple[str, ...],
    PlainValidator(_command),
    WithJsonSchema({"type": "array", "minItems": 1, "items": {"type": "string"}}),
]


class KeyVaultDelivery(Model):
    """A secret in Azure Key Vault, which the deployment itself writes: each rotation is a new version of it.

    A version expires with the client secret or certificate that it holds; the one before it stays as it is, so that who asks for it
    by its version can use it for the overlap. Its tags say which app and which client secret or certificate it is. Who may read it
    is decided by roles at the vault or at the secret: grants like any other.
    """

    vault: _Vault
    """The vault: one of `scopes`, or its full id."""
    name: _VaultSecret
    """The secret's name in the vault. It stays there, with its versions, when the delivery or the app is removed."""
    adopt: Annotated[bool, Field(strict=True)] = False
    """`true`: the vault has a secret of this name already, and it gets a new version. Default false: that is refused."""

    @property
    def vault_name(self) -> str:
        """The vault's own name."""
        return self.vault.name


class GitHubDelivery(Model):
    """A secret of GitHub Actions. A variable beside it, the name followed by `_KEY_ID`, says which secret it is.

    `entrant deliver` writes it with the token in GH_TOKEN or GITHUB_TOKEN, which needs the permissions *Secrets* and *Variables*
    (for an environment: *Environments*), read and write; a workflow's own token has neither.
    """

    repository: _Repository
    """`owner/name`."""
    environment: Annotated[str, Shaped(r"[^\s*]+( +[^\s*]+)*", "the environment's name alone")] | None = None
    """The GitHub environment that it belongs to, which must exist. Default: none, and every job of the repository has it."""
    name: _GitHubName
    """The secret's name."""


class AzureDevOpsDelivery(Model):
    """A secret variable of a variable group. A variable beside it, the name followed by `_KEY_ID`, says which secret it is.

    `entrant deliver` writes it with the token in AZURE_DEVOPS_EXT_PAT (scope *Variable Groups: read, create and manage*), or with
    SYSTEM_ACCESSTOKEN of a job whose build service is an administrator of the group.
    """

    organization: _Organization
    """The organization's name, or the address of a collection of Azure DevOps Server."""
    project: _Words
    """The project."""
    group: _Words
    """The variable group, which must exist and not be linked to a Key Vault."""
    name: _DevOpsVariable
    """The variable's name."""


class GitLabDelivery(Model):
    """A CI/CD variable of a GitLab project. Its description says which secret it is.

    `entrant deliver` writes it with the token in GITLAB_TOKEN (scope `api`, role Maintainer) at GITLAB_HOST, or at the GitLab whose
    job runs it.
    """

    project: _Path
    """`group/project`."""
    environment: Annotated[Text, StringConstraints(max_length=255)] = "*"
    """The environments that have it, as GitLab writes them: `prod`, `review/*`. Default `*`, all."""
    name: _Variable
    """The variable's name."""
    protected: Annotated[bool, Field(strict=True)] = True
    """Whether only jobs of protected branches and tags have it. Default true. It is always masked in job logs."""


class KubernetesDelivery(Model):
    """A Kubernetes Secret with AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET, for a container's `envFrom`.

    For a certificate it is one of the type `kubernetes.io/tls`: in place of the client secret it has tls.crt, tls.key and both in
    client.pem. `entrant deliver` applies it on the server, with kubectl, as the field manager `entrant`: other keys of the Secret
    stay. An annotation says which client secret or certificate it is.
    """

    context: _Words | None = None
    """The context of the kubeconfig. Default: the current one."""
    namespace: _Namespace
    """The namespace, which must exist."""
    name: _KubernetesName
    """The Secret's name."""


class CommandDelivery(Model):
    """A program of your own, run in the project's folder; it gets the secret, or a certificate with its private key (PEM), on
    standard input, and nothing else there.

    ENTRANT_APP, ENTRANT_CLIENT_ID, ENTRANT_TENANT_ID, ENTRANT_KEY_ID (which one it is), ENTRANT_ENDS (RFC 3339) and, for a
    certificate, ENTRANT_CERTIFICATE (its key in the file) are in its environment. Exit code 0 means that it is delivered.
    """

    command: _Command
    """The program and its arguments; no shell is between."""
    holds: _Command | None = None
    """A program that prints the key id of the one that is there now (nothing: none). Without it nobody can tell, and `command` is
    run in every delivery until `rotate` has noted that this one was delivered."""


SINKS: Final = ("key_vault", "github", "azure_devops", "gitlab", "kubernetes", "exec")
"""The kinds of places, in the order of the vocabulary."""
PLACE: Final = "a place that it is delivered to"
Place = KeyVaultDelivery | GitHubDelivery | AzureDevOpsDelivery | GitLabDelivery | KubernetesDelivery | CommandDelivery


class Delivery(Model):
    """A place that a client secret is delivered to: one of these."""

    key_vault: KeyVaultDelivery | None = None
    """Azure Key Vault, written by the deployment."""
    github: GitHubDelivery | None = None
    """GitHub Actions, written by `entrant deliver`, as all that follow."""
    azure_devops: AzureDevOpsDelivery | None = None
    """A variable group of Azure DevOps."""
    gitlab: GitLabDelivery | None = None
    """A CI/CD variable of GitLab."""
    kubernetes: KubernetesDelivery | None = None
    """A Kubernetes Secret."""
    exec: CommandDelivery | None = None
    """A program of your own."""

    def together(self) -> Iterator[Refused]:
        """It is one place."""
        sinks = [name for name in SINKS if getattr(self, name) is not None]
        if len(sinks) != 1:
            found = "none" if not sinks else " and ".join(sinks)
            yield Refused(f"a delivery has one of {', '.join(SINKS)}; found {found}")

    @property
    def kind(self) -> str:
        """Which of `SINKS` it is."""
        return next(name for name in SINKS if getattr(self, name) is not None)

    @property
    def place(self) -> Place:
        """The place itself."""
        found: Place = getattr(self, self.kind)
        return found

    @property
    def pushed(self) -> bool:
        """Whether `entrant deliver` writes it; else the deployment does."""
        return self.key_vault is None

    @property
    def where(self) -> str:
        """The place in words that tell it from any other: `github contoso/obs prod LOG_READER_SECRET`."""
        place = self.place
        if isinstance(place, KeyVaultDelivery):
            return f"key_vault {place.vault_name} {place.name}"
        if isinstance(place, CommandDelivery):
            return f"exec {' '.join(place.command)}"
        parts = [getattr(place, name) for name in type(place).model_fields if name != "protected"]
        return " ".join((self.kind, *(f"{part}" for part in parts if part is not None and part != "*")))

    @property
    def how(self) -> str:
        """What there is to say besides where it is."""
        place = self.place
        if isinstance(place, GitLabDelivery):
            return "for protected branches and tags" if place.protected else "for all branches and tags"
        if isinstance(place, KeyVaultDelivery):
            return f"a secret of {place.vault.id}" + (" that exists already" if place.adopt else "")
        if isinstance(place, CommandDelivery) and place.holds:
            return f"{PLACE}, and tells by {' '.join(place.holds)} what it holds"
        return PLACE
