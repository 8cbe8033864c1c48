"""Resource Manager through Azure's own management clients, unmodified: groups, resources, tags, workspaces, management groups."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.mgmt.loganalytics import LogAnalyticsManagementClient
from azure.mgmt.managementgroups import ManagementGroupsMgmtClient
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from azure.mgmt.resource.resources import ResourceManagementClient

from local_azure import LocalAzure
from tests.local_azure.conftest import READER, Client, Identity
from tests.local_azure.test_clients import credential
from tests.passes import Passes

OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"


def options(azure: LocalAzure) -> dict[str, Any]:
    """What tells a management client where the local Azure is."""
    return {
        "base_url": azure.url,
        "credential_scopes": [f"{azure.url}/.default"],
        "connection_verify": str(azure.ca_file),
        "retry_total": 0,
        "polling_interval": 0,
    }


def deployer_of(azure: LocalAzure) -> ClientSecretCredential:
    return credential(azure, azure.client_id, azure.client_secret)


@pytest.fixture
def resources(azure: LocalAzure, passes: Passes) -> ResourceManagementClient:
    return passes.watch(
        "azure-mgmt-resource",
        ResourceManagementClient(
            credential(azure, azure.client_id, azure.client_secret), azure.subscription_id, **options(azure)
        ),
    )


@pytest.fixture
def logs(azure: LocalAzure, passes: Passes) -> LogAnalyticsManagementClient:
    return passes.watch(
        "azure-mgmt-loganalytics",
        LogAnalyticsManagementClient(
            credential(azure, azure.client_id, azure.client_secret), azure.subscription_id, **options(azure)
        ),
    )


@pytest.fixture
def management(azure: LocalAzure, passes: Passes) -> ManagementGroupsMgmtClient:
    return passes.watch(
        "azure-mgmt-managementgroups",
        ManagementGroupsMgmtClient(credential(azure, azure.client_id, azure.client_secret), **options(azure)),
    )


def refused(call: Callable[..., Any], *arguments: Any, **more: Any) -> tuple[int, str]:
    """The status and the code of a refused call."""
    with pytest.raises(HttpResponseError) as failed:
        call(*arguments, **more)
    assert failed.value.error is not None
    return failed.value.status_code or 0, failed.value.error.code or ""


class TestResources:
    """azure-mgmt-resource."""

    def test_resource_groups(self, resources: ResourceManagementClient) -> None:
        """A group is created, found, tagged, listed and deleted."""
        groups, name = resources.resource_groups, f"rg-{uuid.uuid4().hex[:8]}"
        assert not groups.check_existence(name)
        made = groups.create_or_update(name, {"location": "West Europe", "tags": {"env": "dev"}})
        assert made.location == "westeurope" and made.properties and made.properties.provisioning_state == "Succeeded"
        assert groups.check_existence(name) and groups.get(name).tags == {"env": "dev"}
        assert groups.update(name, {"tags": {"env": "prod"}}).tags == {"env": "prod"}
        assert name in {one.name for one in groups.list()}
        groups.begin_delete(name).result()
        with pytest.raises(ResourceNotFoundError):
            groups.get(name)

    def test_generic_resources(self, resources: ResourceManagementClient, group_id: str) -> None:
        """A resource of any type is written and read by name and by id, listed by type, and deleted."""
        group = group_id.split("/")[-1]
        where: Any = (group, "Microsoft.Network", "", "virtualNetworks", "net")
        body: Any = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
        version = {"api_version": "2023-09-01"}
        assert not resources.resources.check_existence(*where, **version)
        # mypy does not follow a star before other arguments.
        made = resources.resources.begin_create_or_update(*where, body, **version).result()  # type: ignore[call-overload]
        assert made.id and resources.resources.check_existence(*where, **version)
        assert resources.resources.check_existence_by_id(made.id, **version)
        assert "addressSpace" in (resources.resources.get_by_id(made.id, **version).properties or {})
        kind = "resourceType eq 'Microsoft.Network/virtualNetworks'"
        assert [one.name for one in resources.resources.list_by_resource_group(group, filter=kind)] == ["net"]
        assert made.id in {one.id for one in resources.resources.list()}
        changed = resources.resources.begin_update_by_id(made.id, {"tags": {"a": "b"}}, **version).result()
        assert changed.tags == {"a": "b"}
        tagged = resources.resources.list(filter="tagName eq 'a' and tagValue eq 'b'")
        assert made.id in {one.id for one in tagged}
        assert list(resources.resources.list(filter="tagName eq 'a' and tagValue eq 'c'")) == []
        assert refused(list, resources.resources.list(filter="plan/product eq 'x'")) == (400, "UnsupportedFilter")
        resources.resources.begin_delete_by_id(made.id, **version).result()
        assert not resources.resources.check_existence_by_id(made.id, **version)

    def test_tags_at_a_scope(self, resources: ResourceManagementClient, group_id: str) -> None:
        """Tags are merged, taken away and replaced at a scope; names count the uses."""
        tags, name = resources.tags, f"t{uuid.uuid4().hex[:8]}"
        tags.begin_create_or_update_at_scope(group_id, {"properties": {"tags": {"a": "1", name: "x"}}}).result()
        tags.begin_update_at_scope(group_id, {"operation": "Merge", "properties": {"tags": {"b": "2"}}}).result()
        assert tags.get_at_scope(group_id).properties.tags == {"a": "1", "b": "2", name: "x"}
        tags.begin_update_at_scope(
            group_id, {"operation": "Delete", "properties": {"tags": {"a": "1", "b": "3"}}}
        ).result()
        assert resources.resource_groups.get(group_id.split("/")[-1]).tags == {"b": "2", name: "x"}
        used = next(one for one in tags.list() if one.tag_name == name)
        assert used.count and used.count.value == 1
        tags.begin_delete_at_scope(group_id).result()
        assert tags.get_at_scope(group_id).properties.tags == {}

    def test_tags_need_their_own_right(self, azure: LocalAzure, deployer: Client, app: Identity, group_id: str) -> None:
        """A reader sees tags and cannot change them."""
        deployer.grant(READER, group_id, app.object_id)
        client, path = (
            Client(azure, app.client_id, app.secret),
            f"{group_id}/providers/Microsoft.Resources/tags/default",
        )
        assert client.arm("GET", path)["properties"] == {"tags": {}}
        error = client.arm("PUT", path, {"properties": {"tags": {"a": "b"}}}, status=403)["error"]
        assert "'Microsoft.Resources/tags/write'" in error["message"]

    def test_deployments_are_refused(self, azure: LocalAzure, group_id: str) -> None:
        """A template is not pretended to be deployed."""
        client = DeploymentsMgmtClient(deployer_of(azure), azure.subscription_id, **options(azure))
        body: Any = {"properties": {"mode": "Incremental", "template": {"resources": []}}}
        group = group_id.split("/")[-1]
        assert refused(client.deployments.begin_create_or_update, group, "d", body) == (400, "DeploymentsNotSupported")
        assert list(client.deployments.list_by_resource_group(group)) == []

    def test_providers(self, resources: ResourceManagementClient) -> None:
        """Every provider is registered, Microsoft.Authorization among them."""
        assert resources.providers.get("Microsoft.Authorization").registration_state == "Registered"
        assert resources.providers.register("Microsoft.Authorization").registration_state == "Registered"
        assert "Microsoft.KeyVault" in {one.namespace for one in resources.providers.list()}


class TestWorkspaces:
    """azure-mgmt-loganalytics."""

    def test_workspace(self, logs: LogAnalyticsManagementClient, group_id: str) -> None:
        """A workspace is created, read, listed and deleted, and has two keys."""
        group, body = group_id.split("/")[-1], {"location": "westeurope", "properties": {"retentionInDays": 60}}
        made = logs.workspaces.begin_create_or_update(group, "law", body).result()
        assert made.customer_id and made.retention_in_days == 60
        assert logs.workspaces.get(group, "law").customer_id == made.customer_id
        assert [one.name for one in logs.workspaces.list_by_resource_group(group)] == ["law"]
        assert made.id in {one.id for one in logs.workspaces.list()}
        keys = logs.shared_keys.get_shared_keys(group, "law")
        assert keys.primary_shared_key and keys.primary_shared_key != keys.secondary_shared_key
        logs.workspaces.begin_delete(group, "law", force=True).result()
        with pytest.raises(ResourceNotFoundError):
            logs.workspaces.get(group, "law")

    def test_tables(self, logs: LogAnalyticsManagementClient, deployer: Client, workspace: Any) -> None:
        """Azure's tables are listed; a custom table is made, queried, given a column and a retention, and deleted."""
        group = workspace["id"].split("/")[4]
        names = {one.name for one in logs.tables.list_by_workspace(group, "law")}
        assert {"Heartbeat", "AzureActivity"} <= names
        heartbeat = logs.tables.get(group, "law", "heartbeat")
        assert heartbeat.schema and "Computer" in {one.name for one in heartbeat.schema.standard_columns or []}
        columns = [{"name": "TimeGenerated", "type": "dateTime"}, {"name": "Size", "type": "long"}]
        body: Any = {"properties": {"schema": {"name": "Rows_CL", "columns": columns}}}
        made = logs.tables.begin_create_or_update(group, "law", "Rows_CL", body).result()
        assert made.schema and {one.name for one in made.schema.columns or []} == {"TimeGenerated", "Size"}
        path = f"/v1/workspaces/{workspace['properties']['customerId']}/query"
        found = deployer.call("POST", path, {"query": "Rows_CL | where Size > 1 | count"}).json()
        assert found["tables"][0]["rows"] == [[0]]
        columns.append({"name": "Note", "type": "string"})
        body["properties"] |= {"retentionInDays": 90, "totalRetentionInDays": 180}
        changed = logs.tables.begin_update(group, "law", "Rows_CL", body).result()
        assert changed.retention_in_days == 90 and changed.archive_retention_in_days == 90
        logs.tables.begin_delete(group, "law", "Rows_CL").result()
        with pytest.raises(ResourceNotFoundError):
            logs.tables.get(group, "law", "Rows_CL")
        assert "Rows_CL" not in {one.name for one in logs.tables.list_by_workspace(group, "law")}

    @pytest.mark.parametrize(
        ("name", "columns"),
        [
            ("Rows", [{"name": "TimeGenerated", "type": "dateTime"}]),
            ("Rows_CL", [{"name": "Size", "type": "long"}]),
            ("Rows_CL", [{"name": "TimeGenerated", "type": "dateTime"}, {"name": "a b", "type": "long"}]),
            ("Rows_CL", [{"name": "TimeGenerated", "type": "moment"}]),
            ("Heartbeat", [{"name": "Computer", "type": "long"}]),
        ],
    )
    def test_tables_that_cannot_be(
        self, logs: LogAnalyticsManagementClient, workspace: Any, name: str, columns: Any
    ) -> None:
        """A custom table has its ending, a time, and columns of known types; a column keeps its type."""
        group, body = workspace["id"].split("/")[4], {"properties": {"schema": {"name": name, "columns": columns}}}
        assert refused(logs.tables.begin_create_or_update, group, "law", name, body) == (400, "InvalidParameter")
        assert refused(logs.tables.begin_delete, group, "law", "Heartbeat") == (400, "InvalidParameter")


