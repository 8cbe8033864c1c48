"""Each request of the azuread plugin to Microsoft Graph, made directly: method, path, and a status that the plugin accepts."""

from __future__ import annotations

import base64
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.clients.test_sdks import self_signed
from tests.local_azure.conftest import Client
from tests.passes import Passes

FILE = Path(__file__).with_name("azuread-operations.txt")
OPERATIONS = frozenset(line for line in FILE.read_text("utf-8").splitlines() if not line.startswith("#"))
ACCEPTED = {
    "GET": {200},
    "POST": {200, 201, 202, 204},
    "PUT": {200, 201, 202, 204},
    "PATCH": {200, 202, 204},
    "DELETE": {200, 204},
}
GRAPH = "00000003-0000-0000-c000-000000000000"
USER_READ_ALL = "df021288-bdef-4463-88db-98f22de89214"
TEMPLATE = "8adf8e6e-67b2-4cf2-a259-e3dc5476c621"
GLOBAL_READER = "f2ef992c-3afb-46b9-b7cf-a126ee74c451"
WRITERS = "9360feb5-f418-4baa-8175-e2a00bac4301"
"""Directory Writers, a role that no other test activates."""


def operation_of(method: str, path: str) -> str | None:
    """The line of the file that a request is, or `None`."""
    for line in OPERATIONS:
        known, _, template = line.partition(" ")
        if known == method and re.fullmatch(re.escape(template).replace(r"\{id\}", "[^/]+"), path):
            return line
    return None


@dataclass
class Wire:
    """Makes requests as the plugin does and notes which operations worked."""

    client: Client
    done: set[str] = field(default_factory=set)

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        response = self.client.call(method, path, body, **more)
        assert response.status_code in ACCEPTED[method], f"{method} {path}: {response.status_code} {response.text}"
        operation = operation_of(method, path.partition("?")[0])
        assert operation, f"{method} {path} is not in {FILE.name}"
        self.done.add(operation)
        if not response.content:
            return None
        assert response.headers["Content-Type"].startswith("application/json")
        return response.json()

    def reference(self, object_id: str) -> dict[str, str]:
        return {"@odata.id": f"{self.client.azure.url}/v1.0/directoryObjects/{object_id}"}

    def replaced(self, path: str, name: str, body: dict[str, Any]) -> None:
        """PATCH an object and see it in a GET."""
        self("PATCH", path, body)
        assert self("GET", path)[name] == body[name]


def test_every_request_of_the_azuread_plugin_is_answered(deployer: Client, passes: Passes) -> None:
    wire = Wire(deployer)
    app = _applications(wire)
    principal = _principals(wire, app)
    _federated(wire, app["id"])
    _grants(wire, principal)
    _groups(wire, principal)
    _roles(wire, principal)
    _units(wire)
    _users(wire, principal)
    wire("DELETE", f"/v1.0/servicePrincipals/{principal}")
    wire("DELETE", f"/v1.0/applications/{app['id']}")
    for operation in wire.done:
        passes("Microsoft Graph, as the azuread plugin asks it", operation)
    assert wire.done == OPERATIONS


