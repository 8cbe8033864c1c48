"""Says on standard error what is going on: a line for each finished step with its seconds, and a live line on a terminal."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from entrant import terminal
from entrant.facts.unsafe_text import harmless

STEADY = 20.0
"""Seconds between signs of life where standard error is no terminal."""


def console(*, quiet: bool = False) -> Console:
    """Standard error as a rich console; plain where it is no terminal or NO_COLOR is set, and silent when quiet."""
    return _Console(file=terminal.coloured(sys.stderr), highlight=False, soft_wrap=True, quiet=quiet)


class _Console(Console):
    """Colours of ours alone: those in a text are shown as escapes."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(_safe(each) if isinstance(each, str) else each for each in objects), **options)


def _safe(text: str) -> str:
    return harmless(text, keep="\n\t")


@dataclass
class Step:
    """One step: `note` becomes the words after its title once it is done."""

    title: str
    note: str = ""
    seconds: float = 0.0
    _tell: Callable[[str], None] = field(default=lambda _: None, repr=False)

    def update(self, words: str) -> None:
        """Say how far it is, where somebody is watching."""
        self._tell(words)


@dataclass
class Steps:
    """The steps of a longer job, in order."""

    done: list[Step] = field(default_factory=list)
    out: Console = field(default_factory=console)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Run a block as a step. A failed one is said to have failed, and the error goes on."""
        started = last = time.monotonic()
        step = Step(title)
        status: Status | None = None
        if sys.stderr.isatty():
            status = self.out.status(escape(_safe(title)))
            status.start()

        def tell(words: str) -> None:
            nonlocal last
            now = time.monotonic()
            text = f"{title}: {words} [{now - started:.0f} s]"
            if status:
                status.update(escape(_safe(text)))
            elif now - last >= STEADY:
                last = now
                self.out.print(f"  … {text}", markup=False)

        step._tell = tell
        try:
            yield step
        except BaseException:
            if status:
                status.stop()
            self.out.print(f"[red]✗[/red] {escape(title)}")
            raise
        step.seconds = time.monotonic() - started
        if status:
            status.stop()
        note = f": {step.note}" if step.note else ""
        self.out.print(f"[green]✓[/green] {escape(title)}{escape(note)} [dim]{step.seconds:.1f} s[/dim]")
        self.done.append(step)
