"""What a look before an `up` finds."""

from dataclasses import dataclass
from typing import Literal

from entrant.errors import EntrantError, RefusedError

State = Literal["ok", "problem", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found."""

    what: str
    state: State
    evidence: str
    next_step: str | None = None


def not_seen(error: EntrantError, what: str, right: str, *, needed: bool = True) -> Finding:
    """A look-up that an `up` makes as well (`needed`): without the right it will fail, and any other failure may pass."""
    if isinstance(error, RefusedError) and error.status == 403:
        return Finding(what, "problem" if needed else "unknown", f"not readable (403 {error.code})", right)
    return Finding(what, "unknown", f"the look-up failed: {error}", error.next_step)
