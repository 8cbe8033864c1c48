"""Federated credentials in the vocabulary: whose tokens stand in for a secret, by preset or in the general form."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, PlainValidator, StringConstraints, WithJsonSchema

from entrant.facts import limits

from .model import Model
from .problems import Refused, shorten
from .source import expected, text_of
from .values import Guid, HttpsUrl, OnRemove, RenamedFrom, Shaped, Text, parse_url

_SLUG: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_Enterprise = Annotated[str, Shaped(_SLUG, "the enterprise's slug alone")]
_Organization = Annotated[str, Shaped(_SLUG, "the organization's name alone, such as contoso")]
_Workspace = Annotated[str, Shaped(_SLUG, "the workspace's name alone")]
_Project = Annotated[str, Shaped(_SLUG, "the project's name alone")]
_Stack = Annotated[str, Shaped(_SLUG, "the stack's name alone, without organization and project")]
_EscEnvironment = Annotated[str, Shaped(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?", "project/name")]
_Namespace = Annotated[
    str, Shaped(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a namespace: lower-case letters, digits and -")
]
_ServiceAccount = Annotated[
    str,
    Shaped(
        r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?",
        "the service account's name alone, its namespace stands in `namespace`: lower-case letters, digits, - and .",
    ),
]
_Words = Annotated[str, Shaped(r"[^\s/:]+( +[^\s/:]+)*", "a name without slashes and colons")]
_Path = Annotated[str, Shaped(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)+", "group/project")]
_Repository = Annotated[
    str, Shaped(r"[A-Za-z0-9][A-Za-z0-9_-]*/(?!.*\.git$)[A-Za-z0-9._-]+", "owner/name, without the rest of an address")
]
_Environment = Annotated[
    str,
    Shaped(r"[^\s*]+( +[^\s*]+)*", "the environment's name alone, which is no pattern (a pattern goes into `claims`)"),
]
_Name = Annotated[str, Shaped(limits.FEDERATED_NAME, "3 to 120 letters, digits, - and _, a letter or digit first")]
_REF: Final = r"(?!.*(\.\.|//|@\{|/\.|\.lock(/|$)))[^\s/.~^:?*\[\\\x00-\x1f][^\s~^:?*\[\\\x00-\x1f]*(?<![/.])"
"""A name that git takes for a branch or a tag. Source: git-check-ref-format."""


def _ref(value: Any, prefix: str, what: str) -> str:
    text = text_of(value)
    if text.startswith("refs/"):
        short = text.removeprefix(prefix)
        remedy = f'write "{shorten(short)}"' if short != text else f"a {what}'s begins with {prefix}"
        raise Refused(
            f'expected the {what}\'s name alone, the subject has {prefix} already; found "{shorten(text)}"; {remedy}'
        )
    if not re.fullmatch(_REF, text):
        remedy = "; a pattern goes into `claims`, with `issuer`" if "*" in text else ""
        raise Refused(f'expected a {what}\'s name as git takes it; found "{shorten(text)}"{remedy}')
    return text


_Branch = Annotated[
    str, PlainValidator(lambda value: _ref(value, "refs/heads/", "branch")), WithJsonSchema({"type": "string"})
]
_Tag = Annotated[
    str, PlainValidator(lambda value: _ref(value, "refs/tags/", "tag")), WithJsonSchema({"type": "string"})
]


def _issuer(value: Any) -> str:
    """The issuer of a token: a URL as tokens have it."""
    url = parse_url(value, "https")
    if "/.well-known/" in url:
        raise Refused(
            f'an issuer is the part before the discovery document: write "{shorten(url.split("/.well-known/")[0])}"'
        )
    if "?" in url or "#" in url:
        raise Refused("an issuer has neither query nor fragment")
    return url


_Issuer = Annotated[str, PlainValidator(_issuer), WithJsonSchema({"type": "string", "pattern": "^https://"})]
_CLAIM: Final = r"claims\['[^']+'\]\s+(matches|eq)\s+'[^']*'"
_CLAIMS: Final = re.compile(rf"\s*{_CLAIM}(\s+and\s+{_CLAIM})*\s*", re.IGNORECASE)


def _claims(value: Any) -> str:
    """A claims-matching expression. Source: Microsoft Entra, "Flexible federated identity credentials"."""
    text = text_of(value)
    if not _CLAIMS.fullmatch(text):
        form = "claims['sub'] matches 'repo:contoso/obs:ref:refs/heads/*'"
        raise Refused(f"expected comparisons (`matches` or `eq`) joined by `and`, such as {form}")
    return text


_Claims = Annotated[str, PlainValidator(_claims), WithJsonSchema({"type": "string", "minLength": 1})]
Digits = Annotated[
    str,
    PlainValidator(lambda value: _digits(value)),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^[0-9]+$"}]}),
]


def _digits(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return str(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,20}", value):
        return value
    raise Refused(expected("a number such as 123456", value))


def _set(model: Model, *names: str) -> list[str]:
    """The names of the fields that say something."""
    return [name for name in names if getattr(model, name) is not None and getattr(model, name) is not False]


def _one_of(model: Model, *names: str) -> Iterator[Refused]:
    """A `Refused` unless exactly one field is set."""
    found = _set(model, *names)
    if len(found) != 1:
        listed = ", ".join(f"`{name}`" for name in names)
        yield Refused(f"give one of {listed}; found {'none' if not found else ' and '.join(found)}")


class GitHub(Model):
    """Workflows of GitHub Actions."""

    repository: _Repository
    """`owner/name`, spelt as GitHub spells it: upper and lower case count."""
    owner_id: Digits | None = None
    """The owner's numeric id. With `repository_id`, for repositories whose tokens carry immutable subjects: all made or
    renamed since 15 July 2026, and older ones that opted in. `gh api repos/OWNER/NAME --jq '.owner.id, .id'` tells both."""
    repository_id: Digits | None = None
    """The repository's numeric id; see `owner_id`."""
    environment: _Environment | None = None
    """Jobs of this GitHub environment, spelt as it is there."""
    branch: _Branch | None = None
    """Runs on this branch: its name alone, such as `main`."""
    tag: _Tag | None = None
    """Runs on this tag: its name alone, such as `v1`."""
    pull_request: Annotated[bool, Field(strict=True)] = False
    """`true`: runs for pull requests (never those from forks)."""
    enterprise: _Enterprise | None = None
    """Slug of a GitHub enterprise that has an issuer of its own."""

    def together(self) -> Iterator[Refused]:
        """One thing is trusted, and ids come in pairs."""
        yield from _one_of(self, "environment", "branch", "tag", "pull_request")
        if (self.owner_id is None) != (self.repository_id is None):
            yield Refused("`owner_id` and `repository_id` go together: immutable subjects carry both")

    def trust(self, cloud: str) -> "Trust":
        """What the tokens look like. Source: GitHub's "OpenID Connect reference"."""
        issuer = "https://token.actions.githubusercontent.com" + (f"/{self.enterprise}" if self.enterprise else "")
        owner, name = self.repository.split("/")
        if self.owner_id:
            owner, name = f"{owner}@{self.owner_id}", f"{name}@{self.repository_id}"
        ref = {"branch": "ref:refs/heads/", "tag": "ref:refs/tags/", "environment": "environment:"}
        [which] = _set(self, "environment", "branch", "tag", "pull_request")
        # A colon in an environment's name is encoded in the subject.
        what = "pull_request" if which == "pull_request" else ref[which] + getattr(self, which).replace(":", "%3A")
        return Trust(issuer, f"repo:{owner}/{name}:{what}", limits.EXCHANGE_AUDIENCES[cloud])


