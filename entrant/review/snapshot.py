"""Who may do what: the apps of an environment and what each has, from its YAML or from a preview's resources.

Both give the same `Picture`, so that two of them can be compared wherever they come from.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import Any, Literal

from entrant.changes import UNKNOWN, Change, Side
from entrant.config import App, Environment, Federated, Permission
from entrant.config.access import known_permissions
from entrant.config.credentials import Secret
from entrant.config.values import Api, first_name
from entrant.facts.apis import FIRST_PARTY
from entrant.facts.directory_roles import find_directory_role
from entrant.facts.roles import Permission as Block
from entrant.facts.roles import find_role
from entrant.facts.scopes import Scope, ScopeError, parse_scope

Kind = Literal[
    "role", "directory role", "consent", "permission", "group", "owner", "secret", "certificate", "federated credential"
]

Identity = tuple[str, str, str]
"""App, kind and key of a holding."""

GRANTS: tuple[Kind, ...] = ("role", "directory role", "consent", "group")
"""The kinds that let an app do something."""
CREDENTIALS: tuple[Kind, ...] = ("secret", "certificate", "federated credential")
"""The kinds that let somebody be the app."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One thing that an app has.

    `key` tells holdings of a kind apart and is the same wherever the picture comes from; `name` is what people call it.
    """

    app: str
    kind: Kind
    key: str
    name: str
    scope: str = field(default="", compare=False)
    """Role: the scope id. Consent and permission: the API. Directory role: the administrative unit. Else empty. `key` has it in
    lower case: ids compare without regard to case."""
    ends: str = ""
    """Credentials that end: when (RFC 3339, UTC)."""
    detail: str = ""
    """What else is to be known: a condition, issuer and subject, a calendar; in words."""
    permissions: tuple[Block, ...] | None = field(default=None, compare=False)
    """Role: what it allows, where that is known."""

    @property
    def identity(self) -> Identity:
        """App, kind and key."""
        return self.app, self.kind, self.key


@dataclass(frozen=True, slots=True)
class Registration:
    """An app registration with its service principal, as far as a reviewer cares."""

    app: str
    display_name: str
    client_id: str = ""
    """Empty where it is not known."""
    protected: bool = False
    kept: bool = False
    """Whether it stays where it is when it is no longer declared. Told by an environment only."""
    adopts: str = ""
    """The object id that it is taken over by. Told by an environment only."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Its other settings by property path."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Every app and what it has."""

    registrations: Mapping[str, Registration] = field(default_factory=dict)
    holdings: Mapping[Identity, Holding] = field(default_factory=dict)

    @classmethod
    def of(cls, registrations: Iterable[Registration], holdings: Iterable[Holding]) -> "Picture":
        """A picture of these."""
        return cls(
            {registration.app: registration for registration in registrations},
            {holding.identity: holding for holding in holdings},
        )


def renamed(picture: Picture, names: Mapping[str, str]) -> Picture:
    """A picture with other names for some apps, old to new."""
    registrations = [replace(each, app=names.get(each.app, each.app)) for each in picture.registrations.values()]
    holdings = []
    for held in picture.holdings.values():
        api = names.get(held.scope, held.scope) if held.kind in ("permission", "consent") else held.scope
        key = f"{api}|{held.name}|{held.detail}".lower() if api != held.scope else held.key
        holdings.append(replace(held, app=names.get(held.app, held.app), scope=api, key=key))
    return Picture.of(registrations, holdings)


# ------------------------------------------------------------------------------------------------------------------ from YAML

_REGISTRATION = (
    "description",
    "notes",
    "sign_in_audience",
    "logo",
    "service_management_reference",
    "group_claims",
    "tags",
    "web",
    "spa",
    "public_client",
    "links",
    "optional_claims",
    "feature_tags",
    "identifier_uris",
    "app_roles",
    "api",
    "service_principal",
)


def of_environment(environment: Environment) -> Picture:
    """What the environment declares."""
    apps = environment.apps
    return Picture.of(
        (_declared_registration(environment, name, app) for name, app in apps.items()),
        (holding for name, app in apps.items() for holding in _declared(environment, name, app)),
    )


def _declared_registration(environment: Environment, name: str, app: App) -> Registration:
    shown = app.model_dump(mode="json", exclude_defaults=True, include=set(_REGISTRATION))
    return Registration(
        name,
        app.display_name or name,
        protected=environment.protect if app.protect is None else app.protect,
        kept=(app.on_remove or environment.on_remove) == "keep",
        adopts=app.adopt.application if app.adopt else "",
        settings=dict(_flat(shown)),
    )


def _declared(environment: Environment, name: str, app: App) -> Iterator[Holding]:
    for grant in app.roles:
        custom = environment.role_definitions.get(grant.role.declared or "")
        known = find_role(grant.role.guid)
        permissions = known.permissions if known else None
        if custom is not None:
            permissions = custom.permissions
        yield _role(name, grant.role.guid, grant.role.name, grant.scope.id, grant.condition or "", permissions)
    for role in app.directory_roles:
        yield _directory_role(name, role.role.id, role.administrative_unit or "")
    for permission in app.permissions:
        yield from _asked(name, permission)
    for group in app.groups:
        yield Holding(name, "group", group, group)
    for owner in app.all_owners:
        yield Holding(name, "owner", owner.value.lower(), owner.value)
    if app.secret:
        every, overlap = app.secret.every, app.secret.overlap
        generation = f", generation {app.secret.generation}" if app.secret.generation > 1 else ""
        starts = "" if app.secret.starts == Secret().starts else f" from {app.secret.starts:%Y-%m-%d} on"
        rule = f"a new one every {_days(every)}{starts}, the one before valid {_days(overlap)} more{generation}"
        yield Holding(name, "secret", "calendar", "client secret", detail=rule)
    for key, certificate in app.certificates.items():
        first = first_name(key, certificate.renamed_from)
        ends = certificate.public.ends.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        yield Holding(name, "certificate", first, key, ends=ends, detail=f"thumbprint {certificate.public.thumbprint}")
    for credential in app.federated:
        yield _federated(name, environment, credential)


def _days(span: Any) -> str:
    hours = round(span.total_seconds() / 3600)
    return f"{hours // 24} days" if hours % 24 == 0 else f"{hours} hours"


def _asked(name: str, permission: Permission) -> Iterator[Holding]:
    for kind, values in (("application", permission.application), ("delegated", permission.delegated)):
        for value in values:
            yield _permission(name, "permission", permission.api.name, value, kind)
            if permission.consent:
                yield _permission(name, "consent", permission.api.name, value, kind)


def _federated(name: str, environment: Environment, credential: Federated) -> Holding:
    trust = credential.trust(environment.cloud)
    return Holding(
        name,
        "federated credential",
        first_name(credential.key, credential.renamed_from),
        credential.key,
        detail=_trust(trust.issuer, trust.subject or trust.claims),
    )


def _trust(issuer: str, subject: str | None) -> str:
    return f"{subject} of {issuer.removeprefix('https://').rstrip('/')}"


def _role(app: str, guid: str, name: str, scope: str, condition: str, permissions: tuple[Block, ...] | None) -> Holding:
    detail = f"under the condition {condition}" if condition else ""
    return Holding(app, "role", f"{guid}|{scope}".lower(), name, scope, detail=detail, permissions=permissions)


def _directory_role(app: str, role_id: str, unit: str) -> Holding:
    known = find_directory_role(role_id)
    return Holding(app, "directory role", f"{role_id}|{unit}".lower(), known.name if known else role_id, unit)


def _permission(app: str, kind: Literal["permission", "consent"], api: str, value: str, how: str) -> Holding:
    return Holding(app, kind, f"{api}|{value}|{how}".lower(), value, api, detail=how)


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Values by path; the items of a list are told apart by what they are, not by their place."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        for item in value:
            yield f"{path}[{item}]", item
    elif isinstance(value, list) and (name := _told_apart_by(value)):
        for item in value:
            yield from _flat({key: part for key, part in item.items() if key != name}, f"{path}[{item[name]}]")
    elif isinstance(value, str) and path in ("logo", "logoImage"):
        yield path, f"an image, SHA-256 {hashlib.sha256(value.encode()).hexdigest()[:12]}"
    elif value is not None:
        yield path, value


def _told_apart_by(items: list[Any]) -> str | None:
    """The property whose value every item of a list has for itself."""
    for name in ("value", "name", "id"):
        values = [item.get(name) for item in items if isinstance(item, Mapping)]
        if len(set(map(str, values))) == len(items) and all(isinstance(value, str) for value in values):
            return name
    return None


# ----------------------------------------------------------------------------------------------------------- from a preview

_APPLICATION = "azuread:index/application:Application"
_PRINCIPAL = "azuread:index/servicePrincipal:ServicePrincipal"
_ASSIGNMENT = "azure-native:authorization:RoleAssignment"
_DEFINITION = "azure-native:authorization:RoleDefinition"
_PASSWORD = "azuread:index/applicationPassword:ApplicationPassword"
_CERTIFICATE = "azuread:index/applicationCertificate:ApplicationCertificate"
_FEDERATED = (
    "azuread:index/applicationFederatedIdentityCredential:ApplicationFederatedIdentityCredential",
    "azuread:index/applicationFlexibleFederatedIdentityCredential:ApplicationFlexibleFederatedIdentityCredential",
)
_APP_ROLE = "azuread:index/appRoleAssignment:AppRoleAssignment"
_DELEGATED = "azuread:index/servicePrincipalDelegatedPermissionGrant:ServicePrincipalDelegatedPermissionGrant"
_GROUP = "azuread:index/groupMember:GroupMember"
_DIRECTORY_ROLE = "azuread:index/directoryRoleAssignment:DirectoryRoleAssignment"


CLIENTS = (
    "azuread:index/applicationPreAuthorized:ApplicationPreAuthorized",
    "azuread:index/applicationKnownClients:ApplicationKnownClients",
)
"""Types of what an API's registration says about its clients."""


