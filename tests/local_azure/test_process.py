"""The server as a process: starting, finding, stopping, being killed, and what it leaves on disk."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import local_azure
from local_azure import store
from local_azure.directory import Directory
from local_azure.files import is_held
from local_azure.store import Store
from tests.local_azure.conftest import Client


def wait_for_end(state: Path) -> None:
    deadline = time.monotonic() + 10
    while local_azure.find(state) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_start_finds_the_one_that_runs(state: Path) -> None:
    """A second start gives the same server; after a stop there is none."""
    first = local_azure.start(state)
    assert local_azure.start(state) == first == local_azure.find(state)
    assert local_azure.stop(state) and local_azure.find(state) is None
    assert not local_azure.stop(state)
    assert not (state / "server.json").exists()


def test_two_starts_at_once_give_one_server(state: Path) -> None:
    """Processes that start the same state at the same time get the same server."""
    code = "import local_azure,pathlib,sys;print(local_azure.start(pathlib.Path(sys.argv[1])).pid)"

    def run() -> str:
        return subprocess.run(
            [sys.executable, "-c", code, str(state)], check=True, capture_output=True, text=True
        ).stdout

    with ThreadPoolExecutor(3) as pool:
        pids = {future.result() for future in [pool.submit(run) for _ in range(3)]}
    assert len(pids) == 1


def test_state_survives_a_kill(state: Path) -> None:
    """After kill -9 a new start has the same port, tenant, identities and CA, and the deployer's secret still works."""
    first = local_azure.start(state)
    app = Client(first).new_identity("kept")
    os.kill(first.pid, signal.SIGKILL)
    wait_for_end(state)
    second = local_azure.start(state)
    assert (second.port, second.tenant_id, second.client_secret) == (first.port, first.tenant_id, first.client_secret)
    assert Client(second).graph("GET", f"/applications/{app.application_id}")["displayName"] == "kept"
    assert Client(second, app.client_id, app.secret).ask_token("https://graph.microsoft.com/.default").ok


def test_no_acknowledged_write_is_lost_to_who_looks_from_outside(state: Path) -> None:
    """Queries of logs read the state for themselves and other processes open it; after a kill every write is there."""
    own = local_azure.start(state)
    scope = f"/subscriptions/{own.subscription_id}/resourceGroups/rg/providers"
    workspace = f"{scope}/Microsoft.OperationalInsights/workspaces/law"
    own.ensure([workspace])
    client = Client(own)
    look = f"import sqlite3; db = sqlite3.connect({str(state / 'state.db')!r}); db.execute('SELECT 1 FROM object'); db.close()"
    made = []
    for number in range(3):
        made.append(client.graph("POST", "/applications", {"displayName": f"before {number}"})["id"])
        assert client.call("POST", f"/v1{workspace}/query", {"query": "Heartbeat | count"}).ok
        subprocess.run([sys.executable, "-c", look], check=True)
        made.append(client.graph("POST", "/applications", {"displayName": f"after {number}"})["id"])
    os.kill(own.pid, signal.SIGKILL)
    wait_for_end(state)
    again = Client(local_azure.start(state))
    assert [one for one in made if not again.call("GET", f"/v1.0/applications/{one}").ok] == []


