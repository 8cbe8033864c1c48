"""The local Azure refuses what Azure refuses: a test for each rule of `docs/local-azure-rights.md`."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from entrant.facts.apis import GRAPH, graph_permissions
from entrant.facts.directory_roles import find_directory_role
from entrant.facts.roles import find_role
from local_azure import LocalAzure
from tests.local_azure.conftest import READER, Client, Identity

DOCUMENT = Path(__file__).parents[2] / "docs" / "local-azure-rights.md"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
AUTHORIZATION = "providers/Microsoft.Authorization"
GROUPS = "/providers/Microsoft.Management/managementGroups"


def denied(answer: Any) -> bool:
    """Whether Graph or Resource Manager refused for want of rights."""
    code = answer.json()["error"]["code"] if answer.content else ""
    return answer.status_code == 403 and code in ("Authorization_RequestDenied", "AuthorizationFailed")


@pytest.fixture
def as_app(azure: LocalAzure, deployer: Client) -> Callable[..., Client]:
    """A client of a new app that has Graph permissions and directory roles (a name, or a name and a scope)."""

    def make(*permissions: str, roles: tuple[Any, ...] = ()) -> Client:
        app = deployer.new_identity()
        graph = deployer.graph("GET", f"/servicePrincipals(appId='{GRAPH}')?$select=id")["id"]
        for name in permissions:
            body = {
                "principalId": app.object_id,
                "resourceId": graph,
                "appRoleId": graph_permissions().application[name],
            }
            deployer.graph("POST", f"/servicePrincipals/{app.object_id}/appRoleAssignments", body)
        for one in roles:
            name, scope = one if isinstance(one, tuple) else (one, "/")
            assign(deployer, name, app.object_id, scope)
        client = Client(azure, app.client_id, app.secret)
        client.object_id, client.application_id = app.object_id, app.application_id  # type: ignore[attr-defined]
        return client

    return make


def assign(deployer: Client, role: str, principal: str, scope: str = "/", status: int | None = None) -> Any:
    found = find_directory_role(role)
    assert found is not None
    body = {"roleDefinitionId": found.id, "principalId": principal, "directoryScopeId": scope}
    return deployer.graph("POST", "/roleManagement/directory/roleAssignments", body, status)


def link(client: Client, object_id: str) -> dict[str, str]:
    return {"@odata.id": f"{client.azure.url}/v1.0/directoryObjects/{object_id}"}


def new_group(deployer: Client, **more: Any) -> str:
    name = f"g{uuid.uuid4().hex[:8]}"
    body = {"displayName": name, "mailNickname": name, "mailEnabled": False, "securityEnabled": True}
    return str(deployer.graph("POST", "/groups", body | more)["id"])


def new_user(deployer: Client) -> str:
    name = f"u{uuid.uuid4().hex[:8]}"
    domain = deployer.graph("GET", "/domains")["value"][0]["id"]
    body = {
        "displayName": name,
        "mailNickname": name,
        "userPrincipalName": f"{name}@{domain}",
        "accountEnabled": True,
        "passwordProfile": {"password": uuid.uuid4().hex},
    }
    return str(deployer.graph("POST", "/users", body)["id"])


class TestGroups:
    def test_role_assignable_group(self, deployer: Client, as_app: Callable[..., Client]) -> None:
        """Its owners, members, properties and end take RoleManagement.ReadWrite.Directory beside a permission on groups."""
        group, other = new_group(deployer, isAssignableToRole=True), deployer.new_identity().object_id
        plain = new_group(deployer)
        client = as_app("GroupMember.ReadWrite.All", "Group.ReadWrite.All", "Directory.ReadWrite.All")
        client.graph("POST", f"/groups/{plain}/members/$ref", link(client, other))
        deployer.graph("POST", f"/groups/{group}/members/$ref", link(client, other))
        for method, path, body in (
            ("POST", "/members/$ref", link(client, client.object_id)),  # type: ignore[attr-defined]
            ("POST", "/owners/$ref", link(client, client.object_id)),  # type: ignore[attr-defined]
            ("DELETE", f"/members/{other}/$ref", None),
            ("PATCH", "", {"members@odata.bind": [link(client, client.object_id)["@odata.id"]]}),  # type: ignore[attr-defined]
            ("PATCH", "", {"description": "mine"}),
            ("DELETE", "", None),
        ):
            assert denied(client.call(method, f"/v1.0/groups/{group}{path}", body)), (method, path)
        alone = as_app("RoleManagement.ReadWrite.Directory")
        assert denied(alone.call("POST", f"/v1.0/groups/{group}/members/$ref", link(client, alone.object_id)))  # type: ignore[attr-defined]
        for may in (
            as_app("GroupMember.ReadWrite.All", "RoleManagement.ReadWrite.Directory"),
            as_app(roles=("Privileged Role Administrator",)),
        ):
            may.graph("POST", f"/groups/{group}/members/$ref", link(may, may.object_id))  # type: ignore[attr-defined]
        deployer.graph("POST", f"/groups/{group}/owners/$ref", link(client, client.object_id))  # type: ignore[attr-defined]
        client.graph("DELETE", f"/groups/{group}/members/{other}/$ref")
        assert denied(as_app("Group.ReadWrite.All").call("POST", "/v1.0/groups", _role_group()))

    def test_no_group_in_a_role_assignable_group(self, deployer: Client) -> None:
        inner = new_group(deployer)
        group = new_group(deployer, isAssignableToRole=True)
        deployer.graph("POST", f"/groups/{group}/members/$ref", link(deployer, inner), 400)
        body = _role_group() | {"members@odata.bind": [link(deployer, inner)["@odata.id"]]}
        deployer.graph("POST", "/groups", body, 400)

    def test_directory_roles_of_groups(self, deployer: Client) -> None:
        """Only a role-assignable group can have one."""
        assign(deployer, "Directory Readers", new_group(deployer), status=400)
        assign(deployer, "Directory Readers", new_group(deployer, isAssignableToRole=True))

    def test_deletion(self, deployer: Client, as_app: Callable[..., Client]) -> None:
        """Directory.ReadWrite.All deletes neither groups nor users; Group.Create creates groups and no more."""
        group, user = new_group(deployer), new_user(deployer)
        client = as_app("Directory.ReadWrite.All")
        client.graph("PATCH", f"/groups/{group}", {"description": "x"})
        assert denied(client.call("DELETE", f"/v1.0/groups/{group}"))
        assert denied(client.call("DELETE", f"/v1.0/users/{user}"))
        as_app("User.ReadWrite.All").graph("DELETE", f"/users/{user}")
        assert denied(client.call("DELETE", f"/v1.0/directory/deletedItems/{user}"))
        creator = as_app("Group.Create")
        made = new_group(creator)
        assert denied(creator.call("DELETE", f"/v1.0/groups/{made}"))
        as_app("Group.ReadWrite.All").graph("DELETE", f"/groups/{group}")

    def test_restricted_unit(self, deployer: Client, as_app: Callable[..., Client]) -> None:
        """Members of a unit with restricted management are changed by roles at the unit alone."""
        unit = deployer.graph(
            "POST", "/directory/administrativeUnits", {"displayName": "r", "isMemberManagementRestricted": True}
        )["id"]
        group = new_group(deployer)
        deployer.graph("POST", f"/directory/administrativeUnits/{unit}/members/$ref", link(deployer, group))
        for refused in (deployer, as_app(roles=("Groups Administrator",))):
            assert denied(refused.call("PATCH", f"/v1.0/groups/{group}", {"description": "x"}))
        inside = as_app(roles=(("Groups Administrator", f"/administrativeUnits/{unit}"),))
        inside.graph("PATCH", f"/groups/{group}", {"description": "x"})


def _role_group() -> dict[str, Any]:
    name = f"g{uuid.uuid4().hex[:8]}"
    flags = {"mailEnabled": False, "securityEnabled": True, "isAssignableToRole": True}
    return {"displayName": name, "mailNickname": name, **flags}


class TestUsers:
    def test_administrators(self, deployer: Client, as_app: Callable[..., Client]) -> None:
        """Sensitive actions on a user with a directory role, by itself or a group, take a role above it."""
        user, through = new_user(deployer), new_user(deployer)
        assign(deployer, "Directory Readers", user)
        group = new_group(deployer, isAssignableToRole=True)
        assign(deployer, "Directory Readers", group)
        deployer.graph("POST", f"/groups/{group}/members/$ref", link(deployer, through))
        client = as_app("User.ReadWrite.All")
        client.graph("PATCH", f"/users/{user}", {"jobTitle": "x"})
        for one in (user, through):
            assert denied(client.call("PATCH", f"/v1.0/users/{one}", {"accountEnabled": False}))
            assert denied(client.call("DELETE", f"/v1.0/users/{one}"))
        above = as_app("User.ReadWrite.All", roles=("Privileged Authentication Administrator",))
        above.graph("PATCH", f"/users/{user}", {"accountEnabled": False})
        above.graph("DELETE", f"/users/{user}")


class TestApplications:
    def test_owned_by(self, deployer: Client, as_app: Callable[..., Client]) -> None:
        """Application.ReadWrite.OwnedBy counts for what the app owns: not for itself, and not for deleted objects of others."""
        client, other = as_app("Application.ReadWrite.OwnedBy"), deployer.new_identity()
        bare = deployer.graph("POST", "/applications", {"displayName": "bare"})
        own = client.object_id  # type: ignore[attr-defined]
        assert denied(client.call("POST", f"/v1.0/servicePrincipals/{own}/addPassword", {}))
        assert denied(client.call("POST", "/v1.0/servicePrincipals", {"appId": bare["appId"]}))
        assert denied(client.call("POST", f"/v1.0/applications/{other.application_id}/owners/$ref", link(client, own)))
        deployer.graph("DELETE", f"/applications/{other.application_id}")
        for method, path in (("POST", "/restore"), ("DELETE", "")):
            answer = client.call(method, f"/v1.0/directory/deletedItems/{other.application_id}{path}")
            assert denied(answer), (method, path)
        deployer.graph("POST", f"/applications/{bare['id']}/owners/$ref", link(client, own))
        client.graph("POST", "/servicePrincipals", {"appId": bare["appId"]})
        client.graph("DELETE", f"/applications/{bare['id']}")
        client.graph("POST", f"/directory/deletedItems/{bare['id']}/restore")
        client.graph("DELETE", f"/applications/{bare['id']}")
        client.graph("DELETE", f"/directory/deletedItems/{bare['id']}")

    def test_role_at_one_application(self, deployer: Client, as_app: Callable[..., Client]) -> None:
        """A directory role whose scope is an application counts for it and for no other."""
        mine, other = deployer.new_identity(), deployer.new_identity()
        client = as_app(roles=(("Application Administrator", f"/{mine.application_id}"),))
        client.graph("PATCH", f"/applications/{mine.application_id}", {"notes": "x"})
        assert denied(client.call("PATCH", f"/v1.0/applications/{other.application_id}", {"notes": "x"}))

    def test_consent(self, deployer: Client, as_app: Callable[..., Client]) -> None:
        """Application administrators assign app roles of any API but the Graphs; writing applications does not consent."""
        role = {
            "id": str(uuid.uuid4()),
            "displayName": "Act",
            "description": "Act",
            "value": "Act",
            "isEnabled": True,
            "allowedMemberTypes": ["Application"],
        }
        api = deployer.graph("POST", "/applications", {"displayName": "api", "appRoles": [role]})
        principal = deployer.graph("POST", "/servicePrincipals", {"appId": api["appId"]})["id"]
        graph = deployer.graph("GET", f"/servicePrincipals(appId='{GRAPH}')?$select=id")["id"]
        target = deployer.new_identity().object_id
        path = f"/v1.0/servicePrincipals/{target}/appRoleAssignments"
        own = {"principalId": target, "resourceId": principal, "appRoleId": role["id"]}
        wide = {
            "principalId": target,
            "resourceId": graph,
            "appRoleId": graph_permissions().application["User.Read.All"],
        }
        writer = as_app("Application.ReadWrite.All", "Directory.ReadWrite.All")
        assert denied(writer.call("POST", path, own)) and denied(writer.call("POST", path, wide))
        for name in ("Application Administrator", "Cloud Application Administrator"):
            client = as_app(roles=(name,))
            made = client.call("POST", path, own)
            assert made.status_code == 201, made.text
            assert denied(client.call("POST", path, wide))
            client.graph("DELETE", f"/servicePrincipals/{target}/appRoleAssignments/{made.json()['id']}")
        granted = deployer.call("POST", path, wide).json()["id"]
        assert denied(client.call("DELETE", f"{path}/{granted}"))

    def test_units_are_not_purged(self, deployer: Client) -> None:
        unit = deployer.graph("POST", "/directory/administrativeUnits", {"displayName": "u"})["id"]
        deployer.graph("DELETE", f"/directory/administrativeUnits/{unit}")
        deployer.graph("DELETE", f"/directory/deletedItems/{unit}", status=400)
        deployer.graph("POST", f"/directory/deletedItems/{unit}/restore")


def test_directory_roles_are_given_by_few(deployer: Client, as_app: Callable[..., Client]) -> None:
    """Neither writing the directory nor consenting assigns a directory role."""
    client = as_app("Directory.ReadWrite.All", "AppRoleAssignment.ReadWrite.All", "Application.ReadWrite.All")
    own = client.object_id  # type: ignore[attr-defined]
    role = find_directory_role("Global Administrator")
    assert role is not None
    body = {"roleDefinitionId": role.id, "principalId": own, "directoryScopeId": "/"}
    assert denied(client.call("POST", "/v1.0/roleManagement/directory/roleAssignments", body))
    assert denied(client.call("POST", "/v1.0/directoryRoles", {"roleTemplateId": role.id}))


class TestRoles:
    """Custom roles of Azure, and assignments."""

    @pytest.fixture
    def two(self, deployer: Client, azure: LocalAzure, app: Identity) -> tuple[Client, str, str]:
        """A client that is Owner of the second of two resource groups."""
        ids = [f"/subscriptions/{azure.subscription_id}/resourceGroups/rg-{uuid.uuid4().hex[:8]}" for _ in range(2)]
        for one in ids:
            deployer.arm("PUT", one, {"location": "westeurope"}, version="2024-03-01")
        deployer.grant(OWNER, ids[1], app.object_id)
        return Client(azure, app.client_id, app.secret), ids[0], ids[1]

    def custom(self, *scopes: str, **block: list[str]) -> dict[str, Any]:
        actions = block or {"actions": ["Microsoft.Resources/subscriptions/resourceGroups/read"]}
        name = f"Custom {uuid.uuid4()}"
        return {"properties": {"roleName": name, "permissions": [actions], "assignableScopes": list(scopes)}}

    def test_custom_role_of_two_scopes(self, deployer: Client, two: tuple[Client, str, str]) -> None:
        """It is changed and deleted by who may do that at every one of its scopes, the old and the new."""
        client, theirs, own = two
        path = f"/{AUTHORIZATION}/roleDefinitions/{uuid.uuid4()}"
        body = self.custom(theirs)
        deployer.arm("PUT", theirs + path, body, 201)
        body["properties"]["assignableScopes"] = [own]
        assert client.arm("PUT", own + path, body, 403)["error"]["code"] == "AuthorizationFailed"
        body["properties"]["assignableScopes"] = [theirs, own]
        client.arm("PUT", own + path, body, 403)
        client.arm("DELETE", own + path, status=403)
        deployer.arm("PUT", own + path, body, 201)
        client.arm("DELETE", own + path, status=403)
        deployer.arm("PUT", own + path, body | {"properties": body["properties"] | {"assignableScopes": [own]}}, 201)
        client.arm("PUT", own + path, body | {"properties": body["properties"] | {"assignableScopes": [own]}}, 201)
        client.arm("DELETE", own + path, status=200)

    def test_assignment_outside_the_assignable_scopes(
        self, deployer: Client, two: tuple[Client, str, str], azure: LocalAzure
    ) -> None:
        _, theirs, own = two
        guid, target = str(uuid.uuid4()), deployer.new_identity().object_id
        deployer.arm("PUT", f"{own}/{AUTHORIZATION}/roleDefinitions/{guid}", self.custom(own), 201)
        for scope in (theirs, f"/subscriptions/{azure.subscription_id}"):
            error = deployer.grant(guid, scope, target, status=400)["error"]
            assert error["code"] == "RoleAssignmentScopeNotAssignableToRoleDefinition"
        vault = f"{own}/providers/Microsoft.KeyVault/vaults/v{uuid.uuid4().hex[:10]}"
        deployer.arm("PUT", vault, {"location": "westeurope", "properties": {}}, version="2023-07-01")
        deployer.grant(guid, vault, target)
        deployer.grant(guid, own, target)

    def test_a_scope_below_which_a_custom_role_is_assigned_stays(self, deployer: Client, azure: LocalAzure) -> None:
        """Until the assignments are gone, or while a wider scope contains them."""
        subscription = f"/subscriptions/{azure.subscription_id}"
        one, two = (f"{subscription}/resourceGroups/rg-{uuid.uuid4().hex[:8]}" for _ in range(2))
        azure.ensure([one, two])
        guid, target = str(uuid.uuid4()), deployer.new_identity().object_id
        path = f"{one}/{AUTHORIZATION}/roleDefinitions/{guid}"
        deployer.arm("PUT", path, self.custom(one, two), 201)
        assignment = deployer.grant(guid, two, target)
        error = deployer.arm("PUT", path, self.custom(one), 400)["error"]
        assert error["code"] == "RoleScopeBeingRemovedContainsAssignments" and f"'{two}'" in error["message"]
        deployer.arm("PUT", path, self.custom(subscription), 201)
        deployer.arm("PUT", path, self.custom(one, two), 201)
        deployer.arm("DELETE", assignment["id"])
        deployer.arm("PUT", path, self.custom(one), 201)

    def test_scopes_that_a_custom_role_cannot_have(self, deployer: Client, azure: LocalAzure) -> None:
        """The root, a resource, two management groups, and one with data actions."""
        names = [f"g{uuid.uuid4().hex[:8]}" for _ in range(2)]
        groups = [f"{GROUPS}/{name}" for name in names]
        for one in groups:
            deployer.arm("PUT", one, {}, version="2020-05-01")
        subscription = f"/subscriptions/{azure.subscription_id}"
        path = f"{subscription}/{AUTHORIZATION}/roleDefinitions/{uuid.uuid4()}"
        data = ["Microsoft.KeyVault/vaults/secrets/getSecret/action"]
        vault = f"{subscription}/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/v"
        for body in (
            self.custom("/"),
            self.custom(vault),
            self.custom(*groups),
            self.custom(groups[0], dataActions=data),
        ):
            assert deployer.arm("PUT", path, body, 400)["error"]["code"] == "InvalidAssignableScope"
        deployer.arm("PUT", path, self.custom(groups[0], subscription), 201)

    def test_assigning_takes_the_right_to_assign(self, deployer: Client, two: tuple[Client, str, str]) -> None:
        """A Contributor assigns nothing and makes no role; an Owner does in the own group, not next door."""
        client, theirs, own = two
        target = deployer.new_identity()
        client.grant(READER, own, target.object_id)
        client.grant(READER, theirs, target.object_id, status=403)
        deployer.grant(CONTRIBUTOR, own, target.object_id)
        contributor = Client(client.azure, target.client_id, target.secret)
        contributor.grant(READER, own, target.object_id, status=403)
        role = f"{own}/{AUTHORIZATION}/roleDefinitions/{uuid.uuid4()}"
        contributor.arm("PUT", role, self.custom(own), 403)


class TestManagementGroups:
    def test_moves(self, deployer: Client, app: Identity, azure: LocalAzure) -> None:
        """A move takes rights on what moves and on both parents, none of them at the root."""
        client = Client(azure, app.client_id, app.secret)
        old, new, child = (f"{GROUPS}/g{uuid.uuid4().hex[:8]}" for _ in range(3))
        for one, parent in ((old, None), (new, None), (child, old)):
            details = {"details": {"parent": {"id": parent}}} if parent else {}
            deployer.arm("PUT", one, {"properties": details}, version="2020-05-01")
        manager = find_role("Management Group Contributor")
        assert manager is not None
        move = {"parentGroupId": new}
        grants = []
        for role, scope in ((manager.id, new), (manager.id, child), (OWNER, child), (manager.id, old)):
            client.arm("PATCH", child, move, 403, version="2020-05-01")
            grants.append(deployer.grant(role, scope, app.object_id)["id"])
        client.arm("PATCH", child, move, 200, version="2020-05-01")
        client.arm("PUT", child, {"properties": {"details": {"parent": {"id": old}}}}, 200, version="2020-05-01")
        for one in (grants[0], grants[3]):
            deployer.arm("DELETE", one)
        root = f"{GROUPS}/{azure.tenant_id}"
        client.arm("PATCH", child, {"parentGroupId": root}, 403, version="2020-05-01")
        deployer.grant(manager.id, old, app.object_id)
        client.arm("PATCH", child, {"parentGroupId": root}, 200, version="2020-05-01")

    def test_subscriptions(self, deployer: Client, app: Identity, azure: LocalAzure) -> None:
        """A subscription moves as a group does, and leaves one to the root by the same rights."""
        client = Client(azure, app.client_id, app.secret)
        old, new = (f"{GROUPS}/g{uuid.uuid4().hex[:8]}" for _ in range(2))
        for one in (old, new):
            deployer.arm("PUT", one, {}, version="2020-05-01")
        subscription = f"/subscriptions/{azure.subscription_id}"
        deployer.arm("PUT", old + subscription, version="2020-05-01")
        manager = find_role("Management Group Contributor")
        assert manager is not None
        try:
            deployer.grant(manager.id, new, app.object_id)
            client.arm("PUT", new + subscription, status=403, version="2020-05-01")
            assignment = deployer.grant(OWNER, subscription, app.object_id)["id"]
            client.arm("PUT", new + subscription, status=403, version="2020-05-01")
            deployer.grant(manager.id, old, app.object_id)
            client.arm("PUT", new + subscription, version="2020-05-01")
            deployer.arm("DELETE", assignment)
            client.arm("DELETE", new + subscription, status=403, version="2020-05-01")
        finally:
            deployer.arm("DELETE", new + subscription, version="2020-05-01")

    def test_a_group_with_children_stays(self, deployer: Client) -> None:
        outer, inner = (f"{GROUPS}/g{uuid.uuid4().hex[:8]}" for _ in range(2))
        deployer.arm("PUT", outer, {}, version="2020-05-01")
        deployer.arm("PUT", inner, {"properties": {"details": {"parent": {"id": outer}}}}, version="2020-05-01")
        deployer.arm("DELETE", outer, status=400, version="2020-05-01")


class TestVaults:
    def test_permission_model(self, deployer: Client, app: Identity, azure: LocalAzure, group_id: str) -> None:
        """Who may write a vault and not assign roles cannot turn it from roles to access policies, or back."""
        client = Client(azure, app.client_id, app.secret)
        deployer.grant(CONTRIBUTOR, group_id, app.object_id)
        vault = f"{group_id}/providers/Microsoft.KeyVault/vaults/v{uuid.uuid4().hex[:10]}"
        body = {"location": "westeurope", "properties": {"enableRbacAuthorization": True}}
        client.arm("PUT", vault, body, 201, version="2023-07-01")
        client.arm("PUT", vault, body, 200, version="2023-07-01")
        policies = {"properties": {"enableRbacAuthorization": False, "accessPolicies": []}}
        client.arm("PATCH", vault, policies, 403, version="2023-07-01")
        client.arm("PUT", vault, body | policies, 403, version="2023-07-01")
        deployer.arm("PATCH", vault, policies, 200, version="2023-07-01")
        client.arm("PUT", vault, body, 403, version="2023-07-01")


def test_the_document_names_these_tests() -> None:
    """Each rule's test is here, and each test here is of a rule there."""
    text = Path(__file__).read_text("utf-8")
    here = set(re.findall(r"def (test_\w+)", text)) - {"test_the_document_names_these_tests"}
    assert set(re.findall(r"`(test_\w+)`", DOCUMENT.read_text("utf-8"))) >= here