def of_changes(
    changes: Iterable[Change],
    side: Literal["old", "new"],
    environment: Environment | None,
    before: Environment | None = None,
) -> Picture:
    """What the resources of a preview are before (`old`) or after (`new`) it.

    `environment` lends the names that resources do not carry: of custom roles, and of permissions of APIs. What it does not have
    any more, `before` may have.
    """
    found = [(change, state) for change in changes if (state := _state(change, side)) is not None]
    names = _Names([each for each in (before, environment) if each], found)
    principals = {change.app: state for change, state in found if change.type == _PRINCIPAL and change.app}
    clients: dict[str, dict[str, Any]] = {}
    for change, state in found:
        if change.app and change.type in CLIENTS:
            clients.setdefault(change.app, {}).update(names.clients(change.app, change, state))
    registrations = [
        Registration(
            change.app,
            str(state.get("displayName") or change.app),
            _known(state.outputs.get("clientId")),
            state.protected,
            settings=_settings(state, "")
            | _settings(principals.get(change.app), "servicePrincipal.")
            | clients.get(change.app, {}),
        )
        for change, state in found
        if change.type == _APPLICATION and change.app
    ]
    holdings = [
        holding for change, state in found if change.app for holding in names.holdings(change.app, change, state)
    ]
    return Picture.of(registrations, holdings)


