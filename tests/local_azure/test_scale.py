"""A thousand apps: made, listed by pages while others are made, and deleted; and a process that is killed all the time."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import requests

import local_azure
from benchmarks.local_azure import CONNECTIONS, Connection, World, seconds
from local_azure import seed
from local_azure.resources import Resources
from local_azure.server import App
from local_azure.store import Store
from local_azure.tokens import Signer, TokenError
from local_azure.wire import Call
from local_azure.world import World as World_
from tests.local_azure.conftest import READER, Client, Identity

APPS = 1000


def pages(one: Connection, path: str) -> Iterator[list[dict[str, Any]]]:
    """The pages of a collection, by its links."""
    while path:
        answer = one.ask("GET", path)
        yield answer["value"]
        path = answer.get("@odata.nextLink", "").removeprefix(one.azure.url)


def ids(one: Connection, path: str) -> list[str]:
    """The ids in all pages of a collection."""
    return [item["id"] for page in pages(one, path) for item in page]


def test_a_thousand_apps(state: Path) -> None:
    """1,000 apps are made over four connections, listed by pages all the while without loss or repetition, and deleted."""
    azure = local_azure.start(state)
    deployer = Connection(azure)
    deployer.bearer = deployer.token(azure.client_id, azure.client_secret)
    world = World(azure)
    group = f"{world.subscription}/resourceGroups/rg"
    deployer.ask("PUT", f"{group}?api-version=2024-03-01", {"location": "westeurope"})
    makers = [Connection(azure, deployer.bearer) for _ in range(CONNECTIONS)]
    done = threading.Event()

    def look() -> int:
        """List until all are made; every listing has each app that was there before it began, once."""
        listings = 0
        one = Connection(azure, deployer.bearer)
        while not done.is_set():
            before = {app.application_id for app in list(world.apps)}
            found = ids(one, "/v1.0/applications?$top=50")
            assert len(found) == len(set(found)) and before <= set(found)
            listings += 1
        one.wire.close()
        return listings

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            seconds(makers, world.make, APPS)
        finally:
            done.set()
        assert looking.result() > 2
    assert len(world.apps) == APPS
    wanted = {app.application_id for app in world.apps}
    assert [len(page) for page in pages(deployer, "/v1.0/applications?$top=100")] == [100] * 10 + [1]
    assert len(set(ids(deployer, "/v1.0/applications?$top=999")) - wanted) == 1  # the deployer's own
    begins = "/v1.0/applications?$top=100&$filter=" + quote("startswith(displayName,'app-0')")
    assert sorted(ids(deployer, begins)) == sorted(wanted)
    principals = {app.principal_id for app in world.apps}
    assert principals <= set(ids(deployer, "/v1.0/servicePrincipals?$top=500&$select=id"))
    path = f"{group}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=atScope()"
    assignments = {one["properties"]["principalId"]: one["id"] for one in deployer.ask("GET", path)["value"]}
    assert principals <= assignments.keys()
    last = world.apps[-1]
    assert deployer.token(last.client_id, last.secret)

    left = iter(world.apps)

    def delete(one: Connection) -> None:
        app = next(left)
        one.ask("DELETE", f"{assignments[app.principal_id]}?api-version=2022-04-01")
        one.ask("DELETE", f"/v1.0/applications/{app.application_id}")

    seconds(makers, delete, APPS)
    assert len(ids(deployer, "/v1.0/applications")) == 1
    assert not principals & set(ids(deployer, "/v1.0/servicePrincipals?$top=500"))
    assert len(deployer.ask("GET", path)["value"]) == 1
    assert len(ids(deployer, "/v1.0/directory/deletedItems/microsoft.graph.application?$top=999")) == APPS
    for one in (deployer, *makers):
        one.wire.close()


class Ledger:
    """What a client was told is there, and what it asked for without an answer."""

    def __init__(self) -> None:
        self.made: list[Identity] = []
        self.granted: dict[str, str] = {}
        self.gone: list[Identity] = []
        self.names: set[str] = set()

    def work(self, azure: local_azure.LocalAzure, kill: threading.Event) -> None:
        """Make, grant and delete until the connection breaks."""
        client = Client(azure)
        group = f"/subscriptions/{azure.subscription_id}/resourceGroups/rg"
        with contextlib.suppress(requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            client.arm("PUT", group, {"location": "westeurope"}, version="2024-03-01")
            while True:
                name = f"app-{uuid.uuid4().hex}"
                self.names.add(name)
                kill.set()
                app = client.new_identity(name)
                self.made.append(app)
                grant = str(uuid.uuid4())
                client.grant(READER, group, app.object_id, name=grant)
                self.granted[app.object_id] = grant
                if len(self.made) % 3 == 0:
                    victim = self.made.pop(0)
                    client.graph("DELETE", f"/applications/{victim.application_id}")
                    self.gone.append(victim)

    def check(self, azure: local_azure.LocalAzure) -> None:
        """Everything that was acknowledged is there, and of the rest nothing is half there."""
        client = Client(azure)
        live = {one["id"]: one for one in client.graph("GET", "/applications?$top=999")["value"]}
        principals = {one["appId"]: one["id"] for one in client.graph("GET", "/servicePrincipals?$top=999")["value"]}
        path = f"/subscriptions/{azure.subscription_id}/resourceGroups/rg/providers/Microsoft.Authorization/roleAssignments"
        grants = {one["properties"]["principalId"]: one["name"] for one in client.arm("GET", path)["value"]}
        for app in self.made:
            assert live[app.application_id]["appId"] == app.client_id
            assert principals[app.client_id] == app.object_id
            assert [one["keyId"] for one in live[app.application_id]["passwordCredentials"]] == [app.key_id]
            assert Client(azure, app.client_id, app.secret).ask_token("https://graph.microsoft.com/.default").ok
        assert self.granted.items() <= grants.items()
        assert not {app.application_id for app in self.gone} & live.keys()
        assert not {app.client_id for app in self.gone} & principals.keys()
        for one in live.values():
            assert one["displayName"] in self.names | {"deployer"}
            found = client.graph("GET", f"/applications?$filter=displayName eq '{one['displayName']}'")["value"]
            assert [each["id"] for each in found] == [one["id"]]


def test_nothing_is_lost_or_half_done_by_kills(state: Path) -> None:
    """Killed with -9 at any moment, over and over, it keeps all that it acknowledged and nothing by halves."""
    chance, ledger = random.Random(7), Ledger()
    for _ in range(8):
        azure = local_azure.start(state)
        begun = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(ledger.work, azure, begun)
            begun.wait(10)
            time.sleep(chance.uniform(0.0, 0.15))
            os.kill(azure.pid, signal.SIGKILL)
            working.result()
        while local_azure.find(state) is not None:
            time.sleep(0.01)
        ledger.check(local_azure.start(state))
    assert ledger.made and ledger.gone


def test_a_token_that_was_good_is_looked_at_again(tmp_path: Path) -> None:
    """What is remembered of a token's signature outlives neither its time nor its key; other tokens gain nothing by it."""
    store = Store(tmp_path / "state.db")
    signer = Signer(store)
    token = signer.sign({"exp": int(store.now()) + 60, "oid": "a"})
    assert signer.verify(token) == signer.verify(token)
    with pytest.raises(TokenError):
        signer.verify(token[:-4] + ("AAAA" if not token.endswith("AAAA") else "BBBB"))
    for _ in range(2):
        with store.write():
            signer.rotate()
    with pytest.raises(TokenError, match="unknown key"):
        signer.verify(token)
    newer = signer.sign({"exp": int(store.now()) + 60, "oid": "a"})
    assert signer.verify(newer)["oid"] == "a"
    store.set_clock(offset=61.0)
    with pytest.raises(TokenError, match="expired"):
        signer.verify(newer)
    store.close()


