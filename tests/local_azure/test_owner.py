"""What the owner of a local Azure can do besides settings: reset it, and read its request log."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

import local_azure
from tests.local_azure.conftest import READER, Client


def test_reset_brings_the_first_start_back(state: Path) -> None:
    """After a reset only tenant, subscription and deployer are left; the deployer's secret and token still work."""
    own = local_azure.start(state, propagation=5)
    client = Client(own)
    app = client.new_identity("gone")
    subscription = f"/subscriptions/{own.subscription_id}"
    client.arm("PUT", f"{subscription}/resourceGroups/rg-gone", {"location": "westeurope"}, version="2024-03-01")
    client.grant(READER, subscription, app.object_id)
    own.ensure(["/subscriptions/11111111-2222-4333-8444-555555555555"])
    own.admin("PATCH", "settings", {"clock": {"offset": 86400, "speed": 2}})
    own.faults({"kind": "status", "family": "arm"})
    own.reset()
    assert local_azure.find(state) == own
    assert {one["displayName"] for one in client.graph("GET", "/applications")["value"]} == {"deployer"}
    assert client.arm("GET", f"{subscription}/resourcegroups", version="2024-03-01")["value"] == []
    assert len(client.arm("GET", "/subscriptions", version="2022-12-01")["value"]) == 1
    path = f"{subscription}/providers/Microsoft.Authorization/roleAssignments"
    assert [one["properties"]["principalId"] for one in client.arm("GET", path)["value"]] == [own.object_id]
    assert Client(own, app.client_id, app.secret).ask_token(f"{own.url}/.default").status_code in (400, 401)
    settings = own.admin("GET", "settings")
    assert set(settings["propagation"].values()) == {0} and settings["clock"]["speed"] == 1
    assert Client(own).token()
    local_azure.stop(state)
    again = local_azure.start(state)
    assert again.client_secret == own.client_secret and Client(again).new_identity("new").client_id


def test_request_log(azure: local_azure.LocalAzure, deployer: Client) -> None:
    """The log has each request in order with why it was refused, from where one left off, and nothing secret."""
    deployer.token()
    last = max((one["number"] for one in azure.requests()), default=0)
    deployer.call("GET", "/v1.0/applications?$filter=displayName eq 'private'")
    deployer.call("GET", "/subscriptions")
    Client(azure, azure.client_id, "wr0ng-s3cret").ask_token("https://graph.microsoft.com/.default")
    azure.faults({"kind": "reset", "family": "graph"})
    with pytest.raises(requests.ConnectionError):
        deployer.call("GET", "/v1.0/groups")
    azure.faults()
    found = azure.requests(after=last)
    seen = [(one["method"], one["path"], one["status"], one.get("code")) for one in found]
    assert seen == [
        ("GET", "/v1.0/applications", 200, None),
        ("GET", "/subscriptions", 400, "MissingApiVersionParameter"),
        ("POST", f"/{azure.tenant_id}/oauth2/v2.0/token", 401, "invalid_client"),
        ("GET", "/v1.0/groups", None, "ConnectionReset"),
    ]
    assert "AADSTS7000215" in found[2]["message"]
    assert not any(text in str(found) for text in ("private", "wr0ng-s3cret", "eyJ"))
    assert [one["number"] for one in azure.requests(after=found[1]["number"])] == [one["number"] for one in found[2:]]


def test_request_log_is_bounded(tmp_path: Path) -> None:
    """However many requests come, and however long, the log keeps the newest 1,000 and the begin of each."""
    from local_azure import seed
    from local_azure.server import App
    from local_azure.store import Store
    from local_azure.wire import Call, Reply
    from local_azure.world import World

    world = World(Store(tmp_path / "state.db"), "https://localhost:1")
    app = App(world, "key", seed.seed(world, tmp_path))
    for _ in range(1100):
        app._note(Call("GET", "/" + "x" * 5000), Reply(404, {"error": {"code": "A", "message": "m" * 5000}}), 0.0)
    world.store.close()
    assert len(world.requests) == 1000 and world.requests[-1]["number"] == 1100
    assert len(str(world.requests[0])) < 1200