class TestManagementGroups:
    """azure-mgmt-managementgroups, and roles that are inherited down."""

    @pytest.fixture
    def tree(self, azure: LocalAzure, management: ManagementGroupsMgmtClient) -> Iterator[tuple[str, str]]:
        """A group in a group, with the subscription in the inner one."""
        outer, inner = (f"mg-{name}-{uuid.uuid4().hex[:6]}" for name in ("outer", "inner"))
        body: Any = {"properties": {"displayName": "Outer"}}
        management.management_groups.begin_create_or_update(outer, body).result()
        parent = {"id": f"/providers/Microsoft.Management/managementGroups/{outer}"}
        body = {"properties": {"displayName": "Inner", "details": {"parent": parent}}}
        management.management_groups.begin_create_or_update(inner, body).result()
        management.management_group_subscriptions.create(inner, azure.subscription_id)
        yield outer, inner
        management.management_group_subscriptions.delete(inner, azure.subscription_id)
        for name in (inner, outer):
            management.management_groups.begin_delete(name).result()

    def test_hierarchy(self, azure: LocalAzure, management: ManagementGroupsMgmtClient, tree: tuple[str, str]) -> None:
        """Groups, their parents, children, descendants and subscriptions read as they were placed; nothing is below itself."""
        outer, inner = tree
        groups = management.management_groups
        assert {azure.tenant_id, outer, inner} <= {one.name for one in groups.list()}
        shown = groups.get(outer, expand="children", recurse=True)
        assert shown.details and shown.details.parent and shown.details.parent.name == azure.tenant_id
        [child] = shown.children or []
        assert (child.name, child.display_name) == (inner, "Inner")
        [below] = child.children or []
        assert (below.name, below.type) == (azure.subscription_id, "/subscriptions")
        assert [one.name for one in groups.get_descendants(outer)] == [inner, azure.subscription_id]
        held = management.management_group_subscriptions.get_subscriptions_under_management_group(inner)
        assert [one.name for one in held] == [azure.subscription_id]
        within: Any = {"parentGroupId": f"/providers/Microsoft.Management/managementGroups/{inner}"}
        assert refused(groups.update, outer, within) == (400, "BadRequest")
        assert refused(groups.begin_delete, outer) == (400, "BadRequest")
        assert groups.update(inner, {"displayName": "Renamed"}).display_name == "Renamed"

    def test_role_is_inherited_below(
        self, azure: LocalAzure, deployer: Client, app: Identity, group_id: str, tree: tuple[str, str]
    ) -> None:
        """A role at a management group counts in the groups and subscriptions below, as long as they are below it."""
        outer, inner = (f"/providers/Microsoft.Management/managementGroups/{name}" for name in tree)
        made = deployer.grant(READER, outer, app.object_id)
        client = Client(azure, app.client_id, app.secret)
        client.arm("GET", group_id)
        client.arm("GET", inner, version="2020-05-01")
        assert len(client.arm("GET", "/subscriptions", version="2022-12-01")["value"]) == 1
        shown = deployer.arm("GET", f"{group_id}/providers/Microsoft.Authorization/roleAssignments?$filter=atScope()")
        assert made["name"] in {one["name"] for one in shown["value"]}
        deployer.arm("DELETE", f"{inner}/subscriptions/{azure.subscription_id}", version="2020-05-01")
        client.arm("GET", group_id, status=403)
        client.arm("GET", inner, version="2020-05-01")

    def test_root_group(self, azure: LocalAzure, deployer: Client, app: Identity, group_id: str) -> None:
        """A role at the tenant's root group counts everywhere; a group that does not exist takes no role."""
        root = f"/providers/Microsoft.Management/managementGroups/{azure.tenant_id}"
        made = deployer.grant(READER, root, app.object_id)
        Client(azure, app.client_id, app.secret).arm("GET", group_id)
        deployer.arm("DELETE", made["id"])
        error = deployer.grant(READER, f"{root}-none", app.object_id, status=404)["error"]
        assert error["code"] == "ManagementGroupNotFound"

    def test_custom_role_of_a_management_group(
        self, deployer: Client, app: Identity, group_id: str, tree: tuple[str, str]
    ) -> None:
        """A custom role that is assignable at a management group is listed for what is below."""
        guid, outer = str(uuid.uuid4()), f"/providers/Microsoft.Management/managementGroups/{tree[0]}"
        path = f"{outer}/providers/Microsoft.Authorization/roleDefinitions/{guid}"
        actions = [{"actions": ["Microsoft.Resources/subscriptions/resourceGroups/read"]}]
        properties = {"roleName": guid, "type": "CustomRole", "permissions": actions, "assignableScopes": [outer]}
        deployer.arm("PUT", path, {"properties": properties})
        listed = f"{group_id}/providers/Microsoft.Authorization/roleDefinitions?$filter=type eq 'CustomRole'"
        assert guid in {one["name"] for one in deployer.arm("GET", listed)["value"]}
        deployer.arm("DELETE", path)

    def test_moving_a_subscription_needs_both_rights(
        self, azure: LocalAzure, deployer: Client, app: Identity, tree: tuple[str, str]
    ) -> None:
        """Who owns a management group cannot take a subscription into it that is not theirs."""
        outer = f"/providers/Microsoft.Management/managementGroups/{tree[0]}"
        stranger = f"/subscriptions/{uuid.uuid4()}"
        azure.ensure([stranger])
        deployer.grant(OWNER, outer, app.object_id)
        client = Client(azure, app.client_id, app.secret)
        error = client.arm("PUT", f"{outer}{stranger}", status=403, version="2020-05-01")["error"]
        assert "'Microsoft.Authorization/roleAssignments/write'" in error["message"]
