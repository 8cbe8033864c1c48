"""Who may do what, from a preview's resources."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from entrant.changes import UNKNOWN, Change, Side
from entrant.config import App, Environment
from entrant.config.access import known_permissions
from entrant.facts import pulumi_types as types
from entrant.facts.apis import FIRST_PARTY
from entrant.facts.contract import CLIENT_SECRET, SECRET_NAMES
from entrant.facts.roles import RolePermission, find_role
from entrant.review.snapshot import (
    Holding,
    Picture,
    Registration,
    flat,
    of_directory_role,
    of_permission,
    of_role,
    trust_words,
)

CLIENTS = (types.PRE_AUTHORIZED, types.KNOWN_CLIENTS)
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
    principals = {change.app: state for change, state in found if change.type == types.PRINCIPAL and change.app}
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
        if change.type == types.APPLICATION and change.app
    ]
    holdings = [
        holding for change, state in found if change.app for holding in names.holdings(change.app, change, state)
    ]
    return Picture.of(registrations, holdings)


def _settings(state: Side | None, prefix: str) -> dict[str, Any]:
    """Settings by path, without what holdings tell and without the ids of what they belong to."""
    if state is None:
        return {}
    own = {key: value for key, value in state.inputs.items() if key not in TOLD_ELSEWHERE}
    return {prefix + path: value for path, value in flat(own)}


TOLD_ELSEWHERE = frozenset(
    {"displayName", "owners", "requiredResourceAccesses", "preventDuplicateNames", "clientId", "useExisting"}
)
"""Properties of registrations and service principals that are no settings: what holdings tell, and what they belong to."""


def _state(change: Change, side: Literal["old", "new"]) -> Side | None:
    if side == "new" and change.operation in ("delete", "forget"):
        return None
    if side == "old" and change.operation in ("create", "import"):
        return None
    return change.old if side == "old" else change.new


def says_owners(app: App | None, type_: str) -> bool:
    """Whether an app's file says who owns its registration, or its service principal; else whoever makes it does."""
    holder = app.service_principal if app and type_ == types.PRINCIPAL else app
    return holder is not None and "owners" in holder.model_fields_set


def _known(value: Any) -> str:
    return "" if value in (None, UNKNOWN) else str(value)


class _Names:
    """Names for what resources hold as ids."""

    def __init__(self, environments: Sequence[Environment], found: Sequence[tuple[Change, Side]]) -> None:
        self._custom: dict[str, tuple[str, tuple[RolePermission, ...]]] = {}
        self._apps: dict[str, App] = {}
        self._requested: dict[str, tuple[str, str]] = {}
        self._ids = dict(known_permissions())
        for environment in environments:
            self._declare(environment)
        for change, state in found:
            if change.type == types.ROLE_DEFINITION:
                blocks = (
                    RolePermission.of(block) for block in state.get("permissions") or () if isinstance(block, Mapping)
                )
                guid = str(state.get("roleDefinitionId") or "").rsplit("/", 1)[-1].lower()
                self._custom[guid] = (str(state.get("roleName") or change.name), tuple(blocks))
            elif change.type == types.APP_ROLE_ASSIGNMENT and (requested := self._requested.get(change.name)):
                self._ids.setdefault(("application", _known(state.get("appRoleId"))), requested)
        self._apis = {client_id: name for name, client_id in FIRST_PARTY.items()}
        for change, state in found:
            if change.type == types.APPLICATION and change.app and (client_id := _known(state.outputs.get("clientId"))):
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
                key = f"{name}/{permission.api.key}"
                for _, _, value in permission.named():
                    self._requested[f"{key}/{value}"] = (permission.api.name, value)
                self._requested[key] = (permission.api.name, "")

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
            case types.ROLE_ASSIGNMENT:
                yield self._assignment(app, change, state)
            case types.PASSWORD:
                name = _known(state.get("displayName")) or change.name
                shown, ends = name.removeprefix(SECRET_NAMES), _known(state.get("endDate"))
                yield Holding(app, "secret", change.name, shown, ends=ends, calendar=CLIENT_SECRET)
            case types.CERTIFICATE:
                calendar, name = change.rotated or ("", change.part)
                key = change.name if calendar else change.part
                yield Holding(app, "certificate", key, name, ends=_known(state.get("endDate")), calendar=calendar)
            case types.FEDERATED | types.FLEXIBLE:
                subject = _known(state.get("subject")) or _known(state.get("claimsMatchingExpression"))
                name = _known(state.get("displayName"))
                detail = trust_words(_known(state.get("issuer")), subject)
                yield Holding(app, "federated credential", name, name, detail=detail)
            case types.APP_ROLE_ASSIGNMENT:
                api, value = self._application_permission(app, change, state)
                yield of_permission(app, "consent", api, value, "application")
            case types.DELEGATED_GRANT:
                api = self._api(change, state)
                for value in state.get("claimValues") or ():
                    yield of_permission(app, "consent", api, str(value), "delegated")
            case types.GROUP_MEMBER:
                group = _known(state.get("groupObjectId"))
                yield Holding(app, "group", group.rsplit("/", 1)[-1], group.rsplit("/", 1)[-1])
            case types.DIRECTORY_ROLE_ASSIGNMENT:
                unit = _known(state.get("directoryScopeId")).removeprefix("/administrativeUnits/").strip("/")
                yield of_directory_role(app, _known(state.get("roleId")), unit)
            case types.APPLICATION | types.PRINCIPAL:
                known = app not in self._apps or says_owners(self._apps[app], change.type)
                for owner in (state.inputs.get("owners") or ()) if known else ():
                    if owner != UNKNOWN:
                        yield Holding(app, "owner", str(owner).lower(), str(owner))
                if change.type == types.APPLICATION:
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
        return of_role(app, guid, name, scope, _known(state.get("condition")), permissions or None)

    def _declared(self, app: str, name: str) -> str:
        """The GUID of the role that a new assignment is of, from the environment; empty when it is not there."""
        for grant in self._apps[app].roles if app in self._apps else ():
            if name.endswith(f"-{grant.digest}"):
                return grant.role.guid
        return ""

    def _application_permission(self, app: str, change: Change, state: Side) -> tuple[str, str]:
        role_id = _known(state.get("appRoleId"))
        if requested := self._requested.get(change.name):
            return requested
        if known := self._ids.get(("application", role_id)):
            return known
        api = _known(state.get("resourceDisplayName"))
        rest = change.part
        known_as, _, value = rest.partition("/")
        return api or known_as, value

    def _api(self, change: Change, state: Side) -> str:
        requested = self._requested.get(change.name)
        return requested[0] if requested else change.part

    def _required(self, app: str, state: Side) -> Iterator[Holding]:
        """The permissions that the registration asks for; of an API that nobody here knows by id."""
        for entry in state.inputs.get("requiredResourceAccesses") or ():
            client_id = _known(entry.get("resourceAppId"))
            other = self._apis.get(client_id, client_id or "an API of this environment")
            for access in entry.get("resourceAccesses") or ():
                access_id = _known(access.get("id"))
                how = "application" if access.get("type") == "Role" else "delegated"
                api, name = self._ids.get((how, access_id), (other, access_id))
                yield of_permission(app, "permission", api, name, how)
