"""Faults on demand: what clients meet, for whom, how often, and that a seed repeats it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.mgmt.resource.resources import ResourceManagementClient

import local_azure
from entrant.facts.errors import EXPLANATIONS
from local_azure import LocalAzure, LocalAzureError
from local_azure.faults import Faults, Rule, family_of, read
from local_azure.wire import Call, Reply
from tests.local_azure.conftest import READER, Client
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


def test_new_principal_is_not_found_until_it_is_replicated(faulty: LocalAzure, deployer: Client, group_id: str) -> None:
    """A role for a new principal is PrincipalNotFound during the delay, unless the request names the principal's type."""
    apps = [deployer.graph("POST", "/applications", {"displayName": name}) for name in ("early", "late")]
    faulty.faults({"kind": "replication", "seconds": 60, "route": "/v1.0/servicePrincipals"})
    early, late = (deployer.graph("POST", "/servicePrincipals", {"appId": app["appId"]})["id"] for app in apps)
    error = deployer.grant(READER, group_id, early, status=400, principalType=None)["error"]
    assert error["code"] == "PrincipalNotFound" and early.replace("-", "") in error["message"]
    deployer.grant(READER, group_id, early, status=201)
    faulty.admin("PATCH", "settings", {"clock": {"offset": 61}})
    try:
        made = deployer.grant(READER, group_id, late, status=201, principalType=None)
        assert made["properties"]["principalType"] == "ServicePrincipal"
    finally:
        faulty.admin("PATCH", "settings", {"clock": {"offset": 0}})


def test_new_application_is_unknown_by_its_app_id(faulty: LocalAzure, deployer: Client) -> None:
    """By object id an application is there at once; by appId it is no backing application, in no list, and gets no token."""
    faulty.faults({"kind": "replication", "route": "/v1.0/applications", "seconds": 60, "unknown": "appId"})
    app = deployer.graph("POST", "/applications", {"displayName": "half-there"})
    app_id, query = app["appId"], f"?$filter=appId eq '{app['appId']}'"
    assert deployer.graph("GET", f"/applications/{app['id']}")["appId"] == app_id
    assert deployer.graph("GET", f"/applications{query}")["value"] == []
    assert deployer.graph("GET", f"/applications(appId='{app_id}')", status=404)
    error = deployer.graph("POST", "/servicePrincipals", {"appId": app_id}, status=400)["error"]
    assert error["code"] == "NoBackingApplicationObject"
    assert f"The appId '{app_id}' of the service principal does not reference a valid application" in error["message"]
    secret = deployer.graph("POST", f"/applications/{app['id']}/addPassword", {})["secretText"]
    assert "AADSTS700016" in Client(faulty, app_id, secret).ask_token(SCOPE).json()["error_description"]
    faulty.faults()
    deployer.graph("POST", "/servicePrincipals", {"appId": app_id})
    assert Client(faulty, app_id, secret).ask_token(SCOPE).status_code == 200


def test_new_object_is_unknown_by_its_id(faulty: LocalAzure, deployer: Client) -> None:
    """By object id a new service principal is a 404, in paths and in bodies that refer to it; by appId it is found."""
    app = deployer.graph("POST", "/applications", {"displayName": "hidden"})
    graph = deployer.graph("GET", "/servicePrincipals?$filter=displayName eq 'Microsoft Graph'")["value"][0]
    faulty.faults({"kind": "replication", "route": "/v1.0/servicePrincipals", "seconds": 60, "unknown": "id"})
    made = deployer.graph("POST", "/servicePrincipals", {"appId": app["appId"]})
    deployer.graph("GET", f"/servicePrincipals/{made['id']}", status=404)
    deployer.graph("GET", f"/servicePrincipals(appId='{app['appId']}')")
    grant = {"principalId": made["id"], "resourceId": graph["id"], "appRoleId": graph["appRoles"][0]["id"]}
    error = deployer.graph("POST", f"/servicePrincipals/{graph['id']}/appRoleAssignedTo", grant, status=404)["error"]
    assert error["code"] == "Request_ResourceNotFound" and made["id"] in error["message"]


