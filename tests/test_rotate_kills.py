"""`rotate` with the real engine, killed at each step of its way: the next run goes on where it was stopped.

The calendar's clock and Azure's are moved together, so secrets are due, and end, in both. By default each run is killed one step
later than the one before, and the last is let; ENTRANT_KILLS=each ends what each kill left before the next one.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import local_azure
from benchmarks import kills
from tests.conftest import Project
from tests.entrant import places as recording
from tests.entrant.test_deliver import TAKES
from tests.local_azure.conftest import Client
from tests.test_rotate import STACK, Stack

TOKEN_OF_THE_APP = "/oauth2/v2.0/token"
PROGRAM = TAKES.replace(
    "value = sys.stdin.read()\n",
    """\
value = sys.stdin.read()
import signal, time
if "ENDS_IN_THE_PROOF" in os.environ:
    run, late = os.getppid(), time.monotonic() + 60
    while os.getppid() == run and time.monotonic() < late:
        time.sleep(0.05)
    sys.exit(1)
if (folder / "kill before").exists():
    os.kill(os.getppid(), signal.SIGKILL)
    sys.exit(1)
""",
)
PROGRAM += """\
if (folder / "kill after").exists():
    os.kill(os.getppid(), signal.SIGKILL)
"""
STEPS = {
    "in the preview": ("azure", "", ""),
    "as Azure makes the secret": ("azure's answer", "POST", "/addPassword"),
    "in the proof": ("azure", "POST", TOKEN_OF_THE_APP),
    "before the program stores it": ("program", "kill before", ""),
    "after the program stored it": ("program", "kill after", ""),
    "before GitHub stores it": ("before", "PUT", "secrets"),
    "after GitHub stored it": ("after", "PUT", "secrets"),
    "after GitHub's note of it": ("after", "PATCH", "variables"),
}
"""Step → what is waited for before everything of the run is killed: a request that Azure has answered, one that it carries out
and whose answer nobody gets, the program for the secret, or a request to GitHub, before or after it is carried out.
"""


class Killing(Stack):
    """The stack, and runs of `rotate` that are killed."""

    def at(self, day: str) -> None:
        """Let it be a day, for the program and for Azure."""
        super().at(day)
        offset = (dt.datetime.fromisoformat(f"{day}T12:00:00+00:00") - dt.datetime.now(dt.UTC)).total_seconds()
        self.azure.admin("PATCH", "settings", {"clock": {"offset": offset}})

    def killed(self, kind: str, method: str, path: str, *, command: Sequence[str] = ("rotate",)) -> None:
        """A command that is killed at a step."""
        settings = self.project.rehearsal(STACK).settings(self.azure)
        tokens = {"GH_TOKEN": recording.TOKEN, "GITHUB_API_URL": f"{self.places.url}/github"}
        seen = max((one["number"] for one in self.azure.requests()), default=0)
        quick = ["-s", STACK, "--settle", "0", "--patience", "60"]
        with contextlib.ExitStack() as ending:
            if kind == "azure's answer":
                rule = {"kind": "slow", "method": method, "route": "/v1.0/applications", "seconds": 3, "count": 1}
                self.azure.admin("PUT", "faults", {"rules": [rule], "seed": 0})
                ending.callback(lambda: self.azure.admin("DELETE", "faults"))
            if kind == "azure":  # the program stores nothing, so a kill that comes late comes before it
                tokens["ENDS_IN_THE_PROOF"] = "yes"
            if kind == "program":
                file = self.project.root / method
                file.touch()
                ending.callback(file.unlink)
            job = subprocess.Popen(
                [sys.executable, "-m", "entrant", *command, *quick],
                cwd=self.project.root,
                env=self.project.environ() | settings | tokens,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            if kind in ("before", "after"):
                self._kill_at_github(job, kind, method, path)
                ending.callback(lambda: self.places.__dict__.pop("github"))
            while kind == "azure" and job.poll() is None:
                if any(self._is(entry, method, path) for entry in self.azure.requests(after=seen)):
                    kills.kill("job", job.pid, self.azure, random.Random(1))
                    break
                time.sleep(0.01)
            while kind == "azure's answer" and job.poll() is None:
                if self.azure.admin("GET", "faults")["rules"][0]["hits"]:
                    kills.kill("job", job.pid, self.azure, random.Random(1))
                    self._wait_for(seen, method, path)
                    break
                time.sleep(0.01)
            output, _ = job.communicate()
        assert job.returncode == -9, output
        for value in self.seen.values():
            assert value not in output

    def _wait_for(self, seen: int, method: str, path: str) -> None:
        while not any(self._is(entry, method, path) for entry in self.azure.requests(after=seen)):
            time.sleep(0.05)

    def _is(self, entry: dict[str, Any], method: str, path: str) -> bool:
        ours = path != TOKEN_OF_THE_APP or (entry.get("principal") or {}).get("client_id") == self.client_id
        return method in ("", entry["method"]) and path in entry["path"] and ours

    def _kill_at_github(self, job: subprocess.Popen[str], when: str, method: str, path: str) -> None:
        real = self.places.github

        def github(verb: str, steps: list[str], query: dict[str, str], body: dict[str, Any]) -> Any:
            here = verb == method and path in steps
            if here and when == "before":
                kills.kill("job", job.pid, self.azure, random.Random(1))
                raise recording.Answer(503)
            try:
                return real(verb, steps, query, body)
            finally:
                if here:
                    kills.kill("job", job.pid, self.azure, random.Random(1))

        self.places.github = github  # type: ignore[method-assign, assignment]

    def in_azure(self) -> dict[str, dt.datetime]:
        """The app's secrets in the directory: key id → end."""
        client = Client(self.azure)
        [app] = client.graph("GET", f"/applications?$filter=appId eq '{self.client_id}'")["value"]
        return {one["keyId"]: dt.datetime.fromisoformat(one["endDateTime"]) for one in app["passwordCredentials"]}

    def in_outputs(self) -> set[str]:
        """The key ids of the secrets in the outputs."""
        done = self.project.pulumi(STACK, "stack", "output", "--json", "-s", STACK)
        return {one["key_id"] for one in json.loads(done.stdout)["identities"]["reader"]["credentials"]}

    def works_everywhere(self) -> bool:
        """Whether each place holds a secret that gives a token."""
        self.secrets()
        return all(slot and self.signs_in(slot) for slot in self.held().values())