_VSTOKEN: Final = "https://vstoken.dev.azure.com/"


class AzureDevOps(Model):
    """A service connection of Azure Pipelines with workload identity federation.

    New connections have the Microsoft Entra issuer: copy `issuer` and `subject` from the connection's page. The form with
    `organization`, `project` and `service_connection` is for the Azure DevOps issuer, which public clouds retire on
    1 July 2027.
    """

    issuer: _Issuer | None = None
    """`https://login.microsoftonline.com/<tenant>/v2.0`, as the connection shows it."""
    subject: Text | None = None
    """`/eid1/…`, as the connection shows it."""
    organization_id: Guid | None = None
    """GUID of the organization."""
    organization: _Organization | None = None
    """Name of the organization."""
    project: _Words | None = None
    """Name of the project."""
    service_connection: _Words | None = None
    """Name of the service connection."""

    def together(self) -> Iterator[Refused]:
        """It has one of its two forms, complete."""
        old = len(_set(self, "organization_id", "organization", "project", "service_connection"))
        new = len(_set(self, "issuer", "subject"))
        if (old, new) not in ((4, 0), (0, 2)):
            alternative = "organization_id, organization, project and service_connection"
            yield Refused(f"give `issuer` and `subject` as the service connection shows them, or {alternative}")
        elif new and self.issuer is not None and self.subject is not None:
            begin = "sc://" if self.issuer.startswith(_VSTOKEN) else "/eid1/"
            if not self.subject.startswith(begin):
                message = f'subjects of this issuer begin with {begin}; found "{shorten(self.subject)}"'
                yield Refused(f"{message}: copy both as the service connection shows them", "subject")

    @property
    def retiring(self) -> bool:
        """Whether this trusts the Azure DevOps issuer."""
        return self.issuer is None or self.issuer.startswith(_VSTOKEN)

    def trust(self, cloud: str) -> "Trust":
        """What the tokens look like. Source: Azure DevOps, "Set up a workload identity service connection"."""
        audience = limits.EXCHANGE_AUDIENCES[cloud]
        if self.issuer and self.subject:
            return Trust(self.issuer, self.subject, audience)
        subject = f"sc://{self.organization}/{self.project}/{self.service_connection}"
        return Trust(f"https://vstoken.dev.azure.com/{self.organization_id}", subject, audience)


