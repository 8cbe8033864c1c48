"""How many requests a second the local Azure answers, on one core, and how that holds from 10 to 10,000 apps.

    python3 -m entrant test tests/test_structure.py         # once: sets up the virtual environment
    .entrant/venv/bin/python -m benchmarks.local_azure [ROUNDS]

The server has one core for itself, this program another. Four connections ask at once, each the next as soon as it has
its answer. What counts is the time that the server is on its core, so that the rates are those of a core it has to itself,
whatever else the machine does. An app is an application, its service principal, a client secret and a role assignment.
The directory grows from one size to the next; at each size every kind of request is made in turn, round after round, so
that a slow moment of the machine meets all alike. The ratios are to the smallest size, of the medians of one run.
"""

import argparse
import http.client
import itertools
import json
import os
import platform
import queue
import ssl
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import local_azure
from entrant.facts.roles import find_role

SIZES = (10, 100, 1_000, 10_000)
CONNECTIONS = 4
REQUESTS = 200
"""How many requests of a kind are made in a round."""


@dataclass(frozen=True)
class App:
    """An application with all that belongs to it."""

    client_id: str
    application_id: str
    principal_id: str
    secret: str = field(repr=False)


@dataclass
class Connection:
    """One connection to the local Azure, as the deployer."""

    azure: local_azure.LocalAzure
    bearer: str = ""
    wire: http.client.HTTPSConnection = field(init=False)

    def __post_init__(self) -> None:
        trust = ssl.create_default_context(cafile=str(self.azure.ca_file))
        self.wire = http.client.HTTPSConnection("localhost", self.azure.port, context=trust)

    def ask(self, method: str, path: str, body: Any = None, *, form: dict[str, str] | None = None) -> Any:
        """One request; the answer's JSON."""
        headers = {"Authorization": f"Bearer {self.bearer}"} if self.bearer and form is None else {}
        data = None
        if form is not None:
            data, headers["Content-Type"] = urlencode(form), "application/x-www-form-urlencoded"
        elif body is not None:
            data, headers["Content-Type"] = json.dumps(body), "application/json"
        self.wire.request(method, path, data, headers)
        response = self.wire.getresponse()
        content = response.read()
        if response.status >= 300:
            raise SystemExit(f"{method} {path}: {response.status} {content[:500]!r}")
        return json.loads(content) if content else None

    def token(self, client_id: str, secret: str) -> str:
        """A token for the local Azure itself."""
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        form["scope"] = f"{self.azure.url}/.default"
        return str(self.ask("POST", f"/{self.azure.tenant_id}/oauth2/v2.0/token", form=form)["access_token"])


class World:
    """The apps made so far, and each kind of request."""

    def __init__(self, azure: local_azure.LocalAzure) -> None:
        self.azure = azure
        self.apps: list[App] = []
        self.spare: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.numbers = itertools.count()
        self.subscription = f"/subscriptions/{azure.subscription_id}"
        reader = find_role("Reader")
        assert reader is not None, "Reader is a built-in role"
        self.role = f"/providers/Microsoft.Authorization/roleDefinitions/{reader.id}"

    def any_app(self) -> App:
        """An app that was made before, another each time."""
        return self.apps[next(self.numbers) * 7919 % len(self.apps)]

    def make(self, one: Connection) -> None:
        """Make a whole app."""
        name = f"app-{next(self.numbers):06}"
        application = one.ask("POST", "/v1.0/applications", {"displayName": name})
        principal = one.ask("POST", "/v1.0/servicePrincipals", {"appId": application["appId"]})
        path = f"/v1.0/applications/{application['id']}/addPassword"
        secret = one.ask("POST", path, {"passwordCredential": {"displayName": "one"}})
        self.grant(one, principal["id"])
        self.apps.append(App(application["appId"], application["id"], principal["id"], secret["secretText"]))

    def grant(self, one: Connection, principal: str) -> None:
        """Assign Reader at a resource group of its own."""
        scope = f"{self.subscription}/resourceGroups/rg"
        path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}?api-version=2022-04-01"
        properties = {"roleDefinitionId": self.role, "principalId": principal, "principalType": "ServicePrincipal"}
        one.ask("PUT", path, {"properties": properties})

    def kinds(self) -> dict[str, Callable[[Connection], Any]]:
        """Each kind of request that is measured."""
        filtered = "/v1.0/applications?$filter=" + quote("appId eq '{}'", safe="{}")
        begins = "/v1.0/applications?$top=10&$filter=" + quote("startswith(displayName,'app-00')")
        page = "/v1.0/applications?$top=100"
        authorization = "/providers/Microsoft.Authorization"
        mine = f"{self.subscription}{authorization}/roleAssignments?api-version=2022-04-01&$filter="
        own = quote("principalId eq '{}'", safe="{}")

        def token(one: Connection) -> None:
            app = self.any_app()
            one.token(app.client_id, app.secret)

        def create(one: Connection) -> None:
            self.spare.put(one.ask("POST", "/v1.0/applications", {"displayName": f"spare-{next(self.numbers)}"})["id"])

        def allowed(one: Connection) -> None:
            one.ask("GET", f"{self.subscription}/resourceGroups/rg?api-version=2024-03-01")

        return {
            "token": token,
            "create an application": create,
            "delete an application": lambda one: one.ask("DELETE", f"/v1.0/applications/{self.spare.get()}"),
            "assign a role": lambda one: self.grant_spare(one),
            "get an application": lambda one: one.ask("GET", f"/v1.0/applications/{self.any_app().application_id}"),
            "find it by appId": lambda one: one.ask("GET", filtered.format(self.any_app().client_id)),
            "find ten by a name's begin": lambda one: one.ask("GET", begins),
            "list 100 applications": lambda one: one.ask("GET", page),
            "role assignments of a principal": lambda one: one.ask(
                "GET", mine + own.format(self.any_app().principal_id)
            ),
            "read a group as a reader": allowed,
        }

    def grant_spare(self, one: Connection) -> None:
        """Assign a role to a principal that is not there (its type is given), and remember nothing of it."""
        self.grant(one, str(uuid.uuid4()))


