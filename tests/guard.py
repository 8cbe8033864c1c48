"""Ends what a run of the tests started, however the run itself ends: SIGKILL included.

Every process inherits a mark in its environment. Beside the run stands a process of its own session, which waits until the run is
gone (the system closes the pipe that only pytest holds) or whoever started it, and then ends all that have the mark. A run that
was started with nohup outlives its starter. Needs Linux's /proc; elsewhere nothing is watched.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

NAME = "ENTRANT_TEST_RUNS"
"""The variable that holds the marks of the run, and of the runs that it is part of, with blanks between them."""
GRACE = 5.0
"""Seconds to end without a signal, then between SIGTERM and SIGKILL."""
_WATCHER = pytest.StashKey["subprocess.Popen[str]"]()


def pytest_configure(config: pytest.Config) -> None:
    """Mark what this run will start, and begin to watch the run."""
    if not Path("/proc/self/environ").exists():
        return
    mark = uuid.uuid4().hex
    awaited = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    command = [sys.executable, __file__, mark, str(os.getpid()), str(os.getppid() if awaited else 0)]
    config.stash[_WATCHER] = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, text=True
    )
    os.environ[NAME] = f"{os.environ.get(NAME, '')} {mark}".strip()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Wait until nothing is left, and say what was."""
    watcher = config.stash.get(_WATCHER, None)
    if watcher is None:
        return
    del config.stash[_WATCHER]
    os.environ[NAME] = os.environ[NAME].rpartition(" ")[0]
    ended, _ = watcher.communicate()
    if ended:
        print(f"Still running after the tests, and ended:\n{ended}", file=sys.stderr, end="")


def watch(mark: str, run: int, parent: int) -> None:
    """Wait for the end of the run or of its parent (0: of the run alone), then end the processes with the mark."""
    while not select.select([sys.stdin], [], [], 0.5)[0]:
        if parent and _parent(run) not in (parent, None):
            with contextlib.suppress(ProcessLookupError):
                os.kill(run, signal.SIGKILL)
            break
    reported: dict[int, str] = {}
    for number in (None, signal.SIGTERM, signal.SIGKILL):  # first those may end that are about to
        deadline = time.monotonic() + GRACE
        while (found := dict(marked(mark))) and time.monotonic() < deadline:
            if number is not None:
                for process in found if number == signal.SIGKILL else found.keys() - reported.keys():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, number)
                reported = found | reported
            time.sleep(0.05)
    with contextlib.suppress(BrokenPipeError):
        print(*(f"  {process} {command}\n" for process, command in reported.items()), sep="", end="", flush=True)


def marked(mark: str) -> Iterator[tuple[int, str]]:
    """The processes with a mark, each with its command line. One that has ended and waits for its parent has none."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for variable in (path / "environ").read_bytes().split(b"\0"):
                if variable.startswith(f"{NAME}=".encode()) and mark.encode() in variable:
                    yield (
                        int(path.name),
                        (path / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"),
                    )


def _parent(process: int) -> int | None:
    """The process that started another one, or has it since its end."""
    try:
        return int(Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1])
    except OSError:
        return None


if __name__ == "__main__":
    watch(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