def _settings(state: Side | None, prefix: str) -> dict[str, Any]:
    """Settings by path, without what holdings tell and without the ids of what they belong to."""
    if state is None:
        return {}
    own = {key: value for key, value in state.inputs.items() if key not in _ELSEWHERE}
    return {prefix + path: value for path, value in _flat(own)}


_ELSEWHERE = frozenset(
    {"displayName", "owners", "requiredResourceAccesses", "preventDuplicateNames", "clientId", "useExisting"}
)


def _state(change: Change, side: Literal["old", "new"]) -> Side | None:
    if side == "new" and change.operation in ("delete", "forget"):
        return None
    if side == "old" and change.operation in ("create", "import"):
        return None
    return change.old if side == "old" else change.new


def says_owners(app: App | None, type_: str) -> bool:
    """Whether an app's file says who owns its registration, or its service principal; else whoever makes it does."""
    said = app.service_principal if app and type_ == _PRINCIPAL else app
    return said is not None and "owners" in said.model_fields_set


def _known(value: Any) -> str:
    return "" if value in (None, UNKNOWN) else str(value)


class _Names:
    """Names for what resources hold as ids."""

    def __init__(self, environments: Sequence[Environment], found: Sequence[tuple[Change, Side]]) -> None:
        self._custom: dict[str, tuple[str, tuple[Block, ...]]] = {}
        self._apps: dict[str, App] = {}
        self._asked: dict[str, tuple[str, str]] = {}
        self._ids = dict(known_permissions())
        for environment in environments:
            self._declare(environment)
        for change, state in found:
            if change.type == _DEFINITION:
                blocks = (Block.of(block) for block in state.get("permissions") or () if isinstance(block, Mapping))
                guid = str(state.get("roleDefinitionId") or "").rsplit("/", 1)[-1].lower()
                self._custom[guid] = (str(state.get("roleName") or change.name), tuple(blocks))
            elif change.type == _APP_ROLE and (asked := self._asked.get(change.name)):
                self._ids.setdefault(("application", _known(state.get("appRoleId"))), asked)
        self._apis = {client_id: name for name, client_id in FIRST_PARTY.items()}
        for change, state in found:
            if change.type == _APPLICATION and change.app and (client_id := _known(state.outputs.get("clientId"))):
                self._apis[client_id] = change.app

    def _declare(self, environment: Environment) -> None:
        """Take in the names that an environment knows."""
        self._apps |= environment.apps
        for key, definition in environment.role_definitions.items():
            self._custom[definition.guid(key)] = (definition.name or key, definition.permissions)
        for name, app in environment.apps.items():
            roles = {value: app.role_id(name, value) for value in app.app_roles}
            scopes = {value: app.scope_id(name, value) for value in (app.api.scopes if app.api else ())}
            self._offered(name, {"application": roles, "delegated": scopes})
            for permission in app.permissions:
                key = f"{name}/{_api_key(permission.api)}"
                for value in (*permission.application, *permission.delegated):
                    self._asked[f"{key}/{value}"] = (permission.api.name, value)
                self._asked[key] = (permission.api.name, "")

    def _offered(self, api: str, offered: Mapping[str, Mapping[str, str]]) -> None:
        self._ids |= {(how, guid): (api, name) for how, names in offered.items() for name, guid in names.items()}

    def clients(self, app: str, change: Change, state: Side) -> Iterator[tuple[str, Any]]:
        """Settings of an API: the clients that need no consent for some of its scopes, by name, and those that it knows."""
        if "authorizedClientId" in state.inputs:
            key = change.part
            for scope_id in state.inputs.get("permissionIds") or ():
                _, name = self._ids.get(("delegated", scope_id), ("", scope_id))
                yield f"preAuthorized[{key}].scopes[{name}]", name
        for client in state.inputs.get("knownClientIds") or ():
            yield f"knownClients[{client}]", client

    def holdings(self, app: str, change: Change, state: Side) -> Iterator[Holding]:
        match change.type:
            case t if t == _ASSIGNMENT:
                yield self._assignment(app, change, state)
            case t if t == _PASSWORD:
                name = _known(state.get("displayName")) or change.name
                yield Holding(
                    app, "secret", change.name, name.removeprefix("entrant "), ends=_known(state.get("endDate"))
                )
            case t if t == _CERTIFICATE:
                key = change.part
                yield Holding(app, "certificate", key, key, ends=_known(state.get("endDate")))
            case t if t in _FEDERATED:
                subject = _known(state.get("subject")) or _known(state.get("claimsMatchingExpression"))
                name = _known(state.get("displayName"))
                detail = _trust(_known(state.get("issuer")), subject)
                yield Holding(app, "federated credential", name, name, detail=detail)
            case t if t == _APP_ROLE:
                api, value = self._application_permission(app, change, state)
                yield _permission(app, "consent", api, value, "application")
            case t if t == _DELEGATED:
                api = self._api(change, state)
                for value in state.get("claimValues") or ():
                    yield _permission(app, "consent", api, str(value), "delegated")
            case t if t == _GROUP:
                group = _known(state.get("groupObjectId"))
                yield Holding(app, "group", group.rsplit("/", 1)[-1], group.rsplit("/", 1)[-1])
            case t if t == _DIRECTORY_ROLE:
                unit = _known(state.get("directoryScopeId")).removeprefix("/administrativeUnits/").strip("/")
                yield _directory_role(app, _known(state.get("roleId")), unit)
            case t if t in (_APPLICATION, _PRINCIPAL):
                known = app not in self._apps or says_owners(self._apps[app], change.type)
                for owner in (state.inputs.get("owners") or ()) if known else ():
                    if owner != UNKNOWN:
                        yield Holding(app, "owner", str(owner).lower(), str(owner))
                if change.type == _APPLICATION:
                    yield from self._required(app, state)

    def _assignment(self, app: str, change: Change, state: Side) -> Holding:
        guid = _known(state.get("roleDefinitionId")).rsplit("/", 1)[-1].lower()
        scope = _known(state.get("scope"))
        scope = scope if scope.startswith("/") else f"/{scope}"
        if not guid:  # of a custom role that is yet to be made
            guid = self._declared(app, change.name)
        known = find_role(guid)
        if known is not None:
            name, permissions = known.name, known.permissions
        else:
            name, permissions = self._custom.get(guid, (f"role {guid}" if guid else "a role that is not known yet", ()))
        return _role(app, guid, name, scope, _known(state.get("condition")), permissions or None)

    def _declared(self, app: str, name: str) -> str:
        """The GUID of the role that a new assignment is of, from the environment; empty when it is not there."""
        for grant in self._apps[app].roles if app in self._apps else ():
            if name.endswith(f"-{grant.digest}"):
                return grant.role.guid
        return ""

    def _application_permission(self, app: str, change: Change, state: Side) -> tuple[str, str]:
        role_id = _known(state.get("appRoleId"))
        if asked := self._asked.get(change.name):
            return asked
        if known := self._ids.get(("application", role_id)):
            return known
        api = _known(state.get("resourceDisplayName"))
        rest = change.part
        known_as, _, value = rest.partition("/")
        return api or known_as, value

    def _api(self, change: Change, state: Side) -> str:
        asked = self._asked.get(change.name)
        return asked[0] if asked else change.part

    def _required(self, app: str, state: Side) -> Iterator[Holding]:
        """The permissions that the registration asks for; of an API that nobody here knows by id."""
        for entry in state.inputs.get("requiredResourceAccesses") or ():
            client_id = _known(entry.get("resourceAppId"))
            other = self._apis.get(client_id, client_id or "an API of this environment")
            for access in entry.get("resourceAccesses") or ():
                access_id = _known(access.get("id"))
                how = "application" if access.get("type") == "Role" else "delegated"
                api, name = self._ids.get((how, access_id), (other, access_id))
                yield _permission(app, "permission", api, name, how)


def _api_key(api: Api) -> str:
    """An API's part of a resource name, as components give it."""
    if api.app is None:
        return _slug(api.name)
    return f"app-{api.app}" if api.app in {_slug(name) for name in FIRST_PARTY} else api.app


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


# ---------------------------------------------------------------------------------------------------------------------- words


def scope_words(text: str) -> str:
    """A scope as people say it: `workspace law-dev`, `resource group rg-obs`, `the whole tenant`."""
    try:
        scope = parse_scope(text)
    except ScopeError:
        return text or "a scope that is not known yet"
    return f"{scope_kind(scope)} {scope.name}" if scope.kind != "root" else "the whole tenant"


def scope_kind(scope: Scope) -> str:
    """The kind of a scope in words: `workspace`, `storage account`, `subscription`."""
    if scope.kind != "resource":
        return scope.kind.replace("_", " ")
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", scope.types[-1].rsplit("/", 1)[-1]).lower()
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word.removesuffix("es") if word.endswith("sses") else word.removesuffix("s")
