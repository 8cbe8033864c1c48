"""The programs that install and build: what they are given of the environment, where their output goes, what is said meanwhile."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from entrant import project


class SetupError(Exception):
    """Set-up could not go on. `str()` says what happened; `remedy` what to do about it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


class Words:
    """Says on standard error what set-up is doing: a line when a long step starts and ends, and signs of life between."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """One line, whole even when several threads speak."""
        with self._lock:
            sys.stderr.write(f"  {text}\n")
            sys.stderr.flush()

    @contextlib.contextmanager
    def step(self, text: str, *, every: float = 20.0) -> Iterator[None]:
        """Announce a step; while it lasts, say every so often how long it has taken; then that it is done."""
        started = time.monotonic()
        done = threading.Event()

        def pulse() -> None:
            while not done.wait(every):
                self.say(f"… {text}, {time.monotonic() - started:.0f} s so far")

        self.say(f"{text} …")
        thread = threading.Thread(target=pulse, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
        self.say(f"{text}: done in {time.monotonic() - started:.0f} s")


WORDS = Words()
_KEPT = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|TEMP|TMP|XDG_\w+|LD_LIBRARY_PATH|NO_COLOR|NETRC"  # a shell's own
    r"|(HTTPS?|ALL|NO|FTP)_PROXY|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NODE_EXTRA_CA_CERTS|GIT_SSL_CAINFO"
    r"|(PIP|UV|NPM_CONFIG)_\w+|GO[A-Z0-9]*|CGO_ENABLED"  # settings of the installers: index, proxy, cache
    r"|SYSTEMROOT|SYSTEMDRIVE|WINDIR|COMSPEC|PATHEXT|APPDATA|LOCALAPPDATA|PROGRAMDATA|PROGRAMFILES|USERPROFILE",  # Windows
    re.IGNORECASE,
)


def scrubbed(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What of an environment an installer needs: paths, language, proxies, certificates and the installers' own settings.

    No credential of Azure, Pulumi, a backend or a CI system is among it.
    """
    return {name: value for name, value in environ.items() if _KEPT.fullmatch(name)}


def run(
    command: Sequence[str | Path],
    log: Path,
    *,
    remedy: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a program with its output in `log`; on failure raise SetupError with its last lines and the remedy.

    Without `env` it gets `scrubbed()`.
    """
    project.private(log.parent)
    with log.open("ab") as output:
        output.write(f"$ {' '.join(map(str, command))}\n".encode())
        output.flush()
        start = output.tell()
        try:
            code = subprocess.run(
                [str(part) for part in command],
                cwd=cwd,
                env=dict(env) if env is not None else scrubbed(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                close_fds=False,
            ).returncode
        except OSError as error:
            raise SetupError(f"{command[0]} could not be started: {error}", remedy) from error
    if code:
        with log.open("rb") as output:
            output.seek(start)
            text = output.read().decode(errors="replace")
        if "No space left on device" in text:
            raise SetupError(
                f"the disk is full ({Path(command[0]).name})", f"free some space below {project.STATE} and run again"
            )
        tail = "\n".join("    " + line for line in text.strip().splitlines()[-8:])
        name = f"{Path(command[0]).name} {command[1] if len(command) > 1 else ''}".strip()
        raise SetupError(f"{name} ended with exit code {code}:\n{tail}\n  (all of it: {log})", remedy)


def pip_install(python: Path, *wanted: str | Path) -> list[str | Path]:
    """The command by which an environment's pip installs what has the hash that is pinned, and builds nothing."""
    flags = ("--disable-pip-version-check", "--no-input", "--require-hashes", "--only-binary=:all:")
    return [python, "-m", "pip", "install", *flags, *wanted]


def need_space(where: Path, needed: int, what: str) -> None:
    free = shutil.disk_usage(where).free
    if free < needed:
        raise SetupError(
            f"{what} needs about {needed / 2**30:.0f} GB of disk, and {where} has {free / 2**30:.1f} GB free",
            "free some space and run again",
        )
