"""What is sent to Azure Monitor, and what is refused before it is."""

import dataclasses
import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from entrant.access import monitor
from entrant.errors import ConfigurationError, PartialResultError, RefusedError
from entrant.facts.clouds import CLOUDS
from tests.entrant.authority import TENANT, Answer, Authority, serve

ROOT = Path(__file__).resolve().parents[2]
SUBSCRIPTION = "/subscriptions/00000000-0000-4000-8000-000000000001"
WORKSPACE = f"{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.OperationalInsights/workspaces/law"
PARTIAL = {
    "tables": [{"name": "PrimaryResult", "columns": [{"name": "n", "type": "long"}], "rows": [[1], [2]]}],
    "error": {
        "code": "PartialError",
        "message": "There were some errors when processing your query.",
        "details": [
            {
                "code": "EngineError",
                "message": "Something went wrong processing your query on the server.",
                "innererror": {"code": "-2133196797", "message": "The results exceed the limit of 500000 records."},
            }
        ],
    },
}
PARTIAL_SAID = (
    "the query gave only a part of its result: PartialError: There were some errors when processing your query: "
    "EngineError: Something went wrong processing your query on the server: -2133196797: "
    "The results exceed the limit of 500000 records."
)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    with serve(tmp_path) as running:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.ca_file))
        yield running


def test_a_partial_result_keeps_its_rows_and_says_what_is_missing(api: Authority) -> None:
    api.script = [Answer(200, PARTIAL)]
    with pytest.raises(PartialResultError) as caught:
        monitor.query_logs(dataclasses.replace(CLOUDS["public"], logs=api.url), "token", WORKSPACE, "T")
    assert caught.value.table == monitor.Table(("n",), ((1,), (2,)))
    assert (str(caught.value), caught.value.code, caught.value.status) == (PARTIAL_SAID, "PartialError", 200)


def test_a_partial_result_is_printed_and_its_error_told_with_exit_code_4(api: Authority) -> None:
    api.script = [Answer(200, {"token_type": "Bearer", "expires_in": 99, "access_token": "t"}), Answer(200, PARTIAL)]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "ARM_", "ENTRANT_"))} | {
        "AZURE_AUTHORITY_HOST": api.url,
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": "c1",
        "AZURE_CLIENT_SECRET": "s",
        "ENTRANT_LOGS_ENDPOINT": api.url,
    }
    command = [sys.executable, "-m", "entrant", "logs", "query", "T", "-w", WORKSPACE, "--format", "csv"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (4, ["n", "1", "2"]), done.stderr
    assert done.stderr.splitlines()[0] == f"entrant: {PARTIAL_SAID}"


def test_the_innermost_message_of_a_refused_query_is_shown(api: Authority) -> None:
    inner = {"code": "SEM0100", "message": "Failed to resolve scalar expression named 'nosuch'"}
    error = {"code": "SemanticError", "message": "A semantic error occurred.", "innererror": inner}
    outer = {"code": "BadArgumentError", "message": "The request had some invalid properties", "innererror": error}
    api.script = [Answer(400, {"error": outer})]
    with pytest.raises(RefusedError) as caught:
        monitor.query_logs(dataclasses.replace(CLOUDS["public"], logs=api.url), "token", WORKSPACE, "T")
    assert str(caught.value) == (
        f"POST {api.url}/v1{WORKSPACE}/query: 400 Bad Request: BadArgumentError: The request had some invalid properties: "
        "SemanticError: A semantic error occurred: SEM0100: Failed to resolve scalar expression named 'nosuch'"
    )
    assert caught.value.next_step is not None and caught.value.next_step.startswith("the query names a table, column")


GROUP = "/subscriptions/0c8a3f5e-1111-4222-8333-444455556666/resourceGroups/rg"
MACHINE = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/vm"


def test_samples_of_one_metric_and_second_travel_together() -> None:
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    samples = [
        monitor.Sample("queue", 3, dimensions={"q": "mail"}, time=now),
        monitor.Sample("queue", 5, dimensions={"q": "mail"}, time=now),
        monitor.Sample("queue", 1, dimensions={"q": "fax"}, time=now),
        monitor.Sample("depth", 9, time=now),
    ]
    queue, depth = (request.body for request in monitor.metrics(samples))
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
        ({"name": "q"}, 'line 2: not a sample: "value" is missing'),
        ({"name": "q", "value": 1, "tyme": 2}, 'line 2: not a sample: "tyme" is no key of one'),
        ({"name": "q", "value": 1, "time": "yesterday"}, 'line 2: the time "yesterday" cannot be read'),
        ("q", "line 2: not a sample: it is a single value, and a sample is an object"),
        ({"name": "q", "value": 1, "dimensions": [1]}, "line 2: the dimensions of q are not names with values"),
        ([1], "line 2: not a sample: it is a list, and a sample is an object"),
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


def test_a_time_without_a_zone_is_nobodys_local_time() -> None:
    with pytest.raises(ConfigurationError, match="has no zone"):
        monitor.metrics([monitor.Sample("q", 1, time=dt.datetime.now())])


def test_samples_are_read_by_their_line() -> None:
    text = '\n{"name": "q", "value": 1}\n\n{"name": "q", "value": 2}'
    assert monitor.read_samples(text) == {2: monitor.Sample("q", 1), 4: monitor.Sample("q", 2)}


def test_a_region_is_asked_for_where_it_is_part_of_the_address() -> None:
    with pytest.raises(ConfigurationError, match="custom metrics go to the resource's region"):
        monitor.send_metrics(CLOUDS["public"], "token", MACHINE, [monitor.metric("q", 1)])


def test_a_workspace_is_a_guid_or_an_id() -> None:
    for workspace in (
        "law-dev",
        ".evil.example",
        "/",
        "/law-dev",
        f"{WORKSPACE}?x",
        f"{WORKSPACE}#x",
        "//evil.example/x",
    ):
        with pytest.raises(ConfigurationError, match="neither a workspace GUID nor a resource id"):
            monitor.query_logs(CLOUDS["public"], "token", workspace, "Heartbeat")
