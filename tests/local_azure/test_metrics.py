"""Custom metrics read back: by Resource Manager's API and by azure-monitor-querymetrics, for those who may."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.monitor.querymetrics import MetricsClient

from local_azure import LocalAzure
from tests.local_azure.conftest import METRICS_PUBLISHER, Client, Identity
from tests.local_azure.test_clients import credential
from tests.passes import Passes

MONITORING_READER = "43d0d8ad-25c7-4714-9337-8ba259a9fe05"
NAMESPACE = "Shop"
VERSION = "2024-02-01"


@pytest.fixture
def machine(deployer: Client, group_id: str) -> str:
    """A machine that was sent two samples of `Orders` for mail and one for fax, a minute apart, and one of `Errors`."""
    machine = f"{group_id}/providers/Microsoft.Compute/virtualMachines/vm"
    deployer.arm("PUT", machine, {"location": "westeurope"}, version="2024-07-01")
    deployer.grant(METRICS_PUBLISHER, machine, deployer.azure.object_id)
    for name, queue, minutes, numbers in (
        ("Orders", "mail", 3, (1, 5, 6, 2)),
        ("Orders", "mail", 2, (2, 2, 2, 1)),
        ("Orders", "fax", 2, (10, 10, 10, 1)),
        ("Errors", "mail", 2, (1, 1, 1, 1)),
    ):
        series = {"dimValues": [queue], **dict(zip(("min", "max", "sum", "count"), numbers, strict=True))}
        base = {"metric": name, "namespace": NAMESPACE, "dimNames": ["Queue"], "series": [series]}
        time = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()
        body = {"time": time, "data": {"baseData": base}}
        answer = deployer.call("POST", f"{machine}/metrics", body, scope="https://monitoring.azure.com//.default")
        assert answer.status_code == 200, answer.text
    return machine


def read(client: Client, resource: str, what: str = "metrics", refused: bool = False, **query: str) -> Any:
    """Metrics, definitions or namespaces of a resource."""
    text = "&".join(f"{name.replace('__', '$')}={value}" for name, value in query.items())
    return client.arm(
        "GET",
        f"{resource}/providers/microsoft.insights/{what}?{text}",
        status=400 if refused else None,
        version=VERSION,
    )


def values(metric: Any, name: str) -> list[list[Any]]:
    """The values of an aggregation in each time series, of the intervals that have one."""
    return [[point[name] for point in one["data"] if name in point] for one in metric["timeseries"]]


def test_reading_needs_a_role(azure: LocalAzure, deployer: Client, app: Identity, machine: str) -> None:
    """Metrics are for Monitoring Reader (or Reader), not for whom may only send them."""
    client = Client(azure, app.client_id, app.secret)
    deployer.grant(METRICS_PUBLISHER, machine, app.object_id)
    path = f"{machine}/providers/microsoft.insights/metrics?metricnames=Orders&metricnamespace={NAMESPACE}"
    error = client.arm("GET", path, status=403, version=VERSION)["error"]
    assert "'Microsoft.Insights/metrics/read'" in error["message"]
    deployer.grant(MONITORING_READER, machine, app.object_id)
    assert read(client, machine, metricnames="Orders", metricnamespace=NAMESPACE)["value"]


def test_aggregations_and_intervals(deployer: Client, machine: str) -> None:
    """Samples are added up by interval; an empty interval has its time alone."""
    parameters = {"metricnames": "orders", "metricnamespace": NAMESPACE, "timespan": "PT10M"}
    found = read(deployer, machine, "metrics", False, aggregation="total,count,minimum,maximum,average", **parameters)
    [metric] = found["value"]
    assert metric["name"]["value"] == "Orders" and found["resourceregion"] == "westeurope"
    assert (values(metric, "total"), values(metric, "count")) == ([[6.0, 12.0]], [[2.0, 2.0]])
    assert (values(metric, "minimum"), values(metric, "maximum")) == ([[1.0, 2.0]], [[5.0, 10.0]])
    assert values(metric, "average") == [[3.0, 6.0]] and len(metric["timeseries"][0]["data"]) in (10, 11)
    [whole] = read(deployer, machine, "metrics", False, aggregation="total", interval="FULL", **parameters)["value"]
    assert values(whole, "total") == [[18.0]]


def test_dimensions(deployer: Client, machine: str) -> None:
    """A filter splits by a dimension and keeps the values that it names."""
    parameters = {"metricnames": "Orders", "metricnamespace": NAMESPACE, "interval": "FULL", "aggregation": "Total"}
    [metric] = read(deployer, machine, "metrics", False, **parameters, __filter="Queue eq '*'")["value"]
    found = {one["metadatavalues"][0]["value"]: one["data"][0]["total"] for one in metric["timeseries"]}
    assert found == {"mail": 8.0, "fax": 10.0}
    [metric] = read(deployer, machine, "metrics", False, **parameters, __filter="Queue eq 'mail' or Queue eq 'pigeon'")[
        "value"
    ]
    assert values(metric, "total") == [[8.0]]


def test_definitions_and_namespaces(deployer: Client, machine: str) -> None:
    """What was sent is listed: namespaces, and each metric with its dimensions."""
    found = read(deployer, machine, what="metricDefinitions", metricnamespace=NAMESPACE)["value"]
    assert {one["name"]["value"]: [name["value"] for name in one["dimensions"]] for one in found} == {
        "Orders": ["Queue"],
        "Errors": ["Queue"],
    }
    [space] = read(deployer, machine, what="metricNamespaces")["value"]
    assert space["properties"]["metricNamespaceName"] == NAMESPACE


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"metricnames": "None"}, "Failed to find metric configuration for provider: Microsoft.Compute"),
        ({"metricnames": "Orders", "aggregation": "median"}, "The aggregation 'median' is not supported"),
        ({"metricnames": "Orders", "interval": "PT7M"}, "The interval 'PT7M' is not supported"),
        ({"metricnames": "Orders", "timespan": "soon"}, "The time span or the interval is not one"),
        ({"metricnames": "Orders", "timespan": "P900D"}, "at most 10000 intervals"),
        ({"metricnames": "Orders", "timespan": "P9999999D", "interval": "FULL"}, "The time span must be"),
        ({"metricnames": "Orders", "__filter": "Queue ne 'mail'"}, "The filter"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    deployer: Client, machine: str, query: dict[str, str], message: str
) -> None:
    """A metric, an aggregation, a time or a filter that is none is an error that says so."""
    assert message in read(deployer, machine, "metrics", True, metricnamespace=NAMESPACE, **query)["error"]["message"]


def test_querymetrics_client(azure: LocalAzure, deployer: Client, app: Identity, machine: str, passes: Passes) -> None:
    """azure-monitor-querymetrics reads several resources at once, each of which its identity must be able to read."""
    client = MetricsClient(
        azure.url,
        credential(azure, app.client_id, app.secret),
        audience="https://metrics.monitor.azure.com",
        connection_verify=str(azure.ca_file),
        retry_total=0,
    )
    client = passes.watch("azure-monitor-querymetrics", client)
    parameters: dict[str, Any] = {
        "resource_ids": [machine],
        "metric_namespace": NAMESPACE,
        "metric_names": ["Orders", "Errors"],
        "aggregations": ["Total"],
        "timespan": timedelta(minutes=10),
        "granularity": timedelta(minutes=5),
    }
    with pytest.raises(HttpResponseError) as refused:
        client.query_resources(**parameters)
    assert refused.value.status_code == 403
    deployer.grant(MONITORING_READER, machine, app.object_id)
    [result] = client.query_resources(**parameters)
    totals = {
        metric.name: sum(point.total or 0 for series in metric.timeseries for point in series.data)
        for metric in result.metrics
    }
    assert totals == {"Orders": 18.0, "Errors": 1.0} and result.namespace == NAMESPACE