def seconds(connections: list[Connection], run: Callable[[Connection], Any], times: int) -> float:
    """How long `times` requests take over all connections."""
    left = itertools.repeat(None, times)
    failures: list[BaseException] = []

    def work(one: Connection) -> None:
        try:
            for _ in left:
                run(one)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in connections]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return time.perf_counter() - started


def megabytes(pid: int) -> float:
    """The resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu(pid: int) -> float:
    """Seconds that a process has been on a core, all its threads together."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def rate(
    azure: local_azure.LocalAzure, connections: list[Connection], run: Callable[[Connection], Any], times: int
) -> float:
    """Requests in a second of the server's core."""
    before = cpu(azure.pid)
    seconds(connections, run, times)
    return times / (cpu(azure.pid) - before)


def measure(azure: local_azure.LocalAzure, rounds: int) -> tuple[dict[str, list[float]], list[float]]:
    """Requests a second of each kind at each size, and the server's memory there."""
    deployer = Connection(azure)
    deployer.bearer = deployer.token(azure.client_id, azure.client_secret)
    connections = [Connection(azure, deployer.bearer) for _ in range(CONNECTIONS)]
    deployer.ask(
        "PUT", f"/subscriptions/{azure.subscription_id}/resourceGroups/rg?api-version=2024-03-01", {"location": "x"}
    )
    world = World(azure)
    found: dict[str, list[float]] = {"make a whole app": []}
    memory = []
    for size in SIZES:
        print(f"{size} apps …", file=sys.stderr)
        missing = size - len(world.apps)
        found["make a whole app"].append(rate(azure, connections, world.make, missing))
        kinds = world.kinds()
        rates: dict[str, list[float]] = {name: [] for name in kinds}
        reader = world.apps[0]
        mine = Connection(azure).token(reader.client_id, reader.secret)
        readers = [Connection(azure, mine) for _ in range(CONNECTIONS)]
        for _ in range(rounds):
            for name, run in kinds.items():
                who = readers if name == "read a group as a reader" else connections
                rates[name].append(rate(azure, who, run, REQUESTS))
        for name, values in rates.items():
            found.setdefault(name, []).append(statistics.median(values))
        memory.append(megabytes(azure.pid))
    return found, memory


def table(found: dict[str, list[float]], memory: list[float]) -> str:
    """The figures as Markdown."""
    lines = [
        "| requests a second at | " + " | ".join(f"{size:,} apps" for size in SIZES) + " | last to first |",
        "|---|" + "---|" * (len(SIZES) + 1),
    ]
    for name, rates in found.items():
        shown = " | ".join(f"{rate:,.0f}" for rate in rates)
        lines.append(f"| {name} | {shown} | {rates[-1] / rates[0]:.2f} |")
    shown = " | ".join(f"{size:.0f} MB" for size in memory)
    lines.append(f"| memory of the server | {shown} | {memory[-1] / memory[0]:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Start, measure, print, stop."""
    parser = argparse.ArgumentParser(prog="benchmarks.local_azure", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rounds", nargs="?", type=int, default=7, help="rounds at each size (default: %(default)s)")
    rounds: int = parser.parse_args().rounds
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="entrant-") as folder:
        azure = local_azure.start(Path(folder) / "state")
        try:
            for thread in os.listdir(f"/proc/{azure.pid}/task"):
                os.sched_setaffinity(int(thread), cores[:1])
            os.sched_setaffinity(0, cores[1:] or cores)
            found, memory = measure(azure, rounds)
        finally:
            local_azure.stop(azure.state)
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{rounds} rounds, Python {platform.python_version()}, {machine}\n\n{table(found, memory)}")


if __name__ == "__main__":
    main()
