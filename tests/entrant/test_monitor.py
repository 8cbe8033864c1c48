"""What is sent to Azure Monitor, and what is refused before it is."""

import datetime as dt
import json
from typing import Any

import pytest

from entrant import monitor
from entrant.errors import ConfigurationError
from facts.clouds import CLOUDS


def test_samples_of_one_metric_and_second_travel_together() -> None:
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    samples = [
        monitor.Sample("queue", 3, dimensions={"q": "mail"}, time=now),
        monitor.Sample("queue", 5, dimensions={"q": "mail"}, time=now),
        monitor.Sample("queue", 1, dimensions={"q": "fax"}, time=now),
        monitor.Sample("depth", 9, time=now),
    ]
    queue, depth = monitor.metrics(samples)
    assert queue["time"] == f"{now:%Y-%m-%dT%H:%M:%SZ}"
    assert queue["data"]["baseData"]["dimNames"] == ["q"]
    assert queue["data"]["baseData"]["series"] == [
        {"dimValues": ["mail"], "min": 3, "max": 5, "sum": 8, "count": 2},
        {"dimValues": ["fax"], "min": 1, "max": 1, "sum": 1, "count": 1},
    ]
    assert depth["data"]["baseData"]["metric"] == "depth"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"name": "q", "value": "7"}, "line 2: the value of q is not a number"),
        ({"name": "q", "value": True}, "line 2: the value of q is not a number"),
        ({"name": "", "value": 1}, "line 2: a metric needs a name and a namespace"),
        ({"name": "q"}, "line 2 is not a sample"),
        ({"name": "q", "value": 1, "tyme": 2}, "line 2 is not a sample"),
        ({"name": "q", "value": 1, "time": "yesterday"}, "line 2 is not a sample"),
        ({"name": "q", "value": 1, "dimensions": [1]}, "line 2 is not a sample"),
        ([1], "line 2 is not a sample"),
    ],
)
def test_a_wrong_line_is_named(line: Any, says: str) -> None:
    text = json.dumps({"name": "ok", "value": 1}) + "\n" + json.dumps(line) + "\n"
    with pytest.raises(ConfigurationError) as caught:
        monitor.read_samples(text)
    assert str(caught.value) == says


@pytest.mark.parametrize("minutes", [-21, 6])
def test_a_metric_that_azure_would_refuse_for_its_time_is_not_sent(minutes: int) -> None:
    sample = monitor.Sample("q", 1, time=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes))
    with pytest.raises(ConfigurationError, match="custom metrics are taken up to 20 minutes old and 5 ahead"):
        monitor.metrics([sample])


def test_a_region_is_asked_for_where_it_is_part_of_the_address() -> None:
    with pytest.raises(ConfigurationError, match="custom metrics go to the resource's region"):
        monitor.send_metrics(CLOUDS["public"], "token", "/subscriptions/x", [monitor.metric("q", 1)])


def test_a_workspace_is_a_guid_or_an_id() -> None:
    with pytest.raises(ConfigurationError, match="neither a workspace GUID nor a resource id"):
        monitor.query_logs(CLOUDS["public"], "token", "law-dev", "Heartbeat")