def _applications(wire: Wire) -> dict[str, Any]:
    caller = wire.client.azure.object_id
    body = {"displayName": "wire", "owners@odata.bind": [wire.reference(caller)["@odata.id"]]}
    app: dict[str, Any] = wire("POST", "/v1.0/applications", body)
    path = f"/v1.0/applications/{app['id']}"
    for name in ("TERRAFORM_UPDATE_x", "wire"):
        wire.replaced(path, "displayName", {"displayName": name})
    beta = f"/beta/applications/{app['id']}"
    wire("PATCH", beta, {"oauth2RequirePostResponse": True})
    assert wire("GET", f"{beta}?$select=oauth2RequirePostResponse")["oauth2RequirePostResponse"] is True
    (found,) = wire("GET", f"/v1.0/applications?$filter=appId eq '{app['appId']}'")["value"]
    assert found["id"] == app["id"]

    assert [one["id"] for one in wire("GET", f"{path}/owners")["value"]] == [caller]
    wire("DELETE", f"{path}/owners/{caller}/$ref")
    wire("POST", f"{path}/owners/$ref", wire.reference(caller))
    assert [one["@odata.type"] for one in wire("GET", f"{path}/owners")["value"]] == [
        "#microsoft.graph.servicePrincipal"
    ]

    secret = wire("POST", f"{path}/addPassword", {"passwordCredential": {"displayName": "one"}})
    assert secret["secretText"] and secret["keyId"]
    wire("POST", f"{path}/removePassword", {"keyId": secret["keyId"]})
    wire("PUT", f"{path}/logo", data=b"\x89PNG", headers={"Content-Type": "image/png"})

    assert TEMPLATE in [one["id"] for one in wire("GET", "/v1.0/applicationTemplates")["value"]]
    wire("GET", f"/v1.0/applicationTemplates/{TEMPLATE}")
    wire("POST", f"/v1.0/applicationTemplates/{TEMPLATE}/instantiate", {"displayName": "from a template"})
    return app


def _principals(wire: Wire, app: dict[str, Any]) -> str:
    where = f"/v1.0/servicePrincipals?$filter=appId eq '{app['appId']}'"
    assert wire("GET", where)["value"] == []
    made = wire("POST", "/v1.0/servicePrincipals", {"appId": app["appId"], "samlSingleSignOnSettings": {}})
    assert [one["id"] for one in wire("GET", where)["value"]] == [made["id"]]
    path = f"/v1.0/servicePrincipals/{made['id']}"
    wire.replaced(path, "description", {"description": "kept"})
    wire("GET", f"/beta/servicePrincipals/{made['id']}?$select=samlMetadataUrl")

    caller = wire.client.azure.object_id
    wire("POST", f"{path}/owners/$ref", wire.reference(caller))
    assert [one["id"] for one in wire("GET", f"{path}/owners")["value"]] == [caller]
    wire("DELETE", f"{path}/owners/{caller}/$ref")

    secret = wire("POST", f"{path}/addPassword", {"passwordCredential": {}})
    assert secret["secretText"]
    wire("POST", f"{path}/removePassword", {"keyId": secret["keyId"]})
    key = base64.b64encode(self_signed()[0]).decode()
    wire("PATCH", path, {"keyCredentials": [{"type": "AsymmetricX509Cert", "usage": "Verify", "key": key}]})
    assert len(wire("GET", path)["keyCredentials"]) == 1
    signing = wire("POST", f"{path}/addTokenSigningCertificate", {"displayName": "CN=signing"})
    assert signing["thumbprint"]
    return str(made["id"])


def _federated(wire: Wire, app: str) -> None:
    issuer = "https://token.actions.githubusercontent.com"
    plain = {"name": "plain", "issuer": issuer, "subject": "repo:a/b:environment:dev", "audiences": ["api://one"]}
    expression = {"value": "claims['sub'] matches 'repo:a/b:ref:refs/heads/*'", "languageVersion": 1}
    matching = {
        "name": "matching",
        "issuer": issuer,
        "audiences": ["api://one"],
        "claimsMatchingExpression": expression,
    }
    for version, body in (("v1.0", plain), ("beta", matching)):
        path = f"/{version}/applications/{app}/federatedIdentityCredentials"
        made = wire("POST", path, body)
        wire.replaced(f"{path}/{made['id']}", "description", {"description": "kept"})
        wire("DELETE", f"{path}/{made['id']}")
        assert wire.client.call("GET", f"{path}/{made['id']}").status_code == 404


