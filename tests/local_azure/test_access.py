"""Role-based access control: nothing without a role, and a role counts at its scope and below."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

import local_azure
from local_azure import LocalAzure
from tests.local_azure.conftest import METRICS_PUBLISHER, READER, Client, Identity

OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_denied_by_default(azure: LocalAzure, app: Identity, group_id: str) -> None:
    """A service principal without a role can read nothing, and learns nothing about what exists."""
    client = Client(azure, app.client_id, app.secret)
    error = client.arm("GET", group_id, status=403)["error"]
    assert error["code"] == "AuthorizationFailed"
    assert f"'{app.object_id}'" in error["message"]
    assert "'Microsoft.Resources/subscriptions/resourceGroups/read'" in error["message"]
    assert client.arm("GET", f"{group_id}-absent", status=403)["error"]["code"] == "AuthorizationFailed"
    assert client.arm("GET", "/subscriptions", version="2022-12-01")["value"] == []


@pytest.mark.parametrize("level", ["subscription", "group", "workspace"])
def test_reader_counts_at_its_scope_and_below(
    azure: LocalAzure, deployer: Client, app: Identity, group_id: str, workspace: Any, level: str
) -> None:
    """Reader at a subscription, a group or the workspace itself lets a query through; it lets nothing be written."""
    scope = {
        "subscription": f"/subscriptions/{azure.subscription_id}",
        "group": group_id,
        "workspace": workspace["id"],
    }[level]
    deployer.grant(READER, scope, app.object_id)
    client = Client(azure, app.client_id, app.secret)
    customer = workspace["properties"]["customerId"]
    answer = client.call(
        "POST",
        f"/v1/workspaces/{customer}/query",
        {"query": "print x = 1"},
        scope="https://api.loganalytics.io/.default",
    )
    assert answer.json()["tables"][0]["rows"] == [[1]]
    client.arm("DELETE", workspace["id"], status=403, version="2023-09-01")


def test_role_next_door_counts_for_nothing(
    deployer: Client, azure: LocalAzure, app: Identity, workspace: Any, group_id: str
) -> None:
    """A role at a sibling whose id starts the same gives no access."""
    sibling = f"{group_id}/providers/Microsoft.OperationalInsights/workspaces/la"
    deployer.arm("PUT", sibling, {"location": "westeurope"}, version="2023-09-01")
    deployer.grant(READER, sibling, app.object_id)
    Client(azure, app.client_id, app.secret).arm("GET", workspace["id"], status=403)


def test_removed_role_stops_access(azure: LocalAzure, deployer: Client, app: Identity, workspace: Any) -> None:
    """After its assignment is deleted a role gives nothing."""
    made = deployer.grant(READER, workspace["id"], app.object_id)
    client = Client(azure, app.client_id, app.secret)
    client.arm("GET", workspace["id"])
    deployer.arm("DELETE", made["id"], status=200)
    client.arm("GET", workspace["id"], status=403)
    deployer.arm("DELETE", made["id"], status=204)


def test_new_role_takes_effect_after_the_propagation_delay(state: Any) -> None:
    """With a propagation delay a new role assignment is listed at once and counts later."""
    own = local_azure.start(state)
    client = Client(own)
    app = client.new_identity()
    scope = f"/subscriptions/{own.subscription_id}"
    own.set_propagation(300)
    client.grant(READER, scope, app.object_id)
    own.admin("PATCH", "settings", {"propagation": {"secrets": 0}})
    them = Client(own, app.client_id, app.secret)
    them.arm("GET", scope, status=403)
    own.admin("PATCH", "settings", {"clock": {"offset": 301}})
    them.arm("GET", scope)


def test_role_of_a_group_counts_for_its_members(
    azure: LocalAzure, deployer: Client, app: Identity, group_id: str
) -> None:
    """A role given to a group counts for members of the group and of groups in it, as long as these are there."""
    ids = []
    for name in ("outer", "inner"):
        body = {"displayName": name, "mailNickname": name, "mailEnabled": False, "securityEnabled": True}
        ids.append(deployer.graph("POST", "/groups", body)["id"])
    link = f"{azure.url}/v1.0/directoryObjects/"
    deployer.graph("POST", f"/groups/{ids[0]}/members/$ref", {"@odata.id": link + ids[1]})
    deployer.graph("POST", f"/groups/{ids[1]}/members/$ref", {"@odata.id": link + app.object_id})
    deployer.grant(READER, group_id, ids[0], principalType="Group")
    client = Client(azure, app.client_id, app.secret)
    client.arm("GET", group_id)
    path = f"/servicePrincipals/{app.object_id}"
    assert [one["id"] for one in deployer.graph("GET", f"{path}/memberOf")["value"]] == [ids[1]]
    assert {one["id"] for one in deployer.graph("GET", f"{path}/transitiveMemberOf")["value"]} == set(ids)
    cast = deployer.graph("GET", f"{path}/transitiveMemberOf/microsoft.graph.group?$select=id,displayName")["value"]
    assert {one["displayName"] for one in cast} == {"outer", "inner"}
    deployer.graph("DELETE", f"/groups/{ids[1]}")
    assert deployer.graph("GET", f"{path}/transitiveMemberOf")["value"] == []
    client.arm("GET", group_id, status=403)


def test_custom_role(azure: LocalAzure, deployer: Client, app: Identity, group_id: str) -> None:
    """A custom role gives what its actions say, and cannot be deleted while it is assigned."""
    guid, subscription = str(uuid.uuid4()), f"/subscriptions/{azure.subscription_id}"
    path = f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{guid}"
    body = {
        "properties": {
            "roleName": f"Group reader {guid}",
            "description": "",
            "type": "CustomRole",
            "permissions": [{"actions": ["Microsoft.Resources/subscriptions/resourceGroups/read"]}],
            "assignableScopes": [subscription],
        }
    }
    deployer.arm("PUT", path, body, status=201, version="2022-05-01-preview")
    made = deployer.grant(guid, group_id, app.object_id)
    client = Client(azure, app.client_id, app.secret)
    client.arm("GET", group_id)
    client.arm("PATCH", group_id, {"tags": {}}, status=403)
    assert deployer.arm("DELETE", path, status=400)["error"]["code"] == "RoleDefinitionHasAssignments"
    deployer.arm("DELETE", made["id"])
    deployer.arm("DELETE", path, status=200)


def test_deployer_without_the_right_to_assign_roles_fails(azure: LocalAzure, deployer: Client, group_id: str) -> None:
    """A Contributor cannot assign roles: up fails as it does on Azure."""
    contributor, other = deployer.new_identity(), deployer.new_identity()
    deployer.grant(CONTRIBUTOR, group_id, contributor.object_id)
    client = Client(azure, contributor.client_id, contributor.secret)
    error = client.grant(READER, group_id, other.object_id, status=403)["error"]
    assert "'Microsoft.Authorization/roleAssignments/write'" in error["message"]


class TestRoleAssignmentRules:
    """What Azure refuses of a role assignment, and how."""

    def test_same_name_and_properties_again_is_no_change(self, deployer: Client, app: Identity, group_id: str) -> None:
        """Sending the same assignment twice is accepted, 201 then 200."""
        name = str(uuid.uuid4())
        made = deployer.grant(READER, group_id, app.object_id, status=201, name=name)
        again = deployer.grant(READER, group_id, app.object_id, status=200, name=name)
        assert made["properties"]["createdOn"] == again["properties"]["createdOn"]

    def test_role_definition_id_is_qualified_by_the_subscription(
        self, azure: LocalAzure, deployer: Client, app: Identity, group_id: str
    ) -> None:
        """The answer has the role definition's id as Azure writes it below a subscription."""
        made = deployer.grant(READER, group_id, app.object_id)
        expected = f"/subscriptions/{azure.subscription_id}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
        assert made["properties"]["roleDefinitionId"] == expected
        assert made["type"] == "Microsoft.Authorization/roleAssignments" and made["properties"]["scope"] == group_id

    def test_same_trio_under_another_name_conflicts(self, deployer: Client, app: Identity, group_id: str) -> None:
        """The same role for the same principal at the same scope is a 409 that names the one there is."""
        made = deployer.grant(READER, group_id, app.object_id)
        error = deployer.grant(READER, group_id, app.object_id, status=409)["error"]
        assert error["code"] == "RoleAssignmentExists" and made["name"].replace("-", "") in error["message"]

    def test_another_principal_under_the_same_name_is_refused(
        self, deployer: Client, app: Identity, group_id: str
    ) -> None:
        """An assignment's principal cannot be changed."""
        name = str(uuid.uuid4())
        deployer.grant(READER, group_id, app.object_id, name=name)
        error = deployer.grant(READER, group_id, str(uuid.uuid4()), status=400, name=name)["error"]
        assert error["code"] == "RoleAssignmentUpdateNotPermitted"

    def test_unknown_principal_needs_its_type(self, deployer: Client, app: Identity, group_id: str) -> None:
        """An unknown principal, or an application's object id, is PrincipalNotFound unless its type is given."""
        error = deployer.grant(READER, group_id, str(uuid.uuid4()), status=400, principalType=None)["error"]
        assert error["code"] == "PrincipalNotFound"
        error = deployer.grant(READER, group_id, app.application_id, status=400)["error"]
        assert error["code"] == "PrincipalNotFound"
        deployer.grant(READER, group_id, str(uuid.uuid4()), status=201)

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"principalId": "User"}, (400, "InvalidPrincipalId")),
            ({"roleDefinitionId": READER}, (400, "BadRequestFormat")),
            ({"principalType": "User"}, (400, "UnmatchedPrincipalType")),
            ({"condition": "x", "conditionVersion": "9"}, (400, "InvalidConditionVersion")),
        ],
    )
    def test_malformed(
        self, deployer: Client, app: Identity, group_id: str, change: Any, expected: tuple[int, str]
    ) -> None:
        """Malformed properties are refused with Azure's codes."""
        answer = deployer.grant(READER, group_id, app.object_id, status=expected[0], **change)
        assert answer["error"]["code"] == expected[1]

    def test_unknown_role(self, deployer: Client, app: Identity, group_id: str) -> None:
        """A role that does not exist is refused."""
        error = deployer.grant(str(uuid.uuid4()), group_id, app.object_id, status=404)["error"]
        assert error["code"] == "RoleDefinitionDoesNotExist"

    def test_scope_must_exist(self, azure: LocalAzure, deployer: Client, app: Identity, group_id: str) -> None:
        """A role cannot be assigned at a subscription, group or resource that does not exist."""
        missing = f"{group_id}/providers/Microsoft.OperationalInsights/workspaces/none"
        for scope, expected in (
            (f"/subscriptions/{uuid.uuid4()}", "SubscriptionNotFound"),
            (f"{group_id}x", "ResourceGroupNotFound"),
            (missing, "ResourceNotFound"),
        ):
            assert deployer.grant(READER, scope, app.object_id, status=404)["error"]["code"] == expected

    def test_deleting_a_group_deletes_its_assignments(
        self, deployer: Client, app: Identity, group_id: str, workspace: Any
    ) -> None:
        """Assignments at and below a deleted resource group are gone."""
        deployer.grant(METRICS_PUBLISHER, workspace["id"], app.object_id)
        deployer.arm("DELETE", group_id)
        subscription = group_id.rsplit("/", 2)[0]
        path = (
            f"{subscription}/providers/Microsoft.Authorization/roleAssignments?$filter=principalId eq '{app.object_id}'"
        )
        assert deployer.arm("GET", path)["value"] == []


def test_audiences(azure: LocalAzure, deployer: Client, workspace: Any) -> None:
    """A token for another API is a 401 at Resource Manager and Graph, and a 403 at Log Analytics."""
    vault = "https://vault.azure.net/.default"
    arm = deployer.call("GET", "/subscriptions?api-version=2022-12-01", scope=vault)
    assert code(arm) == (401, "InvalidAuthenticationTokenAudience")
    assert code(deployer.call("GET", "/v1.0/applications", scope=vault)) == (401, "InvalidAuthenticationToken")
    path = f"/v1/workspaces/{workspace['properties']['customerId']}/query"
    assert code(deployer.call("POST", path, {"query": "print 1"}, scope=vault)) == (
        403,
        "InvalidAuthenticationTokenAudience",
    )


def test_no_token(azure: LocalAzure, deployer: Client) -> None:
    """Without a token each API refuses in its own words."""
    arm = deployer.session.get(f"{azure.url}/subscriptions?api-version=2022-12-01")
    assert code(arm) == (401, "AuthenticationFailed") and "authorization_uri" in arm.headers["WWW-Authenticate"]
    assert code(deployer.session.get(f"{azure.url}/v1.0/applications")) == (401, "InvalidAuthenticationToken")
