"""Which secrets are to exist: a calendar, and what the stack has handed out already, so that no change of it is an outage."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from entrant.config.values import parse_moment


@dataclass(frozen=True, slots=True)
class Slot:
    """One stretch of a calendar and its secret, valid from `starts` until `ends` (exclusive; UTC).

    `successor` is when the next slot starts: from then on an `up` declares its secret.
    """

    starts: datetime
    ends: datetime
    successor: datetime
    generation: int

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


@dataclass(frozen=True, slots=True)
class HandedOut:
    """A secret that the stack's outputs have: its name, when an `up` first handed it out, and its end (UTC)."""

    name: str
    issued: datetime
    ends: datetime

    @classmethod
    def read(cls, name: str, issued: str, ends: str) -> "HandedOut":
        """From texts; raises `config.problems.Refused` for a malformed time."""
        return HandedOut(name, parse_moment(issued), parse_moment(ends))

    @property
    def generation(self) -> int:
        """The generation it was made for."""
        found = re.search(r"-g([0-9]+)", self.name)
        return int(found[1]) if found else 1


@dataclass(frozen=True, slots=True)
class Due(HandedOut):
    """A secret that is to exist.

    `successor` is the moment from which an `up` makes the next one, and `kept_until` the one from which an `up` takes it
    away: its end, or sooner once there is a newer one.
    """

    successor: datetime
    kept_until: datetime


def slots(
    now: datetime, *, every: timedelta, overlap: timedelta, starts: datetime, generation: int = 1
) -> tuple[Slot, ...]:
    """The slots of a calendar that has never been another one, newest first: the one that holds at `now`, and the one
    before in its overlap.

    Slot k starts at `starts + k*every` and its secret ends at `starts + (k+1)*every + overlap`. `overlap` is shorter
    than `every`, so there are one or two. A moment on a boundary belongs to the slot it starts. `starts` may lie
    after `now`.
    """
    begin = starts + (now - starts) // every * every
    current = Slot(begin, begin + every + overlap, begin + every, generation)
    if now < begin + overlap:
        return current, Slot(begin - every, begin + overlap, begin, generation)
    return (current,)


def due(
    now: datetime,
    *,
    every: timedelta,
    overlap: timedelta,
    starts: datetime,
    generation: int = 1,
    handed_out: Sequence[HandedOut] | None = None,
) -> tuple[Due, ...]:
    """The secrets that are to exist at `now`, newest first: the one in use, and the one before while it may still be.

    The newest of `handed_out` stays in use until a slot has started since it was issued, or it has only `overlap` left to
    live, or `generation` is higher than its own. Then a new one comes beside it, and it stays for `overlap`, or until its
    own end. That holds whatever the calendar was before, and there are never more than two: while two are in their overlap
    nothing new is made, unless `generation` is raised, or half of the newer one's life is over; then the older one goes.

    Without `handed_out` (None) the calendar is taken to have always been this one.
    """
    now = now.replace(microsecond=0)
    calendar = slots(now, every=every, overlap=overlap, starts=starts, generation=generation)
    slot = calendar[0]
    if handed_out is None:
        return tuple(Due(each.name, each.starts, each.ends, each.successor, each.ends) for each in calendar)
    living = sorted((each for each in handed_out if each.ends > now), key=lambda each: each.issued, reverse=True)
    newest = living[0] if living else None
    before = living[1] if len(living) > 1 else None

    def with_successor(secret: HandedOut, predecessor: HandedOut | None) -> Due:
        serves = _serves(secret, slot)
        following = min(slot.successor if serves else now, secret.ends - overlap)
        if predecessor is not None:
            following = max(following, _overlap_ends(secret, predecessor, overlap))
        return Due(secret.name, secret.issued, secret.ends, following, secret.ends)

    def succeeded(secret: HandedOut, by: Due) -> Due:
        return Due(secret.name, secret.issued, secret.ends, by.issued, min(secret.ends, by.issued + overlap))

    if newest is not None and newest.generation >= generation:
        if before is not None and now >= min(before.ends, newest.issued + overlap):
            before = None
        current = with_successor(newest, before)
        if now < current.successor:
            return (current,) if before is None else (current, succeeded(before, current))
    names = {each.name for each in handed_out}
    name, count = slot.name, 1
    while name in names:
        count += 1
        name = f"{slot.name}-{count}"
    ends = slot.ends
    if newest is not None and slot.successor - now < overlap:
        # The one after it waits for the end of this overlap and needs an overlap of its own.
        ends = slot.successor + min(2 * overlap, every)
    newest = newest if overlap else None
    fresh = with_successor(HandedOut(name, now, ends), newest)
    return (fresh,) if newest is None else (fresh, succeeded(newest, fresh))


def _serves(secret: HandedOut, slot: Slot) -> bool:
    """Whether no slot has started since a secret was issued. By name too: clocks differ."""
    return secret.issued >= slot.starts or secret.name == slot.name


def _overlap_ends(secret: HandedOut, predecessor: HandedOut, overlap: timedelta) -> datetime:
    """Until when nothing comes after `secret`, so that its predecessor can stay."""
    half = secret.issued + (secret.ends - secret.issued) / 2
    return min(predecessor.ends, secret.issued + overlap, half)
