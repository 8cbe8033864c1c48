"""What a command costs: seconds of the clock, CPU seconds of all its processes, and the memory of each kind of them."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_WATCHER = """\
import ctypes, glob, json, os, re, resource, subprocess, sys, threading, time

peaks, ended = {}, threading.Event()
def look():
    while not ended.wait(0.2):
        for stat in glob.glob("/proc/[0-9]*/stat"):
            try:
                with open(stat) as file:
                    session = int(file.read().rpartition(")")[2].split()[3])
                if session != mine:
                    continue
                with open(stat.replace("stat", "cmdline")) as file:
                    words = " ".join(file.read().split("\\0")[:5])
                with open(stat.replace("stat", "status")) as file:
                    peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
            except (OSError, StopIteration):
                continue
            kind = next((what for sign, what in signs if re.search(sign, words)), None)
            if kind:
                peaks[kind] = max(peaks.get(kind, 0), peak / 1024)

mine = os.getpid()
signs = json.loads(sys.argv[2])
os.setsid()
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: what outlives the command is counted too
    threading.Thread(target=look, daemon=True).start()
started = time.perf_counter()
code = subprocess.run(sys.argv[3:], stdin=subprocess.DEVNULL).returncode
wall = time.perf_counter() - started
try:
    while True:
        os.waitpid(-1, 0)
except ChildProcessError:
    pass
ended.set()
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    json.dump([wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, code, peaks], file)
"""
KINDS = {
    "pulumi-language-python-exec": "program",
    "language_host|pulumi-language-python": "language host",
    "azure-native": "azure-native plugin",
    "azuread": "azuread plugin",
    "^[^ ]*pulumi ": "engine",
    "-m entrant": "entrant",
}
"""What of a command line tells which process it is, as a regular expression; the first that is found counts."""


@dataclass(frozen=True)
class Cost:
    """Seconds of the clock, CPU seconds, MB of the largest process, and of the largest of each of `KINDS` (Linux)."""

    wall: float
    cpu: float
    peak: float
    peaks: Mapping[str, float] = field(default_factory=dict)

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
            signs = json.dumps(list(KINDS.items()))
            watched = [sys.executable, "-S", "-c", _WATCHER, str(file), signs, *command]
            subprocess.run(watched, cwd=cwd, env=env, stdout=output, stderr=output, check=True)
        text = log.read_text("utf-8", "replace")
        wall, cpu, peak, code, peaks = json.loads(file.read_text())
    if code:
        raise SystemExit(f"{os.path.basename(command[0])} {' '.join(command[1:4])} failed ({code}):\n{text[-3000:]}")
    return Cost(wall, cpu, peak, peaks), text
