"""A run of the tests leaves no process behind, however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

LEAVING = """
import json, os, subprocess, sys, time
from pathlib import Path
import local_azure

def test_that_leaves(tmp_path):
    azure = local_azure.start(tmp_path / "state", timeout=120)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(900)"
    child = subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True, stdout=subprocess.PIPE)
    child.stdout.readline()
    said = Path(os.environ["SAID"])
    said.with_suffix(".draft").write_text(json.dumps({"run": os.getpid(), "left": [os.getpid(), azure.pid, child.pid]}))
    said.with_suffix(".draft").rename(said)
    child.returncode = 0
    time.sleep(float(os.environ["SECONDS"]))
"""
STARTER = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"
PYTEST = (sys.executable, "-m", "pytest", "-q", "-s", "-p", "tests.guard", "-p", "no:cacheprovider")

PATIENCE = 240.0
"""Seconds until what is waited for counts as not happening; the test that leaves something takes longer by itself."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")


def runs(process: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def begin(
    folder: Path, *options: str, seconds: int = 900
) -> "tuple[subprocess.Popen[str], dict[str, int | list[int]]]":
    """Start a run of the test above by a starter, and wait until the test has started what it would leave."""
    test, report = folder / "test_leaving.py", folder / "said.json"
    test.write_text(LEAVING, "utf-8")
    environ = os.environ | {"SAID": str(report), "SECONDS": str(seconds), "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-c",
        STARTER,
        *PYTEST,
        *options,
        "--rootdir",
        str(folder),
        "--basetemp",
        str(folder / "temp"),
        str(test),
    ]
    starter = subprocess.Popen(
        command,
        cwd=folder,
        env=environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell has its background jobs ignore SIGINT, nohup SIGHUP, and so does what they start.
        preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGHUP)],
    )
    until(lambda: report.exists() or starter.poll() is not None)
    assert report.exists(), starter.communicate()
    return starter, json.loads(report.read_text())


def children(process: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["alone", "workers"])
def test_a_signal_to_the_run(tmp_path: Path, number: signal.Signals, options: tuple[str, ...]) -> None:
    """A server of the run, and a child that ignores SIGTERM, end with it."""
    starter, report = begin(tmp_path, *options)
    (run,) = children(starter.pid)
    os.kill(run, number)
    starter.communicate(timeout=PATIENCE)
    left = report["left"]
    assert isinstance(left, list)
    until(lambda: not any(map(runs, left)))


def test_a_kill_of_whoever_started_the_run(tmp_path: Path) -> None:
    """`python3 -m entrant test`, or whatever else runs pytest, is killed: the run ends, and all that it started."""
    starter, report = begin(tmp_path)
    starter.kill()
    starter.communicate(timeout=PATIENCE)
    left = report["left"]
    assert isinstance(left, list)
    until(lambda: not any(map(runs, left)))


def test_what_an_undisturbed_run_leaves_is_ended_and_said(tmp_path: Path) -> None:
    """A test that forgets to stop something is seen."""
    starter, report = begin(tmp_path, seconds=0)
    output, errors = starter.communicate()
    left = report["left"]
    assert isinstance(left, list) and starter.returncode == 0, output + errors
    assert not any(map(runs, left))
    assert "Still running after the tests, and ended:" in errors
    assert "-m local_azure serve" in errors and "signal.SIG_IGN" in errors