def test_a_request_of_a_batch_is_throttled_by_itself(faulty: LocalAzure, deployer: Client) -> None:
    """Graph answers a batch with 200 and says for each request in it, with its own Retry-After, that it was too many."""
    faulty.faults({"kind": "status", "status": 429, "retry_after": 7, "route": "/v1.0/applications", "count": 1})
    parts = [{"id": str(id_), "method": "GET", "url": f"/{what}"} for id_, what in enumerate(("applications", "users"))]
    first, second = deployer.graph("POST", "/$batch", {"requests": parts})["responses"]
    assert (first["status"], first["headers"]["Retry-After"], second["status"]) == (429, "7", 200)
    assert first["body"]["error"]["code"] == "TooManyRequests"
    again = deployer.graph("POST", "/$batch", {"requests": parts})["responses"]
    assert [one["status"] for one in again] == [200, 200]


def test_a_batch_meets_and_makes_what_is_not_replicated(faulty: LocalAzure, deployer: Client) -> None:
    """What a request of a batch creates is unknown at first to others, in batches and outside, and only they fail by it."""
    faulty.faults({"kind": "replication", "route": "/v1.0/applications", "seconds": 60})
    create = {"id": "1", "method": "POST", "url": "/applications", "body": {"displayName": "batched-late"}}
    (made,) = deployer.graph("POST", "/$batch", {"requests": [create]})["responses"]
    app = made["body"]
    deployer.graph("GET", f"/applications/{app['id']}", status=404)
    parts = [
        {"id": "1", "method": "GET", "url": f"/applications/{app['id']}"},
        {"id": "2", "method": "GET", "url": "/applications?$filter=displayName eq 'batched-late'"},
        {"id": "3", "method": "POST", "url": "/servicePrincipals", "body": {"appId": app["appId"]}},
        {
            "id": "4",
            "method": "POST",
            "url": "/groups",
            "body": {
                "displayName": "owned",
                "mailNickname": "owned",
                "mailEnabled": False,
                "securityEnabled": True,
                "owners@odata.bind": [f"{faulty.url}/v1.0/directoryObjects/{deployer.azure.object_id}"],
            },
        },
    ]
    found = deployer.graph("POST", "/$batch", {"requests": parts})["responses"]
    assert [one["status"] for one in found] == [404, 200, 400, 201]
    assert found[1]["body"]["value"] == []
    assert found[2]["body"]["error"]["code"] == "NoBackingApplicationObject"


