"""Set-up: a virtual environment with the pinned requirements, and a Pulumi engine.

Standard library only, since it runs before anything is installed; and what only a set-up needs is loaded by a set-up, since every
command begins here. Everything it makes lies below `.entrant/` in the project, is made under a lock and put in place by a
rename or a stamp written last, so that it may be interrupted, or run twice at once.

Checksums are in `checksums.txt` (archives), in `toolchain/` (the build) and in the requirement files. Installers are given none of
the credentials that this process may have: see `installers.scrubbed`.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from entrant.setup.engine import ensure_pulumi, find_pulumi
from entrant.setup.environment import ensure_venv, venv_ready


@dataclass
class _Side:
    """A piece of set-up that runs beside another."""

    work: Callable[[], object]
    error: BaseException | None = field(default=None)

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:  # handed to the main thread, which raises it
            self.error = error


def prepare(*, venv: bool, tests: bool, pulumi: bool) -> None:
    """Make what is asked for and missing: the virtual environment (with what the tests need) and Pulumi, side by side.

    Raises:
        SetupError: the first failure, with its remedy.
    """
    side = _Side(ensure_pulumi)
    thread = threading.Thread(target=side.run, daemon=True)
    if pulumi and find_pulumi() is None:
        thread.start()
    if venv:
        ensure_venv(tests=tests)
    if thread.ident is not None:
        while thread.is_alive():
            thread.join(0.2)  # short, so that Ctrl-C is heard
    if side.error is not None:
        raise side.error


def describe() -> str:
    """What is set up, as JSON for bug reports."""
    found = find_pulumi()
    return json.dumps(
        {
            "venv": venv_ready(),
            "test_venv": venv_ready(tests=True),
            "pulumi": {"path": str(found.path), "version": found.version, "origin": found.origin} if found else None,
        },
        indent=2,
    )
