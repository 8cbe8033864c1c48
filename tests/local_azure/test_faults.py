"""Faults on demand: what clients meet, for whom, how often, and that a seed repeats it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError

from local_azure import LocalAzure, LocalAzureError
from local_azure.faults import Faults, Rule, family_of, read
from local_azure.wire import Call, Reply
from tests.local_azure.conftest import Client
from tests.local_azure.test_clients import credential

SCOPE = "https://graph.microsoft.com/.default"


@pytest.fixture
def faulty(azure: LocalAzure) -> Iterator[LocalAzure]:
    """The local Azure, without faults again at the end."""
    yield azure
    azure.faults()


def test_throttled_token_is_asked_for_again(faulty: LocalAzure) -> None:
    """azure-identity waits out a 429 with Retry-After and gets its token."""
    faulty.faults({"kind": "status", "family": "token", "status": 429, "retry_after": 1, "count": 2})
    assert credential(faulty, faulty.client_id, faulty.client_secret).get_token(SCOPE).token
    assert faulty.admin("GET", "faults")["rules"][0]["hits"] == 2


def test_token_endpoint_that_stays_down(faulty: LocalAzure) -> None:
    """azure-identity gives up with an authentication error that names what the endpoint said."""
    faulty.faults({"kind": "status", "family": "token", "status": 429, "retry_after": 0})
    with pytest.raises(ClientAuthenticationError, match="asked for by a fault rule"):
        credential(faulty, faulty.client_id, faulty.client_secret).get_token(SCOPE)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_graph_failure(faulty: LocalAzure, deployer: Client, status: int) -> None:
    """Graph fails in Graph's shape; Retry-After is there only when asked for; other families are spared."""
    deployer.token()
    faulty.faults({"kind": "status", "family": "graph", "status": status})
    response = deployer.call("GET", "/v1.0/applications")
    error = response.json()["error"]
    assert response.status_code == status and "Retry-After" not in response.headers
    assert error["code"] and error["innerError"]["date"] > "2020"
    assert deployer.call("GET", "/subscriptions?api-version=2022-12-01").status_code == 200
    faulty.faults({"kind": "status", "family": "graph", "status": status, "retry_after": 7})
    assert deployer.call("GET", "/v1.0/applications").headers["Retry-After"] == "7"


def test_reset_before_and_after(faulty: LocalAzure, deployer: Client) -> None:
    """A reset breaks the connection; with `after`, what the request asked for is done all the same."""
    deployer.token()
    body = {"displayName": "lost-answer"}
    found = "/applications?$filter=displayName eq 'lost-answer'"
    for after in (False, True):
        faulty.faults({"kind": "reset", "route": "/v1.0/applications", "method": "POST", "count": 1, "after": after})
        with pytest.raises(requests.ConnectionError):
            deployer.call("POST", "/v1.0/applications", body)
        assert len(deployer.graph("GET", found)["value"]) == (1 if after else 0)


def test_slow(faulty: LocalAzure, deployer: Client) -> None:
    """A slow route answers no sooner than its seconds, and does not hold others up."""
    deployer.token()
    faulty.faults({"kind": "slow", "family": "arm", "seconds": 0.3})
    begun = time.monotonic()
    assert deployer.call("GET", "/subscriptions?api-version=2022-12-01").status_code == 200
    assert time.monotonic() - begun >= 0.3


def test_replication(faulty: LocalAzure, deployer: Client, group_id: str) -> None:
    """What was created is unknown at first, in Graph and in Resource Manager, and known when the clock has moved on."""
    faulty.faults({"kind": "replication", "seconds": 60})
    made = deployer.graph("POST", "/applications", {"displayName": "late"})
    path = f"{group_id}/providers/Microsoft.Insights/components/late"
    deployer.arm("PUT", path, {"location": "westeurope"}, version="2020-02-02")
    error = deployer.graph("GET", f"/applications/{made['id']}", status=404)["error"]
    assert error["code"] == "Request_ResourceNotFound"
    assert deployer.arm("GET", path, status=404, version="2020-02-02")["error"]["code"] == "ResourceNotFound"
    faulty.admin("PATCH", "settings", {"clock": {"offset": 61}})
    try:
        assert deployer.graph("GET", f"/applications/{made['id']}")["displayName"] == "late"
        assert deployer.arm("GET", path, version="2020-02-02")["name"] == "late"
    finally:
        faulty.admin("PATCH", "settings", {"clock": {"offset": 0}})


