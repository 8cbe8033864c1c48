"""Options whose success no other test sees at the other end: what they change is looked at in the local Azure."""

import base64
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

import local_azure
from entrant.access import monitor
from entrant.cli import cli
from entrant.facts.clouds import CLOUDS
from tests.local_azure.conftest import Client

GROUP = "/subscriptions/0c8a3f5e-1111-4222-8333-444455556666/resourceGroups/rg-options"
WORKSPACES = [f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/law-{name}" for name in ("one", "two")]


def entrant(azure: local_azure.LocalAzure, *arguments: str, code: int = 0) -> Result:
    """Run a command as the local Azure's deployer."""
    env = {name: None for name in os.environ if name.startswith(("AZURE_", "ARM_", "ENTRANT_"))} | azure.environment()
    done = CliRunner().invoke(cli, arguments, env=env, standalone_mode=False)
    assert done.exception is None, repr(done.exception)
    assert (done.return_value or 0) == code, done.output
    return done


@pytest.fixture(scope="module")
def there(azure: local_azure.LocalAzure) -> local_azure.LocalAzure:
    """A local Azure with two workspaces."""
    azure.ensure(WORKSPACES)
    return azure


def count(azure: local_azure.LocalAzure, *options: str) -> int:
    """How many rows a query of heartbeats counts."""
    done = entrant(azure, "logs", "query", "Heartbeat | count", *options, "--format", "json")
    return int(json.loads(done.stdout)[0]["Count"])


def test_a_timespan_and_further_workspaces_are_part_of_the_query(there: local_azure.LocalAzure) -> None:
    one, two = WORKSPACES
    whole = count(there, "-w", one)
    assert 0 < count(there, "-w", one, "--timespan", "PT10M") < whole
    assert count(there, "-w", one, "--workspace", two) == whole + count(there, "-w", two) > whole


@pytest.fixture
def clean(azure: local_azure.LocalAzure) -> Iterator[Client]:
    """A client of a local Azure that has no faults, before and after."""
    azure.faults()
    yield Client(azure)
    azure.faults()
    azure.admin("PATCH", "settings", {"clock": {"speed": 1}, "propagation": 0})


def statuses(client: Client, *methods: str) -> list[int]:
    """What Graph answers to requests about applications."""
    body = {"displayName": "Made"}
    return [client.call(how, "/v1.0/applications", body if how == "POST" else None).status_code for how in methods]


def test_a_fault_hits_one_method_so_many_times(azure: local_azure.LocalAzure, clean: Client) -> None:
    entrant(azure, "local", "faults", "status", "--method", "GET", "--count", "2", "--family", "graph", *state(azure))
    assert statuses(clean, "POST", "GET", "POST", "GET", "GET") == [201, 503, 201, 503, 200]


def test_a_fault_says_when_to_try_again(azure: local_azure.LocalAzure, clean: Client) -> None:
    words = ["status", "--status", "429", "--retry-after", "7", "--family", "graph"]
    entrant(azure, "local", "faults", *words, *state(azure))
    answer = clean.call("GET", "/v1.0/applications")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")


def test_a_fault_that_comes_after_loses_the_answer_alone(azure: local_azure.LocalAzure, clean: Client) -> None:
    entrant(azure, "local", "faults", "status", "--after", "--method", "POST", "--family", "graph", *state(azure))
    assert clean.call("POST", "/v1.0/applications", {"displayName": "Lost answer"}).status_code == 503
    listed = clean.graph("GET", "/applications?$filter=displayName eq 'Lost answer'")["value"]
    assert len(listed) == 1


def test_what_was_just_created_is_unknown_by_one_of_its_ids(azure: local_azure.LocalAzure, clean: Client) -> None:
    words = ["replication", "--seconds", "600", "--unknown", "appId"]
    entrant(azure, "local", "faults", *words, *state(azure))
    made = clean.graph("POST", "/applications", {"displayName": "New"})
    assert clean.call("GET", f"/v1.0/applications/{made['id']}").status_code == 200
    assert clean.call("GET", f"/v1.0/applications(appId='{made['appId']}')").status_code == 404


def test_an_operation_fails_after_it_was_accepted(there: local_azure.LocalAzure, clean: Client) -> None:
    entrant(there, "local", "faults", "operation", "--fails", "--seconds", "0", *state(there))
    path = f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/law-fails"
    answer = clean.call("PUT", f"{path}?api-version=2023-09-01", {"location": "westeurope"})
    assert answer.status_code in (201, 202)
    operation: dict[str, Any] = {"status": "InProgress"}
    while operation["status"] == "InProgress":
        operation = clean.call("GET", answer.headers["Azure-AsyncOperation"]).json()
    assert operation["status"] == "Failed"


def test_the_clock_runs_as_fast_as_it_is_told(azure: local_azure.LocalAzure, clean: Client) -> None:
    shown = json.loads(entrant(azure, "local", "settings", "--speed", "1000", *state(azure)).stdout)
    assert shown["clock"]["speed"] == 1000
    later = azure.admin("GET", "settings")["clock"]["now"]
    while azure.admin("GET", "settings")["clock"]["now"] < later + 10:
        pass
    assert azure.admin("GET", "settings")["clock"]["now"] > shown["clock"]["now"] + 10


def state(azure: local_azure.LocalAzure) -> list[str]:
    """The option that names a local Azure."""
    return ["--state", str(azure.state)]


@pytest.mark.parametrize(
    ("cloud", "audience"),
    [("public", "api://AzureADTokenExchange"), ("china", "api://AzureADTokenExchangeChina")],
)
def test_an_assertion_is_for_the_cloud_that_is_named(
    azure: local_azure.LocalAzure, monkeypatch: pytest.MonkeyPatch, cloud: str, audience: str
) -> None:
    for name, value in azure.github_settings("repo:contoso/obs:environment:dev").items():
        monkeypatch.setenv(name, value)
    stdout = entrant(azure, "assertion", "--cloud", cloud).stdout.strip()
    body = stdout.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert (claims["aud"], claims["sub"]) == (audience, "repo:contoso/obs:environment:dev")


def test_a_region_is_part_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def call(method: str, url: str, **more: Any) -> dict[str, Any]:
        calls.append(url)
        return {}

    monkeypatch.setattr("entrant.http.call", call)
    machine = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/vm"
    body: dict[str, Any] = monitor.metric("q", 1)
    assert monitor.send_metrics(CLOUDS["public"], "token", machine, [body], region="westeurope") == 1
    assert calls == [f"https://westeurope.monitoring.azure.com{machine}/metrics"]