def test_a_state_is_read_without_being_made_or_changed(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        Store(tmp_path / "state.db", reading=True)
    assert list(tmp_path.iterdir()) == []
    Store(tmp_path / "state.db").close()
    reader = Store(tmp_path / "state.db", reading=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.set_setting("a", "b")
    reader.close()


def test_what_a_killed_server_left_is_not_taken_for_the_next(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new server that holds the lock already, and has not yet said where it listens, is not found under the old address."""
    first = local_azure.start(state)
    os.kill(first.pid, signal.SIGKILL)
    wait_for_end(state)
    assert (state / "server.json").exists()
    spawn, there = subprocess.Popen, []

    def watched(*arguments: Any, **more: Any) -> Any:
        there.append((state / "server.json").exists())
        return spawn(*arguments, **more)

    monkeypatch.setattr(subprocess, "Popen", watched)
    assert Client(local_azure.start(state)).token() and there == [False]


def test_looking_is_not_holding(state: Path) -> None:
    """Whoever looks whether a server runs neither seems to be one nor keeps one from starting."""
    state.mkdir()
    path, done, seen = state / "server.lock", threading.Event(), set[bool]()
    path.touch()

    def look() -> None:
        while not done.is_set():
            seen.add(is_held(path))

    with ThreadPoolExecutor(2) as pool:
        looking = [pool.submit(look) for _ in range(2)]
        for _ in range(2000):
            seen.add(is_held(path))
        assert seen == {False}
        try:
            own = local_azure.start(state)
        finally:
            done.set()
        for one in looking:
            one.result()
    assert Client(own).token() and is_held(path)


def test_a_state_of_an_older_version_gets_the_apis_that_it_lacks(state: Path) -> None:
    first, scope = local_azure.start(state), "https://api.applicationinsights.io/.default"
    client = Client(first)
    name = "servicePrincipalNames/any(n:n eq 'https://api.applicationinsights.io')"
    (principal,) = client.graph("GET", f"/servicePrincipals?$filter={name}")["value"]
    local_azure.stop(state)
    store = Store(state / "state.db")
    with store.write():
        Directory(store).purge(principal["id"])
    store.close()
    second = Client(local_azure.start(state))
    assert len(second.graph("GET", f"/servicePrincipals?$filter={name}")["value"]) == 1
    assert second.ask_token(scope).ok


def test_killed_during_its_first_start(state: Path) -> None:
    """Killed at any moment of its first start, the next start comes up."""
    for delay in (0.05, 0.15, 0.25, 0.3, 0.35, 0.4):
        command = [sys.executable, "-m", "local_azure", "serve", "--state", str(state)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.kill()
        process.wait()
    assert Client(local_azure.start(state)).token()


def test_files_are_private(state: Path) -> None:
    """Only the CA's certificate can be read by others; the directory itself is closed."""
    local_azure.start(state).ca_bundle()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()}
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert {name for name, mode in modes.items() if mode & 0o077} == {"ca.pem", "bundle.pem"}


def test_no_secret_on_disk_or_in_the_log(state: Path) -> None:
    """An application's secret is nowhere in the state directory, not even after it was used."""
    own = local_azure.start(state)
    app = Client(own).new_identity()
    assert Client(own, app.client_id, app.secret).ask_token("https://graph.microsoft.com/.default").ok
    assert (
        Client(own, app.client_id, app.secret + "x").ask_token("https://graph.microsoft.com/.default").status_code
        == 401
    )
    local_azure.stop(state)
    for path in state.iterdir():
        assert app.secret.encode() not in path.read_bytes(), path.name


def test_lost_deployer_file_is_made_again(state: Path) -> None:
    """When deployer.json is lost, the same deployer gets a new secret and the old one ends."""
    first = local_azure.start(state)
    local_azure.stop(state)
    (state / "deployer.json").unlink()
    second = local_azure.start(state)
    assert second.client_id == first.client_id and second.client_secret != first.client_secret
    assert Client(second).token()
    assert (
        Client(second, first.client_id, first.client_secret)
        .ask_token("https://graph.microsoft.com/.default")
        .status_code
        == 401
    )


def test_secret_is_not_in_repr(state: Path) -> None:
    """The deployer's secret does not show when the object is printed."""
    own = local_azure.start(state)
    assert own.client_secret not in repr(own) and own.settings()["ARM_CLIENT_SECRET"] == own.client_secret


def test_taken_port(state: Path) -> None:
    """A port that is asked for and taken is an error with its remedy; one that is only remembered is replaced."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(local_azure.LocalAzureError, match=f"Port {port} cannot be used"):
            local_azure.start(state, port=port)
        state.joinpath("port").write_text(str(port))
        assert local_azure.start(state).port != port
    assert f"Port {port}, used last time, is not free" in (state / "server.log").read_text()


def test_second_server_on_a_state_is_refused(state: Path) -> None:
    """Two servers never share a state directory."""
    local_azure.start(state)
    command = [sys.executable, "-m", "local_azure", "serve", "--state", str(state)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "already running" in done.stderr and "Traceback" not in done.stderr


def test_import_is_light() -> None:
    """`import local_azure` loads no web framework and no cryptography."""
    code = "import local_azure,sys;print({'starlette','uvicorn','cryptography','trustme','jwt'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_listens_on_the_loopback_interface_only(state: Path) -> None:
    """Nothing but localhost can reach it."""
    own = local_azure.start(state)
    found = Path(f"/proc/{own.pid}/net/tcp")
    if not found.exists():
        pytest.skip("needs Linux's /proc")
    listening = [line.split()[1] for line in found.read_text().splitlines()[1:] if line.split()[3] == "0A"]
    mine = [address for address in listening if int(address.split(":")[1], 16) == own.port]
    assert mine == [f"0100007F:{own.port:04X}"]


def test_ensure_makes_scopes_exist(state: Path) -> None:
    """Scopes in other subscriptions come into being with all that encloses them, once."""
    own = local_azure.start(state)
    subscription = "/subscriptions/11111111-2222-4333-8444-555555555555"
    group = f"{subscription}/resourceGroups/rg-obs"
    wanted = [
        f"{group}/providers/Microsoft.OperationalInsights/workspaces/law",
        f"{group}/providers/Microsoft.Compute/virtualMachines/vm1",
    ]
    assert own.ensure(wanted) == [subscription, group, *wanted]
    assert own.ensure(wanted) == []
    made = Client(own).arm("GET", wanted[0], version="2023-09-01")
    assert made["properties"]["customerId"] and made["location"] == "westeurope"
    with pytest.raises(local_azure.LocalAzureError, match="not a subscription GUID"):
        own.ensure(["/subscriptions/x"])


def test_admin_routes_need_the_key(state: Path) -> None:
    """The switches are for the owner of the state directory."""
    own = local_azure.start(state)
    client = Client(own)
    assert client.session.get(f"{own.url}/_local/settings").status_code == 401
    assert client.call("GET", "/_local/settings").status_code == 401


def test_answers_are_not_held_back(state: Path) -> None:
    """Connections answer at once: the listening sockets are such that asyncio turns Nagle's algorithm off."""
    from local_azure.server import _bind

    made = _bind(0)
    try:
        assert {one.proto for one in made} == {socket.IPPROTO_TCP}
    finally:
        for one in made:
            one.close()


def test_state_of_an_older_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """A state with the first tables only gets the rest and keeps what it had; one from the future is refused."""
    path = tmp_path / "state.db"
    old = sqlite3.connect(path)
    old.executescript(f"{store.SCHEMA[0]}; PRAGMA user_version=1; INSERT INTO setting VALUES ('kept', 'yes')")
    old.close()
    opened = store.Store(path)
    assert opened.setting("kept") == "yes" and opened.rows("SELECT * FROM vault") == []
    opened.run(f"PRAGMA user_version={len(store.SCHEMA) + 1}")
    opened.close()
    with pytest.raises(store.StateVersionError, match="reads versions up to"):
        store.Store(path)


def test_a_long_query_holds_nobody_else_up(state: Path) -> None:
    """Tokens and Graph are answered while a query of logs runs."""
    own = local_azure.start(state)
    scope = (
        f"/subscriptions/{own.subscription_id}/resourceGroups/rg/providers/Microsoft.OperationalInsights/workspaces/law"
    )
    own.ensure([scope])
    client, other = Client(own), Client(own)
    client.token()
    other.token()
    slow = "range x from 1 to 200000 step 1 | extend y = tostring(x % 7) | summarize count() by y"
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.call, "POST", f"/v1{scope}/query", {"query": slow})
        while not answer.done():
            other.token(fresh=True)
            other.graph("GET", "/organization")
    assert len(answer.result().json()["tables"][0]["rows"]) == 7
    log = own.requests()
    (query,) = [entry for entry in log if entry["path"].endswith("/query")]
    assert query["principal"]["client_id"] == own.client_id
    ended = datetime.fromisoformat(query["time"])
    begun = ended - timedelta(milliseconds=query["milliseconds"])
    margin = (ended - begun) / 5
    meanwhile = [entry for entry in log if begun + margin < datetime.fromisoformat(entry["time"]) < ended - margin]
    assert {"/v1.0/organization", f"/{own.tenant_id}/oauth2/v2.0/token"} == {entry["path"] for entry in meanwhile}
