"""What is there and not declared: credentials, roles, consents, owners and memberships of an app, and orphaned assignments.

Pulumi's state knows what Pulumi made; somebody with the portal open can add to it unseen. This looks at the directory and at
Resource Manager themselves, as the deployer.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from entrant.access.deployer import Deployer, unseen
from entrant.access.directory import Directory, permission_of
from entrant.errors import RefusedError
from entrant.facts.directory_roles import find_directory_role
from entrant.facts.roles import find_role
from entrant.facts.scopes import parse_scope
from entrant.outputs import App, Outputs

_T = TypeVar("_T")

AT_ONCE = 8
"""Apps, and subscriptions, that are looked at side by side."""


@dataclass(frozen=True, slots=True)
class Unmanaged:
    """Something undeclared. `kind` is `secret`, `certificate`, `federated credential`, `role`, `consent`, `owner`, `group`,
    `directory role` or `orphan`.
    """

    app: str
    kind: str
    what: str
    id: str
    """The key id, assignment id or object id, for removing or adopting it."""

    def __str__(self) -> str:
        return f"{self.app}: undeclared {self.kind}: {self.what} ({self.id})"


@dataclass(frozen=True, slots=True)
class Look:
    """What was found, app by app, and what could not be looked at and why."""

    found: tuple[Unmanaged, ...]
    unseen: tuple[str, ...]


def look(
    outputs: Outputs, deployer: Deployer, apps: Sequence[App] | None = None, directory: Directory | None = None
) -> Look:
    """Everything undeclared about a stack's apps, or about some of them; what a `directory` has read already is not read again.

    What the deployer may not see is told in `unseen`, with the right that it lacks. An app that is gone has nothing undeclared.
    Consent that single users gave for themselves is theirs and not looked at.

    Raises:
        RefusedError: an API answered with an error other than a refusal or "not found".
        UnreachableError: no answer.
    """
    chosen = list(outputs.apps.values()) if apps is None else list(apps)
    seeing = _Seeing(outputs, directory or Directory(deployer))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = [item for items in pool.map(seeing.app, chosen) for item in items]
        roles = seeing.guarded("role assignments", lambda: seeing.roles(chosen, pool))
    return Look((*found, *roles), tuple(dict.fromkeys(seeing.unseen)))


_APPLICATIONS = "the Graph permission Application.Read.All"
_RIGHTS = {
    "consents": "the Graph permission Directory.Read.All",
    "delegated consents": "the Graph permission Directory.Read.All",
    "groups": "the Graph permission GroupMember.Read.All",
    "directory roles": "the Graph permission RoleManagement.Read.Directory",
    "orphans": "the Graph permission Directory.Read.All",
    "role assignments": "the role Reader",
}
"""What each look takes; `_APPLICATIONS` where nothing is said."""


class _Seeing:
    """One look at the directory and at Resource Manager."""

    def __init__(self, outputs: Outputs, directory: Directory) -> None:
        self.outputs, self.directory, self.deployer = outputs, directory, directory.deployer
        self.unseen: list[str] = []

    def guarded(self, what: str, part: Callable[[], Iterable[_T]], app: App | None = None) -> list[_T]:
        """What one part sees, as far as the deployer may look: the rest is noted, unless it is the app itself that is gone."""
        found: list[_T] = []
        try:
            for item in part():
                found.append(item)
        except RefusedError as error:
            if error.status not in (401, 403, 404):
                raise
            own = (f"/applications/{app.object_id}", f"/servicePrincipals/{app.service_principal_id}") if app else ()
            if error.status != 404 or not any(path in str(error) for path in own):
                right = _RIGHTS.get(what.partition(" in ")[0], _APPLICATIONS)
                self.unseen.append(f"{what}: {unseen(error, right)}")
        return found

    def app(self, app: App) -> list[Unmanaged]:
        """Everything about one app but its Azure roles."""
        parts: dict[str, Callable[[App], Iterator[Unmanaged]]] = {
            "credentials": self._credentials,
            "credentials of service principals": self._principal_credentials,
            "consents": self._consents,
            "delegated consents": self._delegated,
        }
        later = {"owners": self._owners, "groups": self._groups, "directory roles": self._directory_roles}
        if not app.service_principal_id:
            parts, later = {"credentials": self._credentials}, {"owners": self._owners}
        for name, part in later.items():
            if getattr(app, name.replace(" ", "_")) is None:
                self.unseen.append(f"{name}: the outputs are of an earlier version; run `pulumi up`")
            else:
                parts[name] = part
        return [item for what, part in parts.items() for item in self.guarded(what, lambda part=part: part(app), app)]  # type: ignore[misc]

    def _credentials(self, app: App) -> Iterator[Unmanaged]:
        yield from _keys(app, self.directory.registration(app), "")
        declared = {str(entry["key_id"]).lower() for entry in app.credentials if entry["kind"] == "federated"}
        for entry in self.directory.federated(app):
            if entry["id"].lower() not in declared:
                what = f"{entry['name']}, {entry['issuer']} {entry.get('subject') or ''}".rstrip()
                yield Unmanaged(app.name, "federated credential", what, entry["id"])

    def _principal_credentials(self, app: App) -> Iterator[Unmanaged]:
        """The portal shows them nowhere, and they work."""
        yield from _keys(app, self.directory.principal(app), " (of the service principal)")

    def _declared(self, app: App, kind: str) -> set[tuple[str, str]]:
        """The permissions that the app has consent for, as `Granted.of` takes them."""
        return {
            permission_of(self.outputs, entry)
            for entry in app.permissions
            if entry["kind"] == kind and entry["consent"]
        }

    def _consents(self, app: App) -> Iterator[Unmanaged]:
        declared = self._declared(app, "application")
        for held in self.directory.permissions(app):
            if not held.of(declared):
                yield Unmanaged(app.name, "consent", f"{held.name} at {held.api_name}", held.id)

    def _delegated(self, app: App) -> Iterator[Unmanaged]:
        declared = self._declared(app, "delegated")
        for held in self.directory.delegated(app):
            if not held.of(declared):
                what = f"{held.name} at {held.api_name} (delegated, for every user)"
                yield Unmanaged(app.name, "consent", what, held.id)

    def _owners(self, app: App) -> Iterator[Unmanaged]:
        assert app.owners is not None
        for side in ("registration", "service principal"):
            key = side.replace(" ", "_")
            if key == "service_principal" and not app.service_principal_id:
                continue
            declared = {owner.lower() for owner in app.owners[key]}
            for entry in self.directory.owners(app, key):
                if entry["id"].lower() not in declared:
                    name = entry.get("userPrincipalName") or entry.get("displayName") or entry["id"]
                    yield Unmanaged(app.name, "owner", f"{name} (of the {side})", entry["id"])

    def _groups(self, app: App) -> Iterator[Unmanaged]:
        declared = {group.lower() for group in app.groups or ()}
        for entry in self.directory.groups(app):
            if entry["id"].lower() not in declared:
                by_rule = " (by its rule)" if "DynamicMembership" in (entry.get("groupTypes") or ()) else ""
                yield Unmanaged(app.name, "group", f"{entry.get('displayName') or entry['id']}{by_rule}", entry["id"])

    def _directory_roles(self, app: App) -> Iterator[Unmanaged]:
        declared = {
            (role["role_id"].lower(), (role.get("administrative_unit") or "").lower())
            for role in app.directory_roles or ()
        }
        for entry in self.directory.directory_roles(app):
            scope = str(entry["directoryScopeId"])
            unit = scope.removeprefix("/administrativeUnits/").strip("/")
            if (entry["roleDefinitionId"].lower(), unit.lower()) not in declared:
                known = find_directory_role(entry["roleDefinitionId"])
                where = f" on {scope}" if unit else ""
                what = f"{known.name if known else entry['roleDefinitionId']}{where}"
                yield Unmanaged(app.name, "directory role", what, entry["id"])

    def roles(self, apps: list[App], pool: ThreadPoolExecutor) -> Iterator[Unmanaged]:
        """Undeclared roles of the apps in every subscription that the deployer sees, and orphans at the scopes that they use.

        A subscription's list holds what is assigned above it too.
        """
        declared = {
            (app.service_principal_id, grant.scope.lower(), grant.role_definition_id.lower())
            for app in apps
            for grant in app.grants
        }
        principals = {app.service_principal_id: app for app in apps}
        scopes = {grant.scope.lower(): grant.scope for app in apps for grant in app.grants}
        subscriptions = {scope.subscription for text in scopes.values() if (scope := parse_scope(text)).subscription}
        listed = self.deployer.listed(self.deployer.arm("/subscriptions", version="2022-12-01"), "arm")
        subscriptions |= {entry["subscriptionId"] for entry in listed}

        def assignments(subscription: str) -> list[dict[str, Any]]:
            path = f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleAssignments"
            what = f"role assignments in {subscription}"
            return self.guarded(what, lambda: self.deployer.listed(self.deployer.arm(path), "arm"))

        everywhere = pool.map(assignments, sorted({name.lower() for name in subscriptions if name}))
        once = {entry["id"].lower(): entry for entries in everywhere for entry in entries}
        foreign: dict[str, list[dict[str, Any]]] = {}
        for entry in once.values():
            found = entry["properties"]
            role = str(found["roleDefinitionId"]).rsplit("/", 1)[-1].lower()
            app = principals.get(found["principalId"])
            if app is None:
                if str(found["scope"]).lower() in scopes:
                    foreign.setdefault(found["principalId"], []).append(entry)
            elif (found["principalId"], str(found["scope"]).lower(), role) not in declared:
                yield Unmanaged(app.name, "role", f"{_name(role)} on {found['scope']}", entry["id"])
        for principal in self.guarded("orphans", lambda: _missing(list(foreign), self.deployer)):
            for entry in foreign[principal]:
                found = entry["properties"]
                role = str(found["roleDefinitionId"]).rsplit("/", 1)[-1]
                where = str(found["scope"])
                owner = next(app.name for app in apps for grant in app.grants if grant.scope.lower() == where.lower())
                what = f"{_name(role)} on {where} for {principal}, which is not in the directory"
                yield Unmanaged(owner, "orphan", what, entry["id"])


def _keys(app: App, found: dict[str, Any], where: str) -> Iterator[Unmanaged]:
    known = (*app.credentials, *app.kept_credentials)
    declared = {str(entry.get("key_id", "")).lower() for entry in known} - {""}
    for kind, key in (("secret", "passwordCredentials"), ("certificate", "keyCredentials")):
        for entry in found.get(key) or ():
            if entry["keyId"].lower() not in declared:
                name = entry.get("displayName") or "without a name"
                until = str(entry.get("endDateTime"))[:10]
                yield Unmanaged(app.name, kind, f'"{name}", valid until {until}{where}', entry["keyId"])


def _name(role: str) -> str:
    known = find_role(role)
    return known.name if known else role


def _missing(principals: list[str], deployer: Deployer) -> Iterator[str]:
    """Those that the directory does not have; asked for a thousand at a time (Graph's limit for getByIds)."""
    from entrant import http

    for start in range(0, len(principals), 1000):
        part = principals[start : start + 1000]
        url = f"{deployer.cloud.graph}/v1.0/directoryObjects/getByIds"
        answer = http.call("POST", url, token=deployer.token("graph"), json={"ids": part}, repeat=True)
        known = {entry["id"] for entry in answer["value"]}
        yield from (principal for principal in part if principal not in known)
