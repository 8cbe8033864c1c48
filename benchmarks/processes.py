"""What a command costs: seconds of the clock, CPU seconds of all its processes, and the memory of the largest of them."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_WATCHER = """\
import ctypes, json, os, resource, subprocess, sys, time
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: what outlives the command is counted too
started = time.perf_counter()
code = subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL).returncode
wall = time.perf_counter() - started
try:
    while True:
        os.waitpid(-1, 0)
except ChildProcessError:
    pass
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    json.dump([wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, code], file)
"""


@dataclass(frozen=True)
class Cost:
    """Seconds of the clock, CPU seconds, MB of the largest process."""

    wall: float
    cpu: float
    peak: float

    def seconds(self, what: str) -> float:
        """`wall` or `cpu`."""
        return self.wall if what == "wall" else self.cpu


def run(command: list[str], *, cwd: Path, env: Mapping[str, str]) -> tuple[Cost, str]:
    """Run a command to the end of all its processes: its cost, and what it said.

    Raises:
        SystemExit: it failed; with the end of what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, log = Path(folder) / "cost.json", Path(folder) / "output"
        env = {name: value for name, value in env.items() if name != "PYTHONDONTWRITEBYTECODE"}  # as users have it
        with log.open("wb") as output:
            watched = [sys.executable, "-S", "-c", _WATCHER, str(file), *command]
            subprocess.run(watched, cwd=cwd, env=env, stdout=output, stderr=output, check=True)
        text = log.read_text("utf-8", "replace")
        wall, cpu, peak, code = json.loads(file.read_text())
    if code:
        raise SystemExit(f"{os.path.basename(command[0])} {' '.join(command[1:4])} failed ({code}):\n{text[-3000:]}")
    return Cost(wall, cpu, peak), text