def _grants(wire: Wire, principal: str) -> None:
    (graph,) = wire("GET", f"/v1.0/servicePrincipals?$filter=appId eq '{GRAPH}'")["value"]
    path = f"/v1.0/servicePrincipals/{graph['id']}/appRoleAssignedTo"
    body = {"appRoleId": USER_READ_ALL, "principalId": principal, "resourceId": graph["id"]}
    made = wire("POST", path, body)
    assert wire("GET", f"{path}/{made['id']}")["resourceDisplayName"] == "Microsoft Graph"
    wire("DELETE", f"{path}/{made['id']}")

    consent = {"clientId": principal, "resourceId": graph["id"], "scope": "User.Read", "consentType": "AllPrincipals"}
    made = wire("POST", "/v1.0/oauth2PermissionGrants", consent)
    path = f"/v1.0/oauth2PermissionGrants/{made['id']}"
    wire.replaced(path, "scope", {"scope": "User.Read openid"})
    wire("DELETE", path)


def _groups(wire: Wire, principal: str) -> None:
    caller = wire.client.azure.object_id
    body = {
        "displayName": "wire",
        "description": None,
        "groupTypes": [],
        "mailEnabled": False,
        "mailNickname": uuid.uuid4().hex[:10],
        "membershipRule": None,
        "owners@odata.bind": [wire.reference(caller)["@odata.id"]],
        "resourceBehaviorOptions": [],
        "resourceProvisioningOptions": [],
        "securityEnabled": True,
    }
    made = wire("POST", "/beta/groups", body)
    path = f"/beta/groups/{made['id']}"
    wire.replaced(path, "displayName", {"displayName": "wire, renamed"})
    assert [one["id"] for one in wire("GET", "/beta/groups?$filter=displayName eq 'wire, renamed'")["value"]] == [
        made["id"]
    ]
    for relation, target in (("members", principal), ("owners", principal)):
        wire("POST", f"{path}/{relation}/$ref", wire.reference(target))
        assert target in [one["id"] for one in wire("GET", f"{path}/{relation}")["value"]]
    assert [one["id"] for one in wire("GET", f"{path}/members?$filter=id eq '{principal}'")["value"]] == [principal]
    assert [one["id"] for one in wire("GET", f"{path}/transitiveMembers")["value"]] == [principal]
    assert wire("GET", f"{path}/memberOf")["value"] == []
    for relation in ("members", "owners"):
        wire("DELETE", f"{path}/{relation}/{principal}/$ref")
    assert wire("GET", f"/v1.0/directoryObjects/{made['id']}")["@odata.type"] == "#microsoft.graph.group"
    wire("DELETE", path)


def _units(wire: Wire) -> None:
    base = "/v1.0/directory/administrativeUnits"
    unit = wire("POST", base, {"displayName": "wire", "visibility": "Public", "isMemberManagementRestricted": None})[
        "id"
    ]
    path, beta = f"{base}/{unit}", f"/beta/directory/administrativeUnits/{unit}"
    wire.replaced(path, "displayName", {"displayName": "wire, renamed"})
    assert [one["id"] for one in wire("GET", f"{base}?$filter=displayName eq 'wire, renamed'")["value"]] == [unit]
    name = uuid.uuid4().hex[:10]
    body = {"displayName": name, "mailNickname": name, "mailEnabled": False, "securityEnabled": True}
    group = wire("POST", f"{beta}/members", {"@odata.type": "#microsoft.graph.group", **body})["id"]
    assert [one["id"] for one in wire("GET", f"{path}/members")["value"]] == [group]
    for version in ("v1.0", "beta"):
        where = f"/{version}/directory/administrativeUnits/{unit}/members"
        wire("DELETE", f"{where}/{group}/$ref")
        wire("POST", f"{where}/$ref", wire.reference(group))
    role = wire("GET", "/v1.0/directoryRoles")["value"][0]["id"]
    member = {"administrativeUnitId": unit, "roleId": role, "roleMemberInfo": {"id": wire.client.azure.object_id}}
    made = wire("POST", f"{path}/scopedRoleMembers", member)
    shown = wire("GET", f"{path}/scopedRoleMembers/{made['id']}")
    assert (shown["administrativeUnitId"], shown["roleId"]) == (unit, role)
    assert shown["roleMemberInfo"]["id"] == wire.client.azure.object_id
    wire("DELETE", f"{path}/scopedRoleMembers/{made['id']}")
    wire("DELETE", f"/beta/administrativeUnits/{unit}")
    wire("DELETE", f"/beta/groups/{group}")