GRAPH, ROLES = "/v1.0", "providers/Microsoft.Authorization/roleAssignments"


def requester(world: World_, app: App, azure: dict[str, str]) -> Callable[..., Any]:
    """A way to make requests without a socket."""

    def ask(method: str, path: str, body: Any = None, **query: str) -> Any:
        headers = {"authorization": f"Bearer {azure.get('token', '')}", "content-type": "application/json"}
        if method == "TOKEN":
            form = {"grant_type": "client_credentials", "scope": f"{world.url}/.default", **body}
            headers["content-type"] = "application/x-www-form-urlencoded"
            call = Call("POST", path, {}, headers, urlencode(form).encode())
        else:
            call = Call(method, path, query, headers, b"" if body is None else json.dumps(body).encode())
        reply = app.answer(call)
        assert reply.status < 300, reply.body
        return reply.body

    return ask


def test_no_request_reads_a_table_from_end_to_end(tmp_path: Path) -> None:
    """What a client asks all day is found by indexes: no statement of it scans a table that grows with the directory."""
    world = World_(Store(tmp_path / "state.db"), "https://localhost:1")
    deployer = seed.seed(world, tmp_path)
    who: dict[str, str] = {}
    ask = requester(world, App(world, "key", deployer), who)
    statements: list[str] = []
    world.store.db.set_trace_callback(statements.append)
    login = {"client_id": deployer.client_id, "client_secret": deployer.client_secret}
    who["token"] = ask("TOKEN", f"/{deployer.tenant_id}/oauth2/v2.0/token", login)["access_token"]
    subscription = f"/subscriptions/{deployer.subscription_id}"
    group = f"{subscription}/resourceGroups/rg"
    arm = {"api-version": "2022-04-01"}
    ask("PUT", group, {"location": "westeurope"}, **arm)
    application = ask("POST", f"{GRAPH}/applications", {"displayName": "one"})
    principal = ask("POST", f"{GRAPH}/servicePrincipals", {"appId": application["appId"]})
    ask("POST", f"{GRAPH}/applications/{application['id']}/addPassword", {"passwordCredential": {}})
    role = "/providers/Microsoft.Authorization/roleDefinitions/" + READER
    properties = {"roleDefinitionId": role, "principalId": principal["id"], "principalType": "ServicePrincipal"}
    ask("PUT", f"{group}/{ROLES}/{uuid.uuid4()}", {"properties": properties}, **arm)
    ask("GET", f"{subscription}/{ROLES}", **arm, **{"$filter": f"principalId eq '{principal['id']}'"})
    ask("GET", group, **arm)
    ask("GET", f"{GRAPH}/applications/{application['id']}")
    ask("GET", f"{GRAPH}/applications", **{"$filter": f"appId eq '{application['appId']}'"})
    ask("GET", f"{GRAPH}/applications", **{"$filter": "startswith(displayName,'o')", "$top": "5"})
    ask("GET", f"{GRAPH}/applications", **{"$top": "5"})
    ask("GET", f"{GRAPH}/applications/{application['id']}/owners")
    ask("DELETE", f"{GRAPH}/applications/{application['id']}")
    ask("DELETE", f"{GRAPH}/directory/deletedItems/{application['id']}")
    world.store.db.set_trace_callback(None)
    explained = [one for one in dict.fromkeys(statements) if one.split()[0] in ("SELECT", "UPDATE", "DELETE")]
    scans = {
        one: step
        for one in explained
        for *_, step in world.store.rows(f"EXPLAIN QUERY PLAN {one}")
        if step.startswith("SCAN") and "CONSTANT ROW" not in step
    }
    world.store.close()
    assert len(explained) > 30 and scans == {}


def test_an_assignment_is_told_from_its_like_by_one_index(tmp_path: Path) -> None:
    """Whether a role is assigned already is looked up by principal, scope and role together, in an older state too."""
    path = tmp_path / "state.db"
    store = Store(path)
    store.run("DROP INDEX role_assignment_same")
    store.close()
    store = Store(path)
    statements: list[str] = []
    store.db.set_trace_callback(statements.append)
    assert Resources(store).same_assignment("/", READER, str(uuid.uuid4())) is None
    store.db.set_trace_callback(None)
    plan = [step for *_, step in store.rows(f"EXPLAIN QUERY PLAN {statements[0]}")]
    store.close()
    assert any("role_assignment_same (principal=? AND scope_key=? AND role=?)" in step for step in plan), plan
