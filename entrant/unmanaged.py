"""What is there and not declared: secrets, certificates, federated credentials, roles and consents of an app, orphaned assignments.

Pulumi's state knows what Pulumi made; somebody with the portal open can add to it unseen. This looks at the directory and at
Resource Manager themselves, as the deployer.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from entrant.deployer import Deployer
from entrant.outputs import App
from facts.roles import find_role
from facts.scopes import parse_scope


@dataclass(frozen=True, slots=True)
class Unmanaged:
    """Something undeclared. `kind` is `secret`, `certificate`, `federated credential`, `role`, `consent`, `owner` or `orphan`."""

    app: str
    kind: str
    what: str
    id: str
    """The key id, assignment id or object id, for removing or adopting it."""

    def __str__(self) -> str:
        return f"{self.app}: undeclared {self.kind}: {self.what} ({self.id})"


def find(apps: Iterable[App], deployer: Deployer) -> Iterator[Unmanaged]:
    """Everything undeclared about the apps.

    Raises:
        RefusedError: the deployer may not read the directory or the role assignments.
    """
    chosen = list(apps)
    for app in chosen:
        yield from _credentials(app, deployer)
        yield from _consents(app, deployer)
    yield from _roles(chosen, deployer)


def _credentials(app: App, deployer: Deployer) -> Iterator[Unmanaged]:
    shown = "id,passwordCredentials,keyCredentials"
    found = deployer.graph(f"/applications/{app.object_id}", select=shown)
    declared = {str(entry.get("key_id", "")).lower() for entry in app.credentials} - {""}
    for kind, key in (("secret", "passwordCredentials"), ("certificate", "keyCredentials")):
        for entry in found.get(key) or ():
            if entry["keyId"].lower() not in declared:
                name = entry.get("displayName") or "without a name"
                until = str(entry.get("endDateTime"))[:10]
                yield Unmanaged(app.name, kind, f'"{name}", valid until {until}', entry["keyId"])
    names = {entry["name"] for entry in app.credentials if entry["kind"] == "federated"}
    listed = deployer.graph(f"/applications/{app.object_id}/federatedIdentityCredentials")
    for entry in deployer.listed(listed, "graph"):
        if entry["name"] not in names:
            what = f"{entry['name']}, {entry['issuer']} {entry.get('subject') or ''}".rstrip()
            yield Unmanaged(app.name, "federated credential", what, entry["id"])


def _consents(app: App, deployer: Deployer) -> Iterator[Unmanaged]:
    declared = {entry["name"] for entry in app.permissions if entry["kind"] == "application" and entry["consent"]}
    path = f"/servicePrincipals/{app.service_principal_id}/appRoleAssignments"
    names: dict[str, dict[str, str]] = {}
    for entry in deployer.listed(deployer.graph(path), "graph"):
        resource = entry["resourceId"]
        if resource not in names:
            roles = deployer.graph(f"/servicePrincipals/{resource}", select="appRoles")["appRoles"]
            names[resource] = {role["id"]: role["value"] for role in roles}
        name = names[resource].get(entry["appRoleId"], entry["appRoleId"])
        if name not in declared:
            yield Unmanaged(app.name, "consent", f"{name} at {entry['resourceDisplayName']}", entry["id"])


def _roles(apps: list[App], deployer: Deployer) -> Iterator[Unmanaged]:
    """Undeclared roles of the apps in the subscriptions they are declared in, and orphans at the scopes they use."""
    declared = {
        (app.service_principal_id, grant.scope.lower(), grant.role_definition_id.lower())
        for app in apps
        for grant in app.grants
    }
    principals = {app.service_principal_id: app for app in apps}
    scopes = {grant.scope.lower(): grant.scope for app in apps for grant in app.grants}
    subscriptions = {scope.subscription for text in scopes.values() if (scope := parse_scope(text)).subscription}
    foreign: dict[str, list[dict[str, Any]]] = {}
    for subscription in sorted(filter(None, subscriptions)):
        path = f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleAssignments"
        for entry in deployer.listed(deployer.arm(path), "arm"):
            found = entry["properties"]
            role = str(found["roleDefinitionId"]).rsplit("/", 1)[-1].lower()
            app = principals.get(found["principalId"])
            if app is None:
                if str(found["scope"]).lower() in scopes:
                    foreign.setdefault(found["principalId"], []).append(entry)
            elif (found["principalId"], str(found["scope"]).lower(), role) not in declared:
                yield Unmanaged(app.name, "role", f"{_name(role)} on {found['scope']}", entry["id"])
    for principal in _missing(list(foreign), deployer):
        for entry in foreign[principal]:
            found = entry["properties"]
            role = str(found["roleDefinitionId"]).rsplit("/", 1)[-1]
            where = str(found["scope"])
            owner = next(app.name for app in apps for grant in app.grants if grant.scope.lower() == where.lower())
            what = f"{_name(role)} on {where} for {principal}, which is not in the directory"
            yield Unmanaged(owner, "orphan", what, entry["id"])


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