class GitLab(Model):
    """Jobs of GitLab CI/CD, with an `id_tokens` entry whose `aud` is the credential's audience."""

    project: _Path
    """`group/project`, sub-groups included."""
    branch: _Branch | None = None
    """Jobs on this branch: its name alone, such as `main`."""
    tag: _Tag | None = None
    """Jobs on this tag: its name alone, such as `v1`."""
    url: HttpsUrl = "https://gitlab.com"
    """The GitLab instance, which is also the audience. Default https://gitlab.com."""

    def together(self) -> Iterator[Refused]:
        """One ref is trusted, of a project by its path."""
        yield from _one_of(self, "branch", "tag")
        if self.project.endswith(".git") or self.project.split("/")[0] == urlsplit(self.url).hostname:
            yield Refused("a project is its path alone, group/project, without host and .git", "project")

    def trust(self, cloud: str) -> "Trust":
        """What the tokens look like. Source: GitLab, "Configure OpenID Connect in Azure"."""
        [which] = _set(self, "branch", "tag")
        url = self.url.rstrip("/")
        return Trust(url, f"project_path:{self.project}:ref_type:{which}:ref:{getattr(self, which)}", url)


class Kubernetes(Model):
    """Pods of a Kubernetes cluster, by their service account."""

    issuer: _Issuer
    """The cluster's OIDC issuer URL: `az aks show --query oidcIssuerProfile.issuerUrl`."""
    namespace: _Namespace
    """Namespace of the service account."""
    service_account: _ServiceAccount
    """Name of the service account."""

    def trust(self, cloud: str) -> "Trust":
        """What the tokens look like. Source: Microsoft Entra Workload ID."""
        subject = f"system:serviceaccount:{self.namespace}:{self.service_account}"
        return Trust(self.issuer, subject, limits.EXCHANGE_AUDIENCES[cloud])


class HcpTerraform(Model):
    """Runs of an HCP Terraform or Terraform Enterprise workspace; plan and apply need a credential each."""

    organization: _Organization
    """Name of the organization."""
    project: _Words = "Default Project"
    """Name of the project. Default: Default Project."""
    workspace: _Workspace
    """Name of the workspace."""
    run_phase: Literal["plan", "apply"]
    """`plan` or `apply`."""
    url: HttpsUrl = "https://app.terraform.io"
    """Default https://app.terraform.io; a Terraform Enterprise host's own URL otherwise."""

    def trust(self, cloud: str) -> "Trust":
        """What the tokens look like. Source: HashiCorp, "Use dynamic credentials with the Azure provider"."""
        parts = f"organization:{self.organization}:project:{self.project}:workspace:{self.workspace}"
        audience = limits.EXCHANGE_AUDIENCES[cloud]
        return Trust(self.url.rstrip("/"), f"{parts}:run_phase:{self.run_phase}", audience)


class PulumiCloud(Model):
    """Pulumi ESC (`environment`), or Pulumi Deployments (`project`, `stack` and `operation`)."""

    organization: _Organization
    """Name of the organization."""
    environment: _EscEnvironment | None = None
    """An ESC environment, `project/name`."""
    project: _Project | None = None
    """Project of the stack that is deployed."""
    stack: _Stack | None = None
    """The stack that is deployed."""
    operation: Literal["preview", "update", "refresh", "destroy"] | None = None
    """The operation; each needs a credential of its own."""

    def together(self) -> Iterator[Refused]:
        """It is of ESC or of Deployments, complete."""
        if (len(_set(self, "environment")), len(_set(self, "project", "stack", "operation"))) not in ((1, 0), (0, 3)):
            yield Refused("give `environment` (Pulumi ESC), or `project`, `stack` and `operation` (Pulumi Deployments)")

    def trust(self, cloud: str) -> "Trust":
        """What the tokens look like. Source: Pulumi, "Configuring OpenID Connect for Azure" (ESC and Deployments)."""
        issuer, organization = "https://api.pulumi.com/oidc", self.organization
        if self.environment:
            # Environments without a project are those of the project `default`, whose tokens keep the older audience.
            audience = f"azure:{organization}" if "/" in self.environment else organization
            return Trust(issuer, f"pulumi:environments:org:{organization}:env:{self.environment}", audience)
        subject = f"pulumi:deploy:org:{organization}:project:{self.project}:stack:{self.stack}"
        return Trust(issuer, f"{subject}:operation:{self.operation}:scope:write", organization)