@pytest.fixture(scope="module")
def stack(project: Project) -> Iterator[Killing]:
    """The stack after its first rotation."""
    with recording.places() as places:
        made = Killing(project, None, places)  # type: ignore[arg-type]
        (project.root / "takes.py").write_text(PROGRAM)
        made.write()
        done = project.entrant("rehearse", STACK, "--propagation", "0")
        assert done.returncode == 0, done.stderr
        made.azure = local_azure.start(project.rehearsal(STACK).azure)
        made.at("2026-11-27")
        code, report = made.rotate()
        assert code == 0, report
        assert made.secrets() == [("2026-09-28", True)]
        yield made


def test_a_due_secret_is_made_and_delivered_though_each_run_is_killed_a_step_later(stack: Killing) -> None:
    stack.at("2026-12-28")
    for step, (kind, method, path) in STEPS.items():
        stack.killed(kind, method, path)
        assert stack.works_everywhere(), f"killed {step}"
        assert stack.signs_in("2026-09-28"), f"killed {step}"
        assert len(stack.in_azure()) <= 2, f"killed {step}"
    code, report = stack.rotate()
    assert code == 0, report
    assert stack.secrets() == [("2026-12-27", True), ("2026-09-28", True)]
    assert set(stack.in_azure()) == stack.in_outputs(), "a secret that nobody knows"
    assert stack.held() == {"exec": "2026-12-27", "github": "2026-12-27"}
    assert stack.signs_in("2026-09-28") and stack.signs_in("2026-12-27"), "both work in the overlap"


def test_a_secret_is_revoked_by_its_slot_though_the_first_run_is_killed_as_azure_removes_it(stack: Killing) -> None:
    if len(stack.secrets()) == 1:
        stack.at("2026-12-28")
        assert stack.rotate()[0] == 0
    stack.at("2026-12-29")
    revoke = ("revoke", "reader", "2026-09-28", "--yes", "--reason", "its laptop was stolen")
    stack.killed("azure's answer", "POST", "/removePassword", command=revoke)
    assert stack.works_everywhere()
    assert not stack.signs_in("2026-09-28")
    done = stack.entrant(*revoke, "-s", STACK, "--settle", "0", "--patience", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stack.secrets() == [("2026-12-27", True)]
    assert set(stack.in_azure()) == stack.in_outputs()
    assert stack.works_everywhere()


@pytest.mark.skipif(os.environ.get("ENTRANT_KILLS") != "each", reason="takes minutes; ENTRANT_KILLS=each runs it")
@pytest.mark.parametrize("step", STEPS)
def test_a_run_that_is_killed_at_a_step_is_ended_by_the_next(step: str, stack: Killing) -> None:
    [(before, _)] = stack.secrets()
    due = dt.date.fromisoformat(before) + dt.timedelta(days=90)
    stack.at(f"{due}")
    stack.killed(*STEPS[step])
    assert stack.works_everywhere()
    code, report = stack.rotate()
    assert code == 0, report
    assert stack.secrets() == [(f"{due}", True), (before, True)]
    assert set(stack.in_azure()) == stack.in_outputs()
    assert set(stack.held().values()) == {f"{due}"}
    assert stack.signs_in(before)
    stack.at(f"{due + dt.timedelta(days=8)}")
    code, report = stack.rotate()
    assert (code, report["removed"]) == (0, [f"reader {before}"])
