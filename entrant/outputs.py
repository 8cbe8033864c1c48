"""Stack outputs, read and checked: what a stack exports and how this package sees it (contract 1).

For an app `log-reader` a stack exports `log_reader_client_id`, `log_reader_client_secret` (absent when it has none) and, while
the previous secret is inside its overlap, `log_reader_client_secret_previous`; besides them `contract`, `tenant_id`, `cloud`
and the map `identities`, which holds no secret. An app with certificates that are issued here has `log_reader_certificates`:
by their keys in the file, the PEM text of each newest one, private key and certificate.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from entrant.errors import ConfigurationError, ContractError
from entrant.facts.contract import CLIENT_SECRET, CONTRACT, calendar_of, output_name
from entrant.facts.scopes import ScopeError, parse_scope

CERTIFICATE_BEGINS = "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Grant:
    """A role that an app was given: the role's name and definition GUID, and the scope's full id."""

    role: str
    role_definition_id: str
    scope: str
    assignment_id: str | None = None
    conditional: bool = False


@dataclass(frozen=True, slots=True)
class App:
    """One app of a stack, with what is needed to be it. Its repr shows no secret."""

    name: str
    tenant_id: str
    client_id: str
    cloud: str = "public"
    object_id: str | None = None
    service_principal_id: str | None = None
    display_name: str | None = None
    secret: str | None = field(default=None, repr=False)
    previous_secret: str | None = field(default=None, repr=False)
    certificate: str | None = None
    """Path of a PEM or PKCS #12 file with a certificate and its private key."""
    assertion: str | None = None
    """Path of a file with a federated token, read anew for each request."""
    issued: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The newest of each certificate that is issued here, by its key in the file: PEM text, private key and certificate."""
    grants: tuple[Grant, ...] = ()
    credentials: tuple[Mapping[str, Any], ...] = ()
    kept_credentials: tuple[Mapping[str, Any], ...] = ()
    """Credentials that exist, are no resource of the stack and stay until their end: `kind`, `key_id`, `name`, `ends`, `owner`."""
    permissions: tuple[Mapping[str, Any], ...] = ()
    owners: Mapping[str, Sequence[str]] | None = None
    """Object ids of the owners of the `registration` and of the `service_principal`; None where the outputs do not tell."""
    groups: Sequence[str] | None = None
    """Object ids of the groups that it is a member of; None where the outputs do not tell."""
    directory_roles: Sequence[Mapping[str, Any]] | None = None
    """`role_id` and `administrative_unit` of each; None where the outputs do not tell."""
    audiences: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What a token for each app of the same environment is asked for, by its name: identifier URI or client id."""

    def value(self, calendar: str) -> str | None:
        """The newest client secret (of the calendar `secret`) or issued certificate (by its key); None when there is none."""
        return self.secret if calendar == CLIENT_SECRET else self.issued.get(calendar)

    def of_calendar(self, calendar: str) -> list[Mapping[str, Any]]:
        """The entries in `credentials` of what follows a calendar, newest first."""
        return [entry for entry in self.credentials if calendar_of(entry) == calendar]

    @property
    def calendars(self) -> list[str]:
        """The calendars that its credentials follow: `secret`, and the keys of certificates that are issued here."""
        return list(dict.fromkeys(found for entry in self.credentials if (found := calendar_of(entry))))

    def alone(self, calendar: str) -> "App":
        """The app with the newest credential of one calendar, and nothing else to prove itself with."""
        issued = {key: pem for key, pem in self.issued.items() if key == calendar}
        secret = self.secret if calendar == CLIENT_SECRET else None
        return replace(self, secret=secret, previous_secret=None, certificate=None, assertion=None, issued=issued)


@dataclass(frozen=True, slots=True)
class Outputs:
    """All of a stack's apps, by name."""

    tenant_id: str
    cloud: str
    apps: Mapping[str, App]

    def app(self, name: str | None) -> App:
        """The app with this name; without a name the only one.

        Raises:
            ConfigurationError: no such app, or several and no name given; the error lists them.
        """
        if name is None:
            if len(self.apps) == 1:
                return next(iter(self.apps.values()))
            raise ConfigurationError(
                f"which app? There are {len(self.apps)}", next_step=f"name one of: {', '.join(self.apps) or 'none'}"
            )
        try:
            return self.apps[name]
        except KeyError:
            raise ConfigurationError(
                f'the stack has no app "{name}"', next_step=f"name one of: {', '.join(self.apps) or 'none'}"
            ) from None


NO_OUTPUTS = "run `pulumi up` first; where one was killed or failed, `python3 -m entrant recover -s STACK` before it"
"""What to do about a stack without outputs."""


def parse(outputs: Mapping[str, Any], *, secrets: bool = True) -> Outputs:
    """Read stack outputs as `pulumi stack output --json --show-secrets` gives them; without `secrets` no secret is read, so that
    masked ones will do.

    Raises:
        ContractError: what is missing or of the wrong kind, by name and never by value.
    """
    if not outputs:
        raise ContractError("the stack has no outputs", next_step=NO_OUTPUTS)
    contract = outputs.get("contract")
    if contract != CONTRACT:
        raise ContractError(
            f"the outputs keep contract {contract!r}; this version reads contract {CONTRACT}"
            if contract is not None
            else 'there is no output "contract": these are not the outputs of this project\'s program',
            next_step="run `pulumi up` with this version of the project",
        )
    tenant, cloud = _text(outputs, "tenant_id"), _text(outputs, "cloud")
    identities = outputs.get("identities")
    if not isinstance(identities, Mapping):
        raise ContractError('the output "identities" is not a map')
    apps = {name: _app(name, entry, outputs, tenant, cloud, secrets) for name, entry in identities.items()}
    audiences = {name: identities[name].get("audience") or app.client_id for name, app in apps.items()}
    return Outputs(tenant, cloud, {name: replace(app, audiences=audiences) for name, app in apps.items()})