def _roles(wire: Wire, principal: str) -> None:
    assert WRITERS in [one["id"] for one in wire("GET", "/v1.0/directoryRoleTemplates")["value"]]
    wire("GET", f"/v1.0/directoryRoleTemplates/{WRITERS}")
    wire("POST", "/v1.0/directoryRoles", {"roleTemplateId": WRITERS})
    (role,) = wire("GET", f"/v1.0/directoryRoles?$filter=roleTemplateId eq '{WRITERS}'")["value"]
    path = f"/v1.0/directoryRoles/{role['id']}"
    assert wire("GET", path)["roleTemplateId"] == WRITERS
    wire("POST", f"{path}/members/$ref", wire.reference(principal))
    assert [one["id"] for one in wire("GET", f"{path}/members")["value"]] == [principal]
    wire("DELETE", f"{path}/members/{principal}/$ref")

    base = "/v1.0/roleManagement/directory"
    body = {"principalId": principal, "roleDefinitionId": GLOBAL_READER, "directoryScopeId": "/"}
    made = wire("POST", f"{base}/roleAssignments", body)
    assert wire("GET", f"{base}/roleAssignments/{made['id']}")["principalId"] == principal
    wire("DELETE", f"{base}/roleAssignments/{made['id']}")
    actions = [{"allowedResourceActions": ["microsoft.directory/applications/basic/update"]}]
    custom = {"displayName": "wire", "isEnabled": True, "version": "1.0", "rolePermissions": actions}
    made = wire("POST", f"{base}/roleDefinitions", custom)
    wire.replaced(f"{base}/roleDefinitions/{made['id']}", "description", {"description": "kept"})
    wire("DELETE", f"{base}/roleDefinitions/{made['id']}")
    eligible = {
        **body,
        "action": "adminAssign",
        "justification": "for a test",
        "scheduleInfo": {"startDateTime": "2026-01-01T00:00:00Z", "expiration": {"type": "noExpiration"}},
    }
    made = wire("POST", f"{base}/roleEligibilityScheduleRequests", eligible)
    shown = wire("GET", f"{base}/roleEligibilityScheduleRequests/{made['id']}")
    assert wire("GET", f"{base}/roleEligibilitySchedules/{shown['targetScheduleId']}")["principalId"] == principal


def _users(wire: Wire, principal: str) -> None:
    domain = wire("GET", "/v1.0/domains")["value"][0]["id"]
    people = []
    for name in (f"a{uuid.uuid4().hex[:8]}", f"b{uuid.uuid4().hex[:8]}"):
        body = {
            "accountEnabled": True,
            "displayName": name,
            "mailNickname": name,
            "passwordProfile": {"password": str(uuid.uuid4())},
            "userPrincipalName": f"{name}@{domain}",
        }
        people.append(wire("POST", "/v1.0/users", body))
    one, other = people
    where = f"/v1.0/users?$filter=userPrincipalName eq '{one['userPrincipalName']}'"
    assert [held["id"] for held in wire("GET", where)["value"]] == [one["id"]]
    path = f"/v1.0/users/{one['id']}"
    wire.replaced(path, "jobTitle", {"jobTitle": "kept"})
    wire("PATCH", f"/beta/users/{one['id']}", {"officeLocation": "here"})
    assert wire("GET", f"/beta/users/{one['id']}")["officeLocation"] == "here"
    wire("PUT", f"{path}/manager/$ref", wire.reference(other["id"]))
    assert wire("GET", f"{path}/manager")["id"] == other["id"]
    wire("DELETE", f"{path}/manager/$ref")
    for held in people:
        wire("DELETE", f"/v1.0/users/{held['id']}")