class TestOperations:
    """Long-running answers of Resource Manager, polled by an unmodified client."""

    @pytest.fixture
    def arm(self, faulty: LocalAzure) -> ResourceManagementClient:
        return ResourceManagementClient(
            credential(faulty, faulty.client_id, faulty.client_secret),
            faulty.subscription_id,
            base_url=faulty.url,
            credential_scopes=[f"{faulty.url}/.default"],
            connection_verify=str(faulty.ca_file),
            polling_interval=0,
        )

    @staticmethod
    def begin(faulty: LocalAzure, **more: Any) -> None:
        faulty.faults({"kind": "operation", "seconds": 60, "retry_after": 0, **more})

    @staticmethod
    def later(faulty: LocalAzure) -> None:
        faulty.admin("PATCH", "settings", {"clock": {"offset": 120}})

    @pytest.fixture(autouse=True)
    def _clock(self, faulty: LocalAzure) -> Iterator[None]:
        yield
        faulty.admin("PATCH", "settings", {"clock": {"offset": 0}})

    def test_put(self, faulty: LocalAzure, arm: ResourceManagementClient, deployer: Client, group_id: str) -> None:
        """A PUT is answered with 201, the resource is there as Creating, and the poller ends with it when it is done."""
        path = f"{group_id}/providers/Microsoft.Insights/components/slow"
        self.begin(faulty)
        poller = arm.resources.begin_create_or_update_by_id(path, {"location": "westeurope"}, api_version="2020-02-02")
        assert deployer.arm("GET", path, version="2020-02-02")["properties"]["provisioningState"] == "Creating"
        assert not poller.done()
        self.later(faulty)
        properties = poller.result().properties
        assert properties is not None and properties["provisioningState"] == "Succeeded"

    def test_delete(
        self, faulty: LocalAzure, arm: ResourceManagementClient, deployer: Client, workspace: Any, group_id: str
    ) -> None:
        """A DELETE is answered with 202; resource and group stay until it is done, and are gone then."""
        self.begin(faulty)
        by_id = arm.resources.begin_delete_by_id(workspace["id"], api_version="2023-09-01")
        whole = arm.resource_groups.begin_delete(group_id.split("/")[-1])
        state = deployer.arm("GET", workspace["id"])["properties"]["provisioningState"]
        assert state == "Deleting" and not by_id.done() and not whole.done()
        self.later(faulty)
        by_id.result()
        whole.result()
        assert not arm.resource_groups.check_existence(group_id.split("/")[-1])

    def test_failure(self, faulty: LocalAzure, arm: ResourceManagementClient, deployer: Client, group_id: str) -> None:
        """An operation that fails reaches the client's caller as its error; what was to be deleted is there."""
        path = f"{group_id}/providers/Microsoft.Insights/components/never"
        self.begin(faulty, fails=True)
        made = arm.resources.begin_create_or_update_by_id(path, {"location": "westeurope"}, api_version="2020-02-02")
        self.later(faulty)
        with pytest.raises(HttpResponseError, match="asked for by a fault rule"):
            made.result()
        assert deployer.arm("GET", path)["properties"]["provisioningState"] == "Failed"
        self.begin(faulty, fails=True, seconds=0)
        with pytest.raises(HttpResponseError):
            arm.resources.begin_delete_by_id(path, api_version="2020-02-02").result()
        assert deployer.arm("GET", path)["properties"]["provisioningState"] == "Failed"

    def test_refusals_and_reads_are_at_once(self, faulty: LocalAzure, deployer: Client, group_id: str) -> None:
        """Only what succeeds takes time: not a refusal, a read, or a role assignment."""
        self.begin(faulty)
        path = f"{group_id}/providers/Microsoft.Insights/components/none"
        deployer.arm("PUT", path, {}, status=400)
        deployer.arm("DELETE", path, status=204)
        deployer.grant(READER, group_id, deployer.azure.object_id, status=201)

    def test_what_is_under_way_takes_no_other_write(
        self, faulty: LocalAzure, deployer: Client, workspace: Any, group_id: str
    ) -> None:
        """A write meets 409 while an operation on its resource, or the deletion of its group, has not ended, and then no more."""
        path, body = f"{group_id}/providers/Microsoft.Insights/components/busy", {"location": "westeurope"}
        self.begin(faulty)
        deployer.arm("PUT", path, body, status=201)
        for method in ("PUT", "PATCH", "DELETE"):
            error = deployer.arm(method, path, body, status=409)["error"]
            assert error["code"] == "AnotherOperationInProgress" and "/operationStatuses/" in error["message"]
        deployer.arm("PUT", f"{path}-2", body, status=201)  # another resource is free
        self.later(faulty)
        assert deployer.arm("PUT", path, body, status=200)["properties"]["provisioningState"] == "Updating"
        faulty.admin("PATCH", "settings", {"clock": {"offset": 300}})
        deployer.call("DELETE", f"{group_id}?api-version=2024-03-01")
        error = deployer.arm("PUT", workspace["id"], body, status=409, version="2023-09-01")["error"]
        assert error["code"] == "ResourceGroupBeingDeleted"
        for code in ("AnotherOperationInProgress", "ResourceGroupBeingDeleted"):
            assert EXPLANATIONS[code].retry == "later"

    def test_survives_a_restart(self, state: Any) -> None:
        """What was pending when the server was killed is done after the next start."""
        own = local_azure.start(state)
        own.ensure([f"/subscriptions/{own.subscription_id}/resourceGroups/rg"])
        own.faults({"kind": "operation", "seconds": 60})
        path = f"{own.url}/subscriptions/{own.subscription_id}/resourceGroups/rg?api-version=2024-03-01"
        answer = Client(own).call("DELETE", path)
        os.kill(own.pid, signal.SIGKILL)
        while local_azure.find(state) is not None:
            time.sleep(0.01)
        own = local_azure.start(state)
        assert Client(own).call("GET", path).json()["properties"]["provisioningState"] == "Deleting"
        own.admin("PATCH", "settings", {"clock": {"offset": 61}})
        assert Client(own).call("GET", path).status_code == 404
        outcome = answer.headers["Location"].split(":", 2)[-1].split("/", 1)[1]
        assert Client(own).call("GET", f"/{outcome}").status_code == 200


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
        {"kind": "slow", "fails": True},
        {"kind": "replication", "unknown": "name"},
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
