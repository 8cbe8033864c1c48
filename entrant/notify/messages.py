"""What an owner is told, and when: each credential at 30, 14, 7 and 1 days before its end, and once it has ended."""

import datetime as dt
import hashlib
import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from entrant import markdown
from entrant.drift.expiry import Ending
from entrant.facts.unsafe_text import inert, without_secrets
from entrant.words import counted

STAGES: Final = (30, 14, 7, 1)
"""Days before the end."""


def stage(ending: Ending, now: dt.datetime) -> int | None:
    """The stage that a credential has reached, in days; 0 when it has ended, None before the first."""
    left = ending.ends - now
    return 0 if ending.ended else min((days for days in STAGES if left <= dt.timedelta(days=days)), default=None)


def stage_in_words(reached: int) -> str:
    """A stage for people."""
    return counted(reached, "day") if reached else "ended"


def key(ending: Ending) -> str:
    """What a credential is known by in the record: 12 hexadecimal digits."""
    return hashlib.sha256(f"{ending.app} {ending.key_id or ending.name}".encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Message:
    """What is told about one app: everything of it that ends soon, the soonest first. Texts are harmless in every form."""

    stack: str
    app: str
    endings: tuple[Ending, ...]
    owners: tuple[str, ...]
    mail: tuple[str, ...]
    now: dt.datetime
    id: str
    """The same for the same app, credentials and stages."""

    @property
    def subject(self) -> str:
        """One line without control characters."""
        first = self.endings[0]
        verb = "ended" if first.ended else "ends"
        more = f", and {len(self.endings) - 1} more" if len(self.endings) > 1 else ""
        return _harmless(f"{self.app} (stack {self.stack}): {first.kind} {verb} {first.within(self.now)}{more}")

    def text(self) -> str:
        """For mail."""
        return "\n\n".join([f"{self.subject}.", *(_harmless(line) for line in self._lines())]) + "\n"

    def markdown(self) -> str:
        """For an issue."""
        return "\n\n".join(markdown.text(_harmless(line)) for line in self._lines()) + "\n"

    def chat(self) -> str:
        """For a webhook: no mention, no link and no markup of Slack or Teams comes of a name in it."""
        lines = (markdown.apart(html.escape(_harmless(line), quote=False)) for line in (self.subject, *self._lines()))
        return "\n".join(lines)

    def _lines(self) -> Iterator[str]:
        for ending in self.endings:
            yield f"{ending.sentence(self.now)}. To do: {ending.next_step}."
        yield f"Owners: {', '.join(self.owners)}." if self.owners else "It has no owners, or they could not be read."


def _harmless(text: str) -> str:
    return inert(without_secrets(markdown.plain(text)))
