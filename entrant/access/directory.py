"""What the directory holds about an app, read as the deployer: each list once, so that several questions cost one call."""

from collections.abc import Callable, Collection, Mapping
from threading import Lock
from typing import Any, NamedTuple, TypeVar

from entrant.access.deployer import Deployer
from entrant.errors import RefusedError
from entrant.facts.apis import FIRST_PARTY
from entrant.facts.scopes import is_guid
from entrant.outputs import App, Outputs

_T = TypeVar("_T")


class Granted(NamedTuple):
    """A permission that an app holds: the API's client id and name, the permission's name and id, and the id of the grant."""

    api: str
    api_name: str
    name: str
    """Its id where it has no name."""
    permission_id: str
    """In lower case."""
    id: str

    def of(self, permissions: Collection[tuple[str, str]]) -> bool:
        """Whether it is one of these: each the client id of an API, and a permission's name or id."""
        return any((self.api, called) in permissions for called in (self.name, self.permission_id))


def api_of(outputs: Outputs, permission: Mapping[str, Any]) -> str:
    """The client id of the API that a declared permission is one of, in lower case: Microsoft's, an app's, or as it is written."""
    name = permission["api"]
    other = outputs.apps.get(name)
    return str(FIRST_PARTY.get(name) or (other.client_id if other else name)).lower()


def permission_of(outputs: Outputs, permission: Mapping[str, Any]) -> tuple[str, str]:
    """A declared permission as `Granted.of` takes it: the client id of its API, and its name, or id where the file has that."""
    called = str(permission["name"])
    return api_of(outputs, permission), called.lower() if is_guid(called) else called


class Directory:
    """One look at the directory. Every method raises what `Deployer.graph` raises."""

    def __init__(self, deployer: Deployer) -> None:
        self.deployer = deployer
        self._seen: dict[tuple[str, str | None], Any] = {}
        self._lock = Lock()

    def registration(self, app: App) -> dict[str, Any]:
        """The registration's `appId`, `api`, `passwordCredentials` and `keyCredentials`."""
        path, shown = f"/applications/{app.object_id}", "id,appId,api,passwordCredentials,keyCredentials"
        return self._once("registration", app, lambda: self._get(path, shown))

    def principal(self, app: App) -> dict[str, Any]:
        """The service principal's `accountEnabled`, `passwordCredentials` and `keyCredentials`."""
        path, shown = (
            f"/servicePrincipals/{app.service_principal_id}",
            "id,accountEnabled,passwordCredentials,keyCredentials",
        )
        return self._once("principal", app, lambda: self._get(path, shown))

    def federated(self, app: App) -> list[dict[str, Any]]:
        """The registration's federated credentials."""
        return self._list("federated", app, f"/applications/{app.object_id}/federatedIdentityCredentials")

    def owners(self, app: App, side: str) -> list[dict[str, Any]]:
        """The owners of the `registration` or of the `service_principal`."""
        paths = {"registration": f"/applications/{app.object_id}"}
        path = paths.get(side, f"/servicePrincipals/{app.service_principal_id}")
        return self._list(f"owners {side}", app, f"{path}/owners")

    def groups(self, app: App) -> list[dict[str, Any]]:
        """The groups that the service principal is a member of itself."""
        listed = self._list("groups", app, f"/servicePrincipals/{app.service_principal_id}/memberOf")
        return [entry for entry in listed if entry.get("@odata.type") == "#microsoft.graph.group"]

    def directory_roles(self, app: App) -> list[dict[str, Any]]:
        """The service principal's assignments of directory roles."""
        mine = f"principalId eq '{app.service_principal_id}'"
        return self._list("directory roles", app, "/roleManagement/directory/roleAssignments", filter=mine)

    def permissions(self, app: App) -> list[Granted]:
        """The application permissions that somebody consented to."""
        path = f"/servicePrincipals/{app.service_principal_id}/appRoleAssignments"
        found = []
        for entry in self._list("permissions", app, path):
            api = self._api(entry["resourceId"], entry.get("resourceDisplayName"))
            id_ = str(entry["appRoleId"]).lower()
            names = {str(role["id"]).lower(): role.get("value") for role in api.get("appRoles") or ()}
            found.append(Granted(api["appId"].lower(), api["displayName"], names.get(id_) or id_, id_, entry["id"]))
        return found

    def delegated(self, app: App) -> list[Granted]:
        """The delegated permissions that are consented to for every user."""
        path = f"/servicePrincipals/{app.service_principal_id}/oauth2PermissionGrants"
        found = []
        for entry in self._list("delegated", app, path):
            if entry["consentType"] == "AllPrincipals":
                api = self._api(entry["resourceId"], None)
                ids = {
                    scope.get("value"): str(scope["id"]).lower() for scope in api.get("oauth2PermissionScopes") or ()
                }
                for name in str(entry.get("scope") or "").split():
                    id_ = ids.get(name, name.lower())
                    found.append(Granted(api["appId"].lower(), api["displayName"], name, id_, entry["id"]))
        return found

    def _api(self, principal: str, name: str | None) -> dict[str, Any]:
        """The service principal of an API: `appId`, `displayName` and what it offers. One that is gone goes by its object id."""
        with self._lock:
            try:
                shown = "appId,displayName,appRoles,oauth2PermissionScopes"
                return self._once(principal, None, lambda: self._get(f"/servicePrincipals/{principal}", shown))
            except RefusedError as error:
                if error.status != 404:
                    raise
                return {"appId": principal, "displayName": name or principal}

    def _get(self, path: str, shown: str) -> dict[str, Any]:
        return self.deployer.graph(path, select=shown)

    def _list(self, what: str, app: App, path: str, **query: str) -> list[dict[str, Any]]:
        def read() -> list[dict[str, Any]]:
            return list(self.deployer.listed(self.deployer.graph(path, **query), "graph"))

        return self._once(what, app, read)

    def _once(self, what: str, app: App | None, read: Callable[[], _T]) -> _T:
        key = (what, app.name if app else None)
        if key not in self._seen:
            self._seen[key] = read()
        found: _T = self._seen[key]
        return found
