"""The Application Insights API: its components in Resource Manager, queries, metrics, events, and who may read them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from azure.monitor.query import LogsQueryClient, LogsQueryStatus

from local_azure import LocalAzure
from tests.local_azure.conftest import METRICS_PUBLISHER, READER, Client, Identity
from tests.local_azure.test_clients import credential
from tests.passes import Passes

SCOPE = "https://api.applicationinsights.io/.default"
VERSION = "2020-02-02"


@pytest.fixture
def component(deployer: Client, workspace: dict[str, Any]) -> dict[str, Any]:
    """A fresh component that keeps its telemetry in a workspace."""
    group = workspace["id"].rpartition("/providers/")[0]
    body = {"location": "westeurope", "kind": "web", "properties": {"WorkspaceResourceId": workspace["id"]}}
    found: dict[str, Any] = deployer.arm("PUT", f"{group}/providers/{TYPE}/shop", body, version=VERSION)
    return found


TYPE = "Microsoft.Insights/components"


@pytest.fixture
def reader(azure: LocalAzure, deployer: Client, app: Identity, component: dict[str, Any]) -> Client:
    """An app with Reader on the component alone."""
    deployer.grant(READER, component["id"], app.object_id)
    return Client(azure, app.client_id, app.secret)


def path(component: dict[str, Any], rest: str) -> str:
    return f"/v1/apps/{component['properties']['AppId']}/{rest}"


def ask(client: Client, component: dict[str, Any], rest: str, **query: str) -> Any:
    answer = client.call("GET", path(component, rest), scope=SCOPE, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refusal(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def count(client: Client, component: dict[str, Any], query: str) -> list[Any]:
    answer = client.call("POST", path(component, "query"), {"query": query}, scope=SCOPE)
    assert answer.status_code == 200, answer.text
    rows: list[Any] = answer.json()["tables"][0]["rows"]
    return rows


# ------------------------------------------------------------------------------------------------------- the component


def test_a_component_has_ids_that_stay(deployer: Client, component: dict[str, Any]) -> None:
    properties = component["properties"]
    assert uuid.UUID(properties["AppId"]) and properties["ApplicationId"] == "shop"
    assert properties["IngestionMode"] == "LogAnalytics"
    assert f"InstrumentationKey={properties['InstrumentationKey']};" in properties["ConnectionString"]
    body = {"location": "westeurope", "properties": {"RetentionInDays": 30}}
    again = deployer.arm("PUT", component["id"], body, version=VERSION)
    assert again["properties"]["AppId"] == properties["AppId"]
    assert (again["properties"]["RetentionInDays"], properties["RetentionInDays"]) == (30, 90)


def test_a_component_that_is_gone_is_unknown(deployer: Client, component: dict[str, Any]) -> None:
    deployer.arm("DELETE", component["id"], version=VERSION)
    answer = deployer.call("POST", path(component, "query"), {"query": "requests"}, scope=SCOPE)
    assert refusal(answer) == (404, "ApplicationNotFoundError")


# ----------------------------------------------------------------------------------------------------------- telemetry


def test_tables_are_known_by_both_their_names(reader: Client, component: dict[str, Any]) -> None:
    same = [count(reader, component, f"{name} | count") for name in ("requests", "AppRequests")]
    assert same == [[[30]], [[30]]]
    rows = count(
        reader, component, "requests | where success == 'False' | project name, resultCode, cloud_RoleName | take 1"
    )
    assert rows == [["GET /", "500", "shop"]]
    rows = count(
        reader, component, "AppRequests | where Success == false | project Name, ResultCode, AppRoleName | take 1"
    )
    assert rows == [["GET /", "500", "shop"]]
    assert count(reader, component, "customMetrics | where value != valueSum / valueCount | count") == [[0]]


def test_a_workspace_sees_the_telemetry_of_all_its_components_and_a_component_its_own(
    azure: LocalAzure, deployer: Client, reader: Client, component: dict[str, Any], workspace: dict[str, Any]
) -> None:
    group = workspace["id"].rpartition("/providers/")[0]
    body = {"location": "westeurope", "properties": {"WorkspaceResourceId": workspace["id"]}}
    other = deployer.arm("PUT", f"{group}/providers/{TYPE}/other", body, version=VERSION)
    query = {"query": "AppRequests | summarize n = count() by _ResourceId | order by _ResourceId asc"}
    seen = deployer.call("POST", f"/v1/workspaces/{workspace['properties']['customerId']}/query", query)
    assert seen.json()["tables"][0]["rows"] == [[other["id"].lower(), 30], [component["id"].lower(), 30]]
    assert count(reader, component, "AppRequests | count") == [[30]]
    refused = reader.call("POST", path(other, "query"), query, scope=SCOPE)
    assert refusal(refused) == (403, "InsufficientAccessError")


def test_a_component_without_a_workspace_keeps_its_own(deployer: Client, group_id: str) -> None:
    classic = deployer.arm("PUT", f"{group_id}/providers/{TYPE}/classic", {"location": "westeurope"}, version=VERSION)
    assert classic["properties"]["IngestionMode"] == "ApplicationInsights"
    assert count(deployer, classic, "traces | count") == [[30]]


def test_a_timespan_narrows_a_query(reader: Client, component: dict[str, Any]) -> None:
    body = {"query": "requests | summarize max(now() - timestamp) < 40m", "timespan": "PT40M"}
    narrowed = reader.call("POST", path(component, "query"), body, scope=SCOPE).json()["tables"][0]["rows"]
    assert narrowed == [[True]]
    assert ask(reader, component, "query", query="requests | count")["tables"][0]["rows"] == [[30]]


def test_a_wrong_query_is_refused_with_the_reason(reader: Client, component: dict[str, Any]) -> None:
    answer = reader.call("POST", path(component, "query"), {"query": "requests | where nme == 1"}, scope=SCOPE)
    assert refusal(answer) == (400, "BadArgumentError")
    assert answer.json()["error"]["innererror"]["code"] == "SemanticError"


# ------------------------------------------------------------------------------------------------------------- metrics


def test_metrics_are_those_of_the_telemetry(reader: Client, component: dict[str, Any]) -> None:
    value = ask(reader, component, "metrics/requests/count")["value"]
    assert value["requests/count"] == {"sum": 30} and value["start"] < value["end"]
    failed = count(reader, component, "requests | where success == 'False' | count")
    assert ask(reader, component, "metrics/requests/failed")["value"]["requests/failed"] == {"sum": failed[0][0]}
    longest = count(reader, component, "requests | summarize max(duration), avg(duration)")[0]
    value = ask(reader, component, "metrics/requests/duration", aggregation="max,avg")["value"]["requests/duration"]
    assert (value["max"], round(value["avg"], 6)) == (longest[0], round(longest[1], 6))
    assert ask(reader, component, "metrics/users/count")["value"]["users/count"] == {"unique": 4}
    own = ask(reader, component, "metrics/customMetrics/queue_length", aggregation="count")["value"]
    assert own["customMetrics/queue_length"] == {"count": 6}


def test_metrics_are_split_by_interval_and_segment(reader: Client, component: dict[str, Any]) -> None:
    value = ask(reader, component, "metrics/requests/count", timespan="PT2H", interval="PT30M")["value"]
    assert (value["interval"], len(value["segments"])) == ("PT30M", 4)
    assert sum(part["requests/count"]["sum"] or 0 for part in value["segments"]) == 30
    by_name = ask(reader, component, "metrics/requests/count", segment="request/name")["value"]["segments"]
    assert {part["request/name"]: part["requests/count"]["sum"] for part in by_name} == {
        "GET /": 10,
        "GET /orders": 10,
        "POST /orders": 10,
    }
    some = ask(reader, component, "metrics/requests/count", filter="request/resultCode eq '500'")["value"]
    assert some["requests/count"]["sum"] == 3


def test_several_metrics_are_each_answered_by_itself(reader: Client, component: dict[str, Any]) -> None:
    body = [
        {"id": "one", "parameters": {"metricId": "exceptions/count"}},
        {"id": "two", "parameters": {"metricId": "no/such"}},
        {"id": "three", "parameters": {"metricId": "requests/duration", "aggregation": ["min", "max"]}},
    ]
    answer = reader.call("POST", path(component, "metrics"), body, scope=SCOPE).json()
    assert [(one["id"], one["status"]) for one in answer] == [("one", 200), ("two", 400), ("three", 200)]
    assert answer[0]["body"]["value"]["exceptions/count"] == {"sum": 3}
    assert set(answer[2]["body"]["value"]["requests/duration"]) == {"min", "max"}


@pytest.mark.parametrize(
    "query",
    [
        {"aggregation": "median"},
        {"segment": "request/nme"},
        {"interval": "1h"},
        {"interval": "PT0S"},
        {"timespan": "yesterday"},
        {"filter": "request/name eq"},
        {"top": "many"},
    ],
)
def test_what_a_metric_cannot_be_asked_for_is_refused(
    reader: Client, component: dict[str, Any], query: dict[str, str]
) -> None:
    answer = reader.call("GET", path(component, "metrics/requests/count"), scope=SCOPE, params=query)
    assert refusal(answer) == (400, "BadArgumentError")


# -------------------------------------------------------------------------------------------------------------- events


def test_events_are_filtered_ordered_and_counted(reader: Client, component: dict[str, Any]) -> None:
    found = ask(
        reader,
        component,
        "events/requests",
        **{"$filter": "request/resultCode eq '500' and cloud/roleName eq 'shop'", "$top": "2", "$count": "true"},
    )
    assert (found["@odata.count"], len(found["value"])) == (3, 2)
    newest, older = found["value"]
    assert newest["timestamp"] > older["timestamp"]
    assert (newest["type"], newest["request"]["success"], newest["ai"]["appName"]) == ("request", "False", "shop")
    slow = ask(reader, component, "events/requests", **{"$orderby": "request/duration desc", "$top": "3"})["value"]
    durations = [one["request"]["duration"] for one in slow]
    assert durations == sorted(durations, reverse=True) and all(durations)
    assert len(ask(reader, component, "events/exceptions", **{"$search": "did not answer"})["value"]) == 3
    assert {one["type"] for one in ask(reader, component, "events/$all")["value"]} >= {"request", "trace", "exception"}
    again = ask(reader, component, f"events/requests/{newest['id']}")["value"]
    assert again == [newest] and set(newest["client"]) >= {"ip", "os", "countryOrRegion"}


@pytest.mark.parametrize("query", [{"$apply": "aggregate($count as n)"}, {"$select": "id"}, {"$top": "-1"}])
def test_what_is_not_there_is_refused_by_name(reader: Client, component: dict[str, Any], query: dict[str, str]) -> None:
    answer = reader.call("GET", path(component, "events/traces"), scope=SCOPE, params=query)
    assert refusal(answer) == (400, "BadArgumentError")
    assert next(iter(query)) in answer.json()["error"]["innererror"]["message"]


# -------------------------------------------------------------------------------------------------------------- access


@pytest.mark.parametrize(
    "rest", ["query?query=requests", "metrics/requests/count", "events/traces", "metrics/metadata"]
)
def test_the_audience_and_a_role_on_the_component_decide(
    azure: LocalAzure, deployer: Client, app: Identity, component: dict[str, Any], workspace: dict[str, Any], rest: str
) -> None:
    client = Client(azure, app.client_id, app.secret)
    for audience in ("https://api.loganalytics.io", "https://management.azure.com", "https://monitoring.azure.com/"):
        answer = client.call("GET", path(component, rest), scope=f"{audience}/.default")
        assert refusal(answer) == (403, "InvalidAuthenticationTokenAudience")
        assert "'https://api.applicationinsights.io/'" in answer.json()["error"]["message"]
    deployer.grant(READER, workspace["id"], app.object_id)
    deployer.grant(METRICS_PUBLISHER, component["id"], app.object_id)
    assert refusal(client.call("GET", path(component, rest), scope=SCOPE)) == (403, "InsufficientAccessError")
    unknown = client.call("GET", f"/v1/apps/{uuid.uuid4()}/{rest}", scope=SCOPE)
    assert refusal(unknown) == (403, "InsufficientAccessError"), "who may see nothing is not told what there is"
    deployer.grant(READER, component["id"], app.object_id)
    assert client.call("GET", path(component, rest), scope=SCOPE).status_code == 200
    unknown = deployer.call("GET", f"/v1/apps/{uuid.uuid4()}/{rest}", scope=SCOPE)
    assert refusal(unknown) == (404, "ApplicationNotFoundError")
    anonymous = client.session.get(azure.url + path(component, rest))
    assert refusal(anonymous) == (401, "AuthenticationFailed")


@pytest.mark.parametrize("parts", [3, 5])
def test_a_query_of_a_subscription_or_a_group_is_refused(reader: Client, workspace: dict[str, Any], parts: int) -> None:
    """[?] Azure answers it for those who may read there; here nothing is queried but workspaces and components."""
    scope = "/".join(workspace["id"].split("/")[:parts])
    answer = reader.call("POST", f"/v1{scope}/query", {"query": "print 1"})
    assert refusal(answer) == (403, "InsufficientAccessError")


def test_a_new_role_works_later_at_application_insights(
    azure: LocalAzure, deployer: Client, reader: Client, component: dict[str, Any]
) -> None:
    """Its own delay: Resource Manager knows the role already."""
    azure.admin("PATCH", "settings", {"propagation": {"insights": 3600}})
    try:
        assert reader.arm("GET", component["id"], version=VERSION)["name"] == "shop"
        answer = reader.call("GET", path(component, "metrics/requests/count"), scope=SCOPE)
        assert refusal(answer) == (403, "InsufficientAccessError")
        azure.admin("PATCH", "settings", {"clock": {"offset": 3601}})
        reader.token(SCOPE, fresh=True)
        assert ask(reader, component, "metrics/requests/count", timespan="PT2H")["value"]["requests/count"]["sum"] == 30
    finally:
        azure.admin("PATCH", "settings", {"propagation": {"insights": 0}, "clock": {"offset": 0}})


def test_logs_client_queries_a_component(
    azure: LocalAzure, app: Identity, reader: Client, component: dict[str, Any], passes: Passes
) -> None:
    """azure-monitor-query asks Log Analytics for a component by its resource id."""
    client = passes.watch(
        "azure-monitor-query",
        LogsQueryClient(
            credential(azure, app.client_id, app.secret),
            endpoint=azure.url,
            audience="https://api.loganalytics.io",
            connection_verify=str(azure.ca_file),
        ),
    )
    result = client.query_resource(component["id"], "AppRequests | count", timespan=None)
    assert result.status == LogsQueryStatus.SUCCESS and result.tables[0].rows[0][0] == 30
    with pytest.raises(HttpResponseError) as refused:
        client.query_resource(component["id"].replace("shop", "none"), "AppRequests", timespan=None)
    assert refused.value.status_code == 403