@dataclass(frozen=True, slots=True)
class Trust:
    """Which tokens a federated credential takes: by exact `subject`, or by a claims-matching expression."""

    issuer: str
    subject: str | None
    audience: str
    claims: str | None = None


PRESETS = ("github", "azure_devops", "gitlab", "kubernetes", "hcp_terraform", "pulumi_cloud")


class Federated(Model):
    """A federated credential: tokens of another issuer stand in for a secret. One preset, or `issuer` with its subject."""

    name: _Name | None = None
    """Name of the credential, which never changes: 3 to 120 letters, digits, - and _. Default: made from the subject."""
    renamed_from: RenamedFrom = ()
    """The credential's name before, or a list of all it had, the first one first: which is its name in Azure for ever."""
    description: Annotated[Text, StringConstraints(max_length=limits.FEDERATED_TEXT)] | None = None
    """What it is for."""
    adopt: Guid | None = None
    """Id of an existing federated credential to take over, as Microsoft Graph has it; `name` is the name that it has."""
    on_remove: OnRemove | None = None
    """What becomes of it when this entry goes. Default: `delete`; with `adopt`, what the app says."""
    github: GitHub | None = None
    """GitHub Actions."""
    azure_devops: AzureDevOps | None = None
    """Azure Pipelines."""
    gitlab: GitLab | None = None
    """GitLab CI/CD."""
    kubernetes: Kubernetes | None = None
    """Kubernetes service accounts."""
    hcp_terraform: HcpTerraform | None = None
    """HCP Terraform and Terraform Enterprise."""
    pulumi_cloud: PulumiCloud | None = None
    """Pulumi ESC and Pulumi Deployments."""
    issuer: _Issuer | None = None
    """The general form: the issuer of the tokens, with `subject` or `claims`."""
    subject: Annotated[Text, StringConstraints(max_length=limits.FEDERATED_TEXT)] | None = None
    """The exact subject of the tokens; nothing in it is a wildcard."""
    claims: _Claims | None = None
    """An expression that claims match, such as `claims['sub'] matches 'repo:contoso/obs:ref:refs/heads/*'`."""
    audience: Text | None = None
    """The audience of the tokens. Default: what the preset uses, else the cloud's `api://AzureADTokenExchange`."""

    def together(self) -> Iterator[Refused]:
        """It has one form, complete, and a subject that can be met."""
        forms = _set(self, *PRESETS, "issuer")
        if len(forms) != 1:
            listed = ", ".join((*PRESETS, "issuer"))
            found = "none" if not forms else " and ".join(forms)
            yield Refused(f"a federated credential has one of {listed}; found {found}")
        elif forms != ["issuer"]:
            for extra in _set(self, "subject", "claims"):
                yield Refused(f"`{extra}` goes with `issuer`; `{forms[0]}` makes the subject itself", extra)
        elif (self.subject is None) == (self.claims is None):
            yield Refused("`issuer` goes with `subject` or `claims`, one of the two")
        if self.subject is not None and self.subject != self.subject.strip():
            yield Refused("a subject is exact, and no token's begins or ends with a space", "subject")
        if self.subject is not None and "*" in self.subject:
            yield Refused("a subject is exact, `*` is no wildcard in it; use `claims` to match several", "subject")

    @property
    def preset(self) -> str | None:
        """The preset that is used, if any."""
        return next((name for name in PRESETS if getattr(self, name) is not None), None)

    def trust(self, cloud: str) -> Trust:
        """Which tokens are trusted, in this cloud."""
        if self.preset is not None:
            trust: Trust = getattr(self, self.preset).trust(cloud)
        else:
            assert self.issuer is not None
            trust = Trust(self.issuer, self.subject, limits.EXCHANGE_AUDIENCES[cloud], self.claims)
        return trust if self.audience is None else Trust(trust.issuer, trust.subject, self.audience, trust.claims)

    @property
    def key(self) -> str:
        """The credential's name: as given, else made from the preset and the subject."""
        if self.name is not None:
            return self.name
        trust = self.trust("public")
        words = re.sub(r"[^A-Za-z0-9]+", "-", f"{self.preset or 'other'}-{trust.subject or trust.claims}").strip("-")
        if len(words) <= 80 and trust.claims is None:
            return words.lower()
        return f"{words[:73].lower().rstrip('-')}-{hashlib.sha256(words.encode()).hexdigest()[:6]}"