def test_same_seed_same_faults() -> None:
    """A seed repeats the sequence of hits whatever other rules meet; another seed gives another; the rate is kept."""

    def run(seed: int, noise: int) -> list[bool]:
        faults = Faults()
        half = Rule("status", family="graph", rate=0.5)
        faults.set([Rule("status", family="token", rate=0.5), half], seed)
        hits = []
        for _ in range(400):
            for _ in range(noise):
                faults.of(Call("POST", "/t/oauth2/v2.0/token"))
            hits.append(faults.of(Call("GET", "/v1.0/applications")) is not None)
        return hits

    assert run(7, 0) == run(7, 2) != run(8, 0)
    assert 150 < sum(run(7, 0)) < 250


def test_families() -> None:
    """Each endpoint is in the family that its users call it by."""
    calls = {
        "token": Call("POST", "/t/oauth2/v2.0/token"),
        "graph": Call("GET", "/beta/me"),
        "logs": Call("POST", "/v1/workspaces/w/query"),
        "metrics": Call("POST", "/subscriptions/s/x/metrics"),
        "arm": Call("POST", "/subscriptions/s/x/metrics", {"api-version": "2022-01-01"}),
        "ingestion": Call("POST", "/dataCollectionRules/dcr-1/streams/s"),
        "": Call("GET", "/"),
    }
    assert {name: family_of(call) for name, call in calls.items()} == {name: name for name in calls}


def test_names_are_whole() -> None:
    """A hidden resource does not hide one whose id only begins like its own."""
    faults = Faults()
    faults.set([Rule("replication", seconds=5)], 0)
    assert faults.created(Call("PUT", "/subscriptions/s/a"), Reply(201, {"id": "/subscriptions/s/a"}), 0.0)
    assert faults.hidden(Call("GET", "/subscriptions/S/A"), 1.0) is not None
    assert faults.hidden(Call("GET", "/subscriptions/s/ab"), 1.0) is None
    assert faults.hidden(Call("GET", "/subscriptions/s/a"), 5.0) is None


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"kind": "flood"},
        {"kind": "status", "status": 200},
        {"kind": "slow", "seconds": -1},
        {"kind": "slow", "seconds": float("nan")},
        {"kind": "slow", "seconds": "1"},
        {"kind": "reset", "rate": 0},
        {"kind": "reset", "count": 0},
        {"kind": "reset", "family": "dns"},
        {"kind": "slow", "after": True},
        {"kind": "reset", "colour": "red"},
        {"kind": ["reset"]},
        {"kind": "reset", "route": None},
        "reset",
    ],
)
def test_wrong_rule_is_named(rule: Any) -> None:
    """A rule that cannot be is refused, and the one before stays."""
    with pytest.raises(ValueError, match="Rule 1"):
        read({"rules": [{"kind": "reset"}, rule]})


def test_refused_rules_reach_the_caller(faulty: LocalAzure) -> None:
    """A wrong rule is an error of `faults`; DELETE ends all faults."""
    faulty.faults({"kind": "slow", "seconds": 0.0}, seed=3)
    with pytest.raises(LocalAzureError, match="Rule 0: the value of 'status'"):
        faulty.faults({"kind": "status", "status": 418})
    assert faulty.admin("GET", "faults")["seed"] == 3
    faulty.admin("DELETE", "faults")
    assert faulty.admin("GET", "faults") == {"seed": 0, "rules": []}
