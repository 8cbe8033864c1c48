"""A pipeline whose every run is killed at another point goes on where the one before was stopped, and ends well when it is let;
every second run writes its state once, at its end.

`python -m benchmarks.kills` does the same at random moments, a trial for each kill, on more backends.
"""

import random
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from benchmarks import kills
from benchmarks.kills import Place

POINTS = [
    ("job", "POST", "/v1.0/applications", False),
    ("engine", "POST", "/v1.0/servicePrincipals", False),
    ("plugin", "POST", "/addPassword", False),
    ("job", "PUT", "/roleAssignments/", False),
    ("azure", "POST", "/addPassword", True),
    ("helper", "POST", "/appRoleAssignedTo", True),
    ("program", "GET", "/v1.0/applications", True),
    ("job", "DELETE", "/", True),
]
"""What is killed, as soon as the local Azure has answered such a request, and whether the environment has changed by then."""


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with kills.place("file") as made:
        yield made


def test_runs_that_are_killed_one_after_another_leave_nothing_behind(place: Place) -> None:
    assert place.pulumi("stack", "init", "chain").returncode == 0
    said = ""
    for number, (victim, method, path, changed) in enumerate(POINTS):
        place.write("chain", kills.environment("chain", 4, changed=changed))
        azure = place.azure()
        seen = max((entry["number"] for entry in azure.admin("GET", "log")["value"]), default=0)
        job = place.up("chain", *(["--fast"] if number % 2 else []))
        while job.poll() is None:
            entries = azure.admin("GET", f"log?after={seen}")["value"]
            if any(entry["method"] == method and path in entry["path"] for entry in entries):
                kills.kill(victim, job.pid, azure, random.Random(1))
                break
            time.sleep(0.01)
        said += f"\n--- {victim} at {method} {path}\n{job.communicate()[0]}"
    last = place.up("chain")
    said += f"\n--- last\n{last.communicate()[0]}"
    assert last.returncode == 0, said
    assert kills.faults("chain", place) == [], said


def test_fast_has_the_command_write_its_state_once_and_nothing_else_does(place: Place) -> None:
    assert place.pulumi("stack", "init", "once").returncode == 0
    looking = ["--", "sh", "-c", 'test "$PULUMI_SKIP_CHECKPOINTS" = true']
    for fast, code in ((["--fast"], 0), ([], 1)):
        command = [sys.executable, "-m", "entrant", "hold", "-s", "once", "--settle", "0", *fast, *looking]
        done = subprocess.run(command, cwd=place.root, env=place.environ(), stdin=subprocess.DEVNULL)
        assert done.returncode == code
