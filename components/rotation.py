"""Which secrets are due: a calendar instead of state, so that a rotation never takes a valid secret away."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Slot:
    """One stretch of a calendar and its secret, valid from `starts` until `ends` (exclusive; UTC).

    `successor` is when the next slot starts: from then on an `up` declares its secret.
    """

    starts: datetime
    ends: datetime
    successor: datetime
    generation: int = 1

    @property
    def name(self) -> str:
        """The slot's part of resource names: `2026-11-01`, with the time if it is not midnight and the generation
        from 2.
        """
        shape = (
            "%Y-%m-%d" if (self.starts.hour, self.starts.minute, self.starts.second) == (0, 0, 0) else "%Y-%m-%dt%H%M%S"
        )
        name = self.starts.strftime(shape)
        return name if self.generation == 1 else f"{name}-g{self.generation}"


def slots(
    now: datetime, *, every: timedelta, overlap: timedelta, starts: datetime, generation: int = 1
) -> tuple[Slot, ...]:
    """The slots whose secrets are to exist at `now`, newest first: the one that holds now, and the one before in its
    overlap.

    Slot k starts at `starts + k*every` and its secret ends at `starts + (k+1)*every + overlap`. `overlap` is shorter
    than `every`, so there are one or two. A moment on a boundary belongs to the slot it starts. `starts` may lie
    after `now`.
    """
    begin = starts + (now - starts) // every * every
    current = Slot(begin, begin + every + overlap, begin + every, generation)
    if now < begin + overlap:
        return current, Slot(begin - every, begin + overlap, begin, generation)
    return (current,)