def _app(name: str, entry: Any, outputs: Mapping[str, Any], tenant: str, cloud: str, secrets: bool) -> App:
    if not isinstance(entry, Mapping):
        raise ContractError(f"identities.{name} is not a map")
    client_id = _text(outputs, output_name(name, "client_id"))
    try:
        grants = tuple(_grant(f"identities.{name}.grants[{at}]", grant) for at, grant in enumerate(entry["grants"]))
        return App(
            name=name,
            tenant_id=tenant,
            client_id=client_id,
            cloud=cloud,
            object_id=entry["object_id"],
            service_principal_id=entry["service_principal_id"],
            display_name=entry["display_name"],
            secret=_secret(outputs, output_name(name, "client_secret")) if secrets else None,
            previous_secret=_secret(outputs, output_name(name, "client_secret_previous")) if secrets else None,
            issued=_certificates(outputs, output_name(name, "certificates")) if secrets else {},
            grants=grants,
            credentials=tuple(entry["credentials"]),
            kept_credentials=tuple(entry.get("kept_credentials", ())),
            permissions=tuple(entry.get("permissions", ())),
            owners=entry.get("owners"),
            groups=entry.get("groups"),
            directory_roles=entry.get("directory_roles"),
        )
    except KeyError as error:
        raise ContractError(f"identities.{name} has no {error}") from None
    except TypeError:
        raise ContractError(f"identities.{name} is not of the contract's form") from None


def _grant(where: str, entry: Mapping[str, Any]) -> Grant:
    role, guid, scope = entry["role"], entry["role_definition_id"], entry["scope"]
    try:
        parse_scope(scope if isinstance(scope, str) else "")
    except ScopeError:
        raise ContractError(f"{where}.scope is no scope of Azure") from None
    return Grant(role, guid, scope, entry.get("assignment_id"), bool(entry.get("conditional")))


def _text(outputs: Mapping[str, Any], name: str) -> str:
    value = outputs.get(name)
    if not isinstance(value, str) or not value:
        raise ContractError(
            f'the output "{name}" is missing' if value is None else f'the output "{name}" is not a text'
        )
    return value


def _secret(outputs: Mapping[str, Any], name: str) -> str | None:
    value = outputs.get(name)
    _check_shown(name, value)
    if value is not None and not isinstance(value, str):
        raise ContractError(f'the output "{name}" is not a text')
    return value


def _certificates(outputs: Mapping[str, Any], name: str) -> dict[str, str]:
    found = outputs.get(name)
    _check_shown(name, found)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise ContractError(f'the output "{name}" is not a map')
    for key, pem in found.items():
        _check_shown(f"{name}.{key}", pem)
        if not isinstance(pem, str) or "PRIVATE KEY-----" not in pem or CERTIFICATE_BEGINS not in pem:
            raise ContractError(f'the output "{name}.{key}" is no PEM text of a private key and its certificate')
    return dict(found)


def _check_shown(name: str, value: Any) -> None:
    if value == "[secret]":
        raise ContractError(
            f'the output "{name}" is masked',
            next_step="write the outputs with `pulumi stack output --json --show-secrets`",
        )


def from_text(text: str, source: str, *, secrets: bool = True) -> Outputs:
    """Read outputs from JSON text; `source` names it in errors, and `secrets` is as for `parse`."""
    try:
        data = json.loads(text)
    except ValueError:
        raise ContractError(
            f"{source} is not JSON", next_step="write it with `pulumi stack output --json --show-secrets`"
        ) from None
    if not isinstance(data, dict):
        raise ContractError(f"{source} holds no JSON object")
    return parse(data, secrets=secrets)


def from_file(path: Path, *, secrets: bool = True) -> Outputs:
    """Read outputs from a file. Raises ConfigurationError if it cannot be read."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    return from_text(text, str(path), secrets=secrets)


def from_environment(environ: Mapping[str, str] = os.environ) -> App:
    """The app that the `AZURE_*` variables describe, as azure-identity reads them.

    `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and one of `AZURE_CLIENT_SECRET`, `AZURE_CLIENT_CERTIFICATE_PATH`,
    `AZURE_FEDERATED_TOKEN_FILE`, or a job of GitHub Actions or Azure Pipelines that may ask for assertions (see
    `entrant.tokens.assertions`); `ENTRANT_CLOUD` names the cloud (public when unset).

    >>> from_environment({"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s"}).client_id
    'c'

    Raises:
        ConfigurationError: the variables that are missing.
    """
    from entrant.tokens import assertions

    missing = [name for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID") if not environ.get(name)]
    secret, certificate, assertion = (
        environ.get(name) or None
        for name in ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE")
    )
    job = assertions.in_github(environ) or assertions.in_azure_devops(environ)
    if not (secret or certificate or assertion or job):
        missing.append("AZURE_CLIENT_SECRET (or AZURE_CLIENT_CERTIFICATE_PATH, or AZURE_FEDERATED_TOKEN_FILE)")
    if missing:
        raise ConfigurationError(
            f"no credential: {', '.join(missing)} not set", next_step="set them, or name a stack with -s"
        )
    return App(
        name=environ["AZURE_CLIENT_ID"],
        tenant_id=environ["AZURE_TENANT_ID"],
        client_id=environ["AZURE_CLIENT_ID"],
        cloud=environ.get("ENTRANT_CLOUD", "public"),
        secret=secret,
        certificate=certificate,
        assertion=assertion,
    )
