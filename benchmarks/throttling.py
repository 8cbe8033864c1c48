"""What Azure's quotas make of an `up`, `check` and `wait`: how long they take, and how many requests are refused on the way.

    .entrant/venv/bin/python -m benchmarks.throttling [--apps 100 300] [--drained] [--share 0.1 --parallel 8]

An app is an application, its service principal, a client secret and a role at a resource group. The local Azure takes as many
requests as Azure does (3,000 writes of Microsoft Graph in 150 seconds; at Resource Manager buckets of 250 reads and 200 writes,
filled with 25 and 10 a second). What they allow is the longer of two: the time of the same command without quotas, in the same run,
and the time in which the buckets let through the requests that were answered. With `--drained` another program has just used up
the writes of Graph, so that the `up` waits for each of its own. `--share` is for a machine that is slower than the quotas: with a
tenth of them and of the resources at once, as many requests as ever compete for what is let through.
"""

import argparse
import json
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import local_azure
from benchmarks import deployments, processes
from benchmarks.local_azure import Connection
from local_azure.pace import BUCKETS

COMMANDS = ("up", "check", "wait")


@dataclass(frozen=True)
class Throttled:
    """A command without quotas and with them."""

    apps: int
    command: str
    free: float
    """Seconds without quotas."""
    taken: float
    """Seconds with quotas."""
    least: float
    """Seconds in which the buckets let through what was answered."""
    answered: int
    """Requests that count against a quota and were answered."""
    refused: int
    """Requests that were answered with 429."""

    @property
    def ratio(self) -> float:
        """The time taken, to what the quotas allow."""
        return self.taken / max(self.free, self.least)


def measure(apps: int, *, share: float = 1.0, drained: bool = False, parallel: int = 64) -> list[Throttled]:
    """Run each command in two stacks of so many apps, the second time with quotas."""
    with tempfile.TemporaryDirectory(prefix="entrant-throttling-") as name:
        azure = local_azure.start(Path(name) / "azure", propagation=0)
        try:
            free = dict(_stack(Path(name) / "free", azure, apps, parallel, share=0.0))
            azure.reset()
            kept = dict(_stack(Path(name) / "kept", azure, apps, parallel, share=share, drained=drained))
        finally:
            local_azure.stop(Path(name) / "azure")
    found = []
    for command, (taken, log) in kept.items():
        counts = {kind: sum(one == kind for one, status in log if status != 429) for kind in BUCKETS}
        left = {kind: 0 if drained and kind == "graph write" else most * share for kind, (most, _) in BUCKETS.items()}
        least = max((counts[kind] - left[kind]) / (refill * share) for kind, (_, refill) in BUCKETS.items())
        refused = sum(status == 429 for _, status in log)
        found.append(Throttled(apps, command, free[command][0], taken, max(0.0, least), sum(counts.values()), refused))
    return found


def _stack(
    folder: Path, azure: local_azure.LocalAzure, apps: int, parallel: int, *, share: float, drained: bool = False
) -> Iterator[tuple[str, tuple[float, list[tuple[str, int]]]]]:
    """Seconds of each command in a stack of its own, and its requests: kind and status."""
    folder.mkdir()
    group = f"/subscriptions/{azure.subscription_id}/resourceGroups/rg"
    azure.ensure([group])
    real = deployments.found("PULUMI_RESOURCE_AZUREAD", "pulumi-resource-azuread")
    role = f"    roles: [{{role: Reader, scope: {group}}}]\n"
    stack = deployments.entrant(folder, azure, apps, parallel, real, more=role)
    azure.admin("PATCH", "settings", {"quotas": share})
    if drained:
        _drain(azure)
    for command in COMMANDS:
        words = stack.commands["create"] if command == "up" else [sys.executable, "-m", "entrant", command, "-s", "dev"]
        with _requests(azure) as log:
            cost, _ = processes.run(words, cwd=stack.folder, env=stack.env)
        line = f"{cost.wall:6.1f} s, {sum(one['status'] == 429 for one in log)} of {len(log)} requests refused"
        print(f"{apps} apps{', quotas' if share else ''}: {command:<6} {line}", file=sys.stderr, flush=True)
        yield command, (cost.wall, [(_kind(one), one["status"]) for one in log])


