"""What was told of a stack, kept in tags of the stack, which outlive the machine of a pipeline's job.

A tag for each credential and target, `entrant:told:email:1f2e3d4c5b6a` = `14 log-reader 2026-11-26 THREAD`: the stage, the app, the
day, and where the target goes on (an issue). Short, since Pulumi Cloud takes 40 characters for a name and 256 for a value.
"""

import datetime as dt
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from entrant import engine
from entrant.pipeline import locks

TOLD: Final = "entrant:told:"
LAST: Final = "entrant:notified"
"""When something was last to be told: written first, so that nothing is told where nothing can be noted."""


class Sent(NamedTuple):
    """What a target was told about a credential."""

    stage: int
    app: str
    thread: str


@dataclass
class Record:
    """The record of a stack."""

    stack: str
    cwd: Path | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    _open: bool = False

    def __post_init__(self) -> None:
        self._tags = locks.tags(self.stack, cwd=self.cwd, environ=self.environ)

    def sent(self, target: str) -> dict[str, Sent]:
        """What a target was told, by the credential's key. A tag that is none of these is left out."""
        found = {}
        for name, value in self._tags.items():
            stage, app, _, thread, *_ = [*value.split(" "), "", "", ""]
            if name.startswith(f"{TOLD}{target}:") and re.fullmatch(r"\d{1,4}", stage, re.ASCII):
                found[name.rpartition(":")[2]] = Sent(int(stage), app, thread)
        return found

    def open(self, now: dt.datetime) -> None:
        """Make sure that it can be written, once.

        Raises:
            EngineError: it cannot.
        """
        if not self._open:
            self._run("set", LAST, now.isoformat())
            self._open = True

    def note(self, target: str, key: str, sent: Sent, now: dt.datetime) -> None:
        """Note that a target was told of a credential."""
        self._run("set", f"{TOLD}{target}:{key}", f"{sent.stage} {sent.app} {now:%Y-%m-%d} {sent.thread}".rstrip())

    def forget(self, target: str, key: str) -> None:
        """Forget a credential that needs nothing any more."""
        self._run("rm", f"{TOLD}{target}:{key}")

    def _run(self, *arguments: str) -> None:
        engine.run(["stack", "tag", *arguments, "--stack", self.stack], cwd=self.cwd, environ=self.environ)
