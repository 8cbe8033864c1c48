"""Azure's own clients, unmodified, against the local Azure: only their configuration says where it is."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import msal  # type: ignore[import-untyped]
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientSecretCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.monitor.query import LogsQueryClient, LogsQueryStatus

from local_azure import LocalAzure
from tests.local_azure.conftest import METRICS_PUBLISHER, READER, Client, Identity
from tests.passes import Passes


def credential(azure: LocalAzure, client_id: str, secret: str) -> ClientSecretCredential:
    return ClientSecretCredential(
        azure.tenant_id,
        client_id,
        secret,
        authority=azure.url,
        disable_instance_discovery=True,
        connection_verify=str(azure.ca_file),
    )


def test_azure_identity_gets_a_token(azure: LocalAzure) -> None:
    """azure-identity's ClientSecretCredential gets a token with the audience of its scope."""
    token = credential(azure, azure.client_id, azure.client_secret).get_token("https://monitoring.azure.com//.default")
    assert token.token.count(".") == 2


def test_azure_identity_reports_a_wrong_secret(azure: LocalAzure) -> None:
    """A wrong secret reaches the user as Entra's AADSTS7000215."""
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        credential(azure, azure.client_id, "wrong").get_token("https://graph.microsoft.com/.default")


def test_msal_gets_a_token(azure: LocalAzure) -> None:
    """MSAL for Python gets a token and its roles."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(azure.ca_file)
    app = msal.ConfidentialClientApplication(
        azure.client_id,
        azure.client_secret,
        authority=f"{azure.url}/{azure.tenant_id}",
        instance_discovery=False,
        http_client=session,
    )
    result = app.acquire_token_for_client(["https://graph.microsoft.com/.default"])
    assert result["token_type"] == "Bearer" and result["expires_in"] == 3599


def test_authorization_client_assigns_and_lists(
    azure: LocalAzure, deployer: Client, app: Identity, workspace: Any, passes: Passes
) -> None:
    """azure-mgmt-authorization creates, lists and deletes a role assignment at a workspace."""
    client = AuthorizationManagementClient(
        credential(azure, azure.client_id, azure.client_secret),
        azure.subscription_id,
        base_url=azure.url,
        credential_scopes=[f"{azure.url}/.default"],
        connection_verify=str(azure.ca_file),
    )
    client = passes.watch("azure-mgmt-authorization", client)
    role = next(iter(client.role_definitions.list(workspace["id"], filter="roleName eq 'Reader'")))
    assert role.name == READER
    name = str(uuid.uuid4())
    made = client.role_assignments.create(
        workspace["id"],
        name,
        _parameters(role.id, app.object_id),
    )
    assert made.scope == workspace["id"]
    listed = list(client.role_assignments.list_for_scope(workspace["id"], filter=f"principalId eq '{app.object_id}'"))
    assert [one.name for one in listed] == [name]
    client.role_assignments.delete(workspace["id"], name)
    assert not list(client.role_assignments.list_for_scope(workspace["id"], filter=f"principalId eq '{app.object_id}'"))


def _parameters(role: str, principal: str) -> Any:
    from azure.mgmt.authorization.v2022_04_01.models import RoleAssignmentCreateParameters

    return RoleAssignmentCreateParameters(
        role_definition_id=role, principal_id=principal, principal_type="ServicePrincipal"
    )


def test_logs_client_queries_with_reader_only(
    azure: LocalAzure, deployer: Client, app: Identity, workspace: Any, passes: Passes
) -> None:
    """azure-monitor-query is refused without a role and gets rows with Reader."""
    client = LogsQueryClient(
        credential(azure, app.client_id, app.secret),
        endpoint=azure.url,
        audience="https://api.loganalytics.io",
        connection_verify=str(azure.ca_file),
    )
    client = passes.watch("azure-monitor-query", client)
    customer = workspace["properties"]["customerId"]
    with pytest.raises(HttpResponseError) as refused:
        client.query_workspace(customer, "Heartbeat | take 1", timespan=timedelta(hours=2))
    assert refused.value.status_code == 403 and "InsufficientAccessError" in str(refused.value)
    deployer.grant(READER, workspace["id"], app.object_id)
    answer = client.query_workspace(customer, "Heartbeat | take 3", timespan=timedelta(hours=2))
    assert answer.status == LogsQueryStatus.SUCCESS
    assert len(answer.tables[0].rows) == 3 and "TimeGenerated" in answer.tables[0].columns


def test_custom_metric_needs_role_and_exact_audience(
    azure: LocalAzure, deployer: Client, app: Identity, workspace: Any
) -> None:
    """A custom metric is accepted with Monitoring Metrics Publisher and the audience with its slash, and can be read back."""
    from datetime import UTC, datetime

    client = Client(azure, app.client_id, app.secret)
    body = {
        "time": datetime.now(UTC).isoformat(),
        "data": {
            "baseData": {
                "metric": "QueueDepth",
                "namespace": "Entrant",
                "dimNames": ["Queue"],
                "series": [{"dimValues": ["a"], "min": 1, "max": 3, "sum": 4, "count": 2}],
            }
        },
    }
    path, scope = f"{workspace['id']}/metrics", "https://monitoring.azure.com//.default"
    assert client.call("POST", path, body, scope=scope).status_code == 403
    deployer.grant(METRICS_PUBLISHER, workspace["id"], app.object_id)
    assert client.call("POST", path, body, scope="https://monitoring.azure.com/.default").status_code == 401
    assert client.call("POST", path, body, scope="https://management.azure.com/.default").status_code == 401
    assert client.call("POST", path, body, scope=scope).status_code == 200
    assert [one["dimensions"] for one in azure.metrics(workspace["id"])] == [{"Queue": "a"}]