def _kind(request: dict[str, Any]) -> str:
    """Which quota a request counts against."""
    family = "graph" if request["path"].startswith(("/v1.0/", "/beta/")) else "arm"
    if family == "arm" and not request["path"].lower().startswith(("/subscriptions/", "/providers/")):
        return "other"
    done = {"GET": "read", "DELETE": "delete"}.get(request["method"], "write")
    return f"{family} {'write' if family == 'graph' and done == 'delete' else done}"


@contextmanager
def _requests(azure: local_azure.LocalAzure) -> Iterator[list[dict[str, Any]]]:
    """The requests of a block; the server keeps the newest thousand, so they are fetched while it runs."""
    log: list[dict[str, Any]] = []
    newest = azure.requests()[-1:]
    last, over = int(newest[0]["number"]) if newest else 0, threading.Event()

    def follow() -> None:
        nonlocal last
        while True:
            ending = over.wait(0.5)
            for one in azure.requests(after=last):
                last = one["number"]
                if not one["path"].startswith("/_"):
                    log.append(one)
            if ending:
                return

    follower = threading.Thread(target=follow)
    follower.start()
    try:
        yield log
    finally:
        over.set()
        follower.join()


def _drain(azure: local_azure.LocalAzure) -> None:
    """Write to Graph as the deployer until it refuses."""
    refused = threading.Event()

    def write(wires: "queue.SimpleQueue[Connection]") -> None:
        wire = wires.get()
        body = json.dumps({"notes": "-"})
        headers = {"Authorization": f"Bearer {wire.bearer}", "Content-Type": "application/json"}
        while not refused.is_set():
            wire.wire.request("PATCH", f"/v1.0/applications/{made['id']}", body, headers)
            answer = wire.wire.getresponse()
            answer.read()
            if answer.status == 429:
                refused.set()

    first = Connection(azure)
    settings = azure.environment()
    first.bearer = first.token(settings["ARM_CLIENT_ID"], settings["ARM_CLIENT_SECRET"])
    made = first.ask("POST", "/v1.0/applications", {"displayName": "drain"})
    wires: queue.SimpleQueue[Connection] = queue.SimpleQueue()
    threads = [threading.Thread(target=write, args=(wires,)) for _ in range(4)]
    for thread in threads:
        wires.put(Connection(azure, first.bearer))
        thread.start()
    began = time.monotonic()
    for thread in threads:
        thread.join()
    print(f"the writes of Graph are used up after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def table(found: list[Throttled]) -> str:
    """The figures as Markdown."""
    lines = ["| | without quotas | quotas allow | taken | ratio | answered | refused |", "|---" * 7 + "|"]
    for each in found:
        lines.append(
            f"| {each.apps} apps, {each.command} | {each.free:.1f} s | {max(each.free, each.least):.1f} s | {each.taken:.1f} s | "
            f"{each.ratio:.2f} | {each.answered:,} | {each.refused:,} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.throttling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--apps", type=int, nargs="+", default=[100, 300], help="default: 100 300")
    parser.add_argument("--drained", action="store_true", help="another program has used up Graph's writes")
    parser.add_argument("--share", type=float, default=1.0, help="share of the quotas (default: %(default)s)")
    parser.add_argument("--parallel", type=int, default=64, help="resources at once (default: %(default)s)")
    options = parser.parse_args()
    how = {"share": options.share, "drained": options.drained, "parallel": options.parallel}
    measured = [each for apps in options.apps for each in measure(apps, **how)]
    print(table(measured))


if __name__ == "__main__":
    main()
