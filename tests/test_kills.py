"""A pipeline whose every run is killed at another point goes on where the one before was stopped, and ends well when it is let.

`python -m benchmarks.kills` does the same at random moments, a trial for each kill, on more backends.
"""

import random
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
    output = ""
    for victim, method, path, changed in POINTS:
        place.write("chain", kills.environment("chain", 4, changed=changed))
        azure = place.azure()
        seen = max((entry["number"] for entry in azure.admin("GET", "log")["value"]), default=0)
        job = place.up("chain")
        while job.poll() is None:
            entries = azure.admin("GET", f"log?after={seen}")["value"]
            if any(entry["method"] == method and path in entry["path"] for entry in entries):
                kills.kill(victim, job.pid, azure, random.Random(1))
                break
            time.sleep(0.01)
        output += f"\n--- {victim} at {method} {path}\n{job.communicate()[0]}"
    last = place.up("chain")
    output += f"\n--- last\n{last.communicate()[0]}"
    assert last.returncode == 0, output
    assert kills.faults("chain", place) == [], output
