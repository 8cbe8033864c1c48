"""Logs Ingestion: rows sent through a data collection rule come back by query, for those who may."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.monitor.ingestion import LogsIngestionClient

from local_azure import LocalAzure
from tests.local_azure.conftest import METRICS_PUBLISHER, Client, Identity
from tests.local_azure.test_clients import credential
from tests.passes import Passes

STREAM = "Custom-Orders"
SCOPE = "https://monitor.azure.com/.default"


@pytest.fixture
def rule(deployer: Client, group_id: str, workspace: Any) -> Any:
    """A data collection rule whose transformation adds a column."""
    columns = [
        {"name": "Time", "type": "datetime"},
        {"name": "Name", "type": "string"},
        {"name": "Amount", "type": "int"},
        {"name": "More", "type": "dynamic"},
    ]
    flow = {
        "streams": [STREAM],
        "destinations": ["law"],
        "transformKql": "source | extend TimeGenerated = Time, Double = Amount * 2 | project-away Time",
        "outputStream": "Custom-Orders_CL",
    }
    properties = {
        "streamDeclarations": {STREAM: {"columns": columns}},
        "destinations": {"logAnalytics": [{"workspaceResourceId": workspace["id"], "name": "law"}]},
        "dataFlows": [flow],
    }
    table = {"schema": {"name": "Orders_CL", "columns": [{"name": "TimeGenerated", "type": "dateTime"}]}}
    deployer.arm("PUT", f"{workspace['id']}/tables/Orders_CL", {"properties": table}, version="2023-09-01")
    path = f"{group_id}/providers/Microsoft.Insights/dataCollectionRules/dcr"
    return deployer.arm("PUT", path, {"location": "westeurope", "properties": properties}, version="2023-03-11")


@pytest.fixture
def endpoint(deployer: Client, group_id: str) -> str:
    """Where a data collection endpoint says that logs go."""
    path = f"{group_id}/providers/Microsoft.Insights/dataCollectionEndpoints/dce"
    found = deployer.arm("PUT", path, {"location": "westeurope"}, version="2023-03-11")
    return str(found["properties"]["logsIngestion"]["endpoint"])


def query(deployer: Client, workspace: Any, text: str) -> Any:
    path = f"/v1/workspaces/{workspace['properties']['customerId']}/query"
    response = deployer.call("POST", path, {"query": text})
    assert response.status_code == 200, response.text
    return response.json()["tables"][0]["rows"]


def test_ingestion_client_sends_and_query_reads(
    azure: LocalAzure, deployer: Client, app: Identity, workspace: Any, rule: Any, endpoint: str, passes: Passes
) -> None:
    """azure-monitor-ingestion is refused without a role on the rule; with it, what it sends is transformed and comes back."""
    client = LogsIngestionClient(
        endpoint, credential(azure, app.client_id, app.secret), connection_verify=str(azure.ca_file)
    )
    client = passes.watch("azure-monitor-ingestion", client)
    moment = datetime.now(UTC) - timedelta(minutes=3)
    rows: list[Any] = [
        {"Time": moment.isoformat(), "Name": f"n{at}", "Amount": at, "More": {"at": at}} for at in range(3)
    ]
    immutable = rule["properties"]["immutableId"]
    with pytest.raises(HttpResponseError) as refused:
        client.upload(immutable, STREAM, rows)
    assert refused.value.status_code == 403
    deployer.grant(METRICS_PUBLISHER, rule["id"], app.object_id)
    client.upload(immutable, STREAM, rows)
    found = query(deployer, workspace, "Orders_CL | order by Name asc | project Name, Amount, Double, More.at, Type")
    assert [row[:3] for row in found] == [["n0", 0, 0], ["n1", 1, 2], ["n2", 2, 4]]
    assert [str(row[3]) for row in found] == ["0", "1", "2"] and {row[4] for row in found} == {"Orders_CL"}
    times = query(deployer, workspace, "Orders_CL | where TimeGenerated < ago(2m) | count")
    assert times == [[3]]


def test_rule_keeps_its_immutable_id(deployer: Client, rule: Any) -> None:
    """An update keeps the immutable id."""
    body = {"location": rule["location"], "properties": rule["properties"] | {"immutableId": "dcr-other"}}
    again = deployer.arm("PUT", rule["id"], body, version="2023-03-11")
    assert again["properties"]["immutableId"] == rule["properties"]["immutableId"]


def test_standard_table(azure: LocalAzure, deployer: Client, app: Identity, workspace: Any, rule: Any) -> None:
    """A standard stream goes to its table without a declaration; what a rule says in a wrong shape is refused, not failed on."""
    client = Client(azure, app.client_id, app.secret)
    deployer.grant(METRICS_PUBLISHER, rule["id"], app.object_id)
    properties = rule["properties"] | {"dataFlows": [{"streams": ["Microsoft-Perf"], "destinations": ["law"]}]}
    path = f"/dataCollectionRules/{properties['immutableId']}/streams/Microsoft-Perf?api-version=2023-01-01"
    row = {"Computer": "sent-here", "CounterValue": 1.5, "Unknown": 1}
    for flows, status in ((properties["dataFlows"], 200), ([{"streams": 5}], 400), (7, 400)):
        body = {"location": rule["location"], "properties": properties | {"dataFlows": flows}}
        deployer.arm("PUT", rule["id"], body, status=status, version="2023-03-11")
    assert client.call("POST", path, [row], scope=SCOPE).status_code == 204
    assert query(deployer, workspace, "Perf | where Computer == 'sent-here' | project CounterValue") == [[1.5]]


def test_what_is_refused(azure: LocalAzure, deployer: Client, app: Identity, rule: Any) -> None:
    """Wrong audience, rule, stream and body are refused; a small body that inflates to more than 1 MB is too."""
    deployer.grant(METRICS_PUBLISHER, rule["id"], app.object_id)
    client = Client(azure, app.client_id, app.secret)
    path = f"/dataCollectionRules/{rule['properties']['immutableId']}/streams/{STREAM}?api-version=2023-01-01"

    def send(content: bytes, url: str = path, scope: str = SCOPE, **headers: str) -> int:
        return client.call("POST", url, scope=scope, data=content, headers=headers).status_code

    zipped = {"Content-Encoding": "gzip"}
    assert send(b"[]") == send(gzip.compress(b"[]"), **zipped) == 204
    assert send(b"[]", scope="https://graph.microsoft.com/.default") == 401
    assert send(b"[]", path.replace("dcr-", "dcr-0")) == 404
    assert send(b"[{}]", path.replace(STREAM, "Custom-Other")) == 400
    assert send(b"{}") == send(b"[1]") == send(b"[", **zipped) == send(gzip.compress(b"[]")[:-4], **zipped) == 400
    assert send(gzip.compress(json.dumps([{"Name": "x" * 2_000_000}]).encode()), **zipped) == 413
    assert send(b"[]", **{"Content-Encoding": "br"}) == 415


@pytest.mark.parametrize(
    ("change", "code", "target"),
    [
        ({"destinations": ["elsewhere"]}, "InvalidDataFlow", "Properties.DataFlows"),
        ({"streams": ["Custom-Missing"]}, "InvalidDataFlow", "properties.dataFlows[0]"),
        ({"streams": ["Orders"]}, "InvalidDataFlow", "properties.dataFlows[0]"),
        ({"streams": []}, "InvalidDataFlow", "properties.dataFlows[0]"),
        ({"outputStream": "Custom-Missing_CL"}, "InvalidOutputTable", "properties.dataFlows[0]"),
        ({"outputStream": "Orders_CL"}, "InvalidDataFlow", "properties.dataFlows[0]"),
        ({"transformKql": "source | where Nothing > 1"}, "InvalidTransform", "properties.dataFlows[0]"),
        ({"transformKql": "source | whare"}, "InvalidTransform", "properties.dataFlows[0]"),
    ],
)
def test_data_flow_that_does_not_fit(
    deployer: Client, rule: Any, change: dict[str, Any], code: str, target: str
) -> None:
    """A flow whose streams, destinations, table or transformation are none is refused as InvalidPayload; the rule stays."""
    properties = {**rule["properties"], "dataFlows": [rule["properties"]["dataFlows"][0] | change]}
    body = {"location": "westeurope", "properties": properties}
    error = deployer.arm("PUT", rule["id"], body, status=400, version="2023-03-11")["error"]
    assert (error["code"], error["message"]) == ("InvalidPayload", "Data collection rule is invalid")
    assert [(one["code"], one["target"]) for one in error["details"]] == [(code, target)]
    assert deployer.arm("GET", rule["id"], version="2023-03-11")["properties"] == rule["properties"]


@pytest.mark.parametrize(
    ("part", "value", "code"),
    [
        ("streamDeclarations", {"Orders": {"columns": [{"name": "a", "type": "int"}]}}, "InvalidStream"),
        ("streamDeclarations", {STREAM: {"columns": []}}, "InvalidStream"),
        ("streamDeclarations", {STREAM: {"columns": [{"name": "a", "type": "moment"}]}}, "InvalidStream"),
        ("destinations", {"logAnalytics": [{"workspaceResourceId": "/none", "name": "law"}]}, "InvalidDestination"),
        ("dataFlows", "all", "InvalidProperty"),
    ],
)
def test_rule_that_cannot_be(deployer: Client, rule: Any, part: str, value: Any, code: str) -> None:
    """A declaration, a destination or a whole part that is none is refused."""
    body = {"location": "westeurope", "properties": {**rule["properties"], part: value}}
    error = deployer.arm("PUT", rule["id"], body, status=400, version="2023-03-11")["error"]
    assert error["code"] == "InvalidPayload" and error["details"][0]["code"] == code
