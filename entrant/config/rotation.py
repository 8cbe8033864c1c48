"""Which secrets are to exist: a calendar, and what the stack has handed out already, so that no change of it is an outage."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from entrant.facts.contract import CLIENT_SECRET, ROTATION, SECRET_NAMES, calendar_of, issued_name

from .credentials import Calendar
from .values import parse_moment


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
    delivered: bool = field(default=False, kw_only=True)
    """Whether it was proved by tokens and seen in every place that it is delivered to."""
    revoked: str | None = field(default=None, kw_only=True)
    """Why it is to go as soon as its successor is delivered; None: it is not revoked."""

    @classmethod
    def read(
        cls, name: str, issued: str, ends: str, *, delivered: bool | None = None, revoked: str | None = None
    ) -> "HandedOut":
        """From texts; raises `config.problems.Refused` for a malformed time."""
        return HandedOut(name, parse_moment(issued), parse_moment(ends), delivered=bool(delivered), revoked=revoked)

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
    pushed: bool = False,
) -> tuple[Due, ...]:
    """The secrets that are to exist at `now`, newest first: the one in use, and the one before while it may still be.

    The newest of `handed_out` stays in use until a slot has started since it was issued, or it has only `overlap` left to
    live, or `generation` is higher than its own. Then a new one comes beside it, and it stays for `overlap`, or until its
    own end. That holds whatever the calendar was before, and there are never more than two: while two are in their overlap
    nothing new is made, unless `generation` is raised, or half of the newer one's life is over; then the older one goes.

    With `pushed` secrets have to be delivered after an `up`, and until the newest is `delivered` its predecessor may be what is in
    use: it stays until its own end, and meanwhile nothing new is made, whatever `generation` says. A `revoked` secret is succeeded
    at once, and goes as soon as its successor is `delivered`.

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

    rules = _Succession(now, slot, overlap, pushed)
    if newest is not None and (
        (newest.generation >= generation and newest.revoked is None) or (before is not None and rules.waits(newest))
    ):
        if before is not None and rules.goes(before, newest):
            before = None
        current = rules.with_successor(newest, before)
        if now < current.successor:
            return (current,) if before is None else (current, rules.succeeded(before, newest))
    numbers = [number for each in handed_out if (number := _number(each.name, slot))]
    name = f"{slot.name}-{max(numbers) + 1}" if numbers else slot.name
    ends = slot.ends
    if newest is not None and slot.successor - now < overlap:
        # The one after it waits for the end of this overlap and needs an overlap of its own.
        ends = slot.successor + min(2 * overlap, every)
    if newest is not None and not overlap and not pushed and newest.revoked is None:
        newest = None
    fresh = HandedOut(name, now, ends)
    current = rules.with_successor(fresh, newest)
    return (current,) if newest is None else (current, rules.succeeded(newest, fresh))


@dataclass(frozen=True, slots=True)
class _Succession:
    """Which of two secrets is in use, and for how long."""

    now: datetime
    slot: Slot
    overlap: timedelta
    pushed: bool

    def waits(self, secret: HandedOut) -> bool:
        """Whether a secret may be in no use yet, and its predecessor has to stay."""
        return self.pushed and not secret.delivered

    def with_successor(self, secret: HandedOut, predecessor: HandedOut | None) -> Due:
        """A newest secret, with the moment from which the next one is made."""
        serves = _serves(secret, self.slot) and secret.revoked is None
        following = min(self.slot.successor if serves else self.now, secret.ends - self.overlap)
        if predecessor is not None:
            stays = predecessor.ends if self.waits(secret) else _overlap_ends(secret, predecessor, self.overlap)
            following = max(following, stays)
        return _due(secret, following, secret.ends)

    def succeeded(self, secret: HandedOut, by: HandedOut) -> Due:
        """A secret that has a successor, with the moment until which it stays."""
        kept = self.waits(by) or (secret.revoked is not None and not by.delivered)
        return _due(secret, by.issued, secret.ends if kept else min(secret.ends, by.issued + self.overlap))

    def goes(self, secret: HandedOut, successor: HandedOut) -> bool:
        """Whether a secret that has a successor is taken away now."""
        if secret.revoked is not None:
            return successor.delivered
        return self.now >= min(secret.ends, successor.issued + self.overlap) and not self.waits(successor)


def _due(secret: HandedOut, successor: datetime, kept_until: datetime) -> Due:
    return Due(
        secret.name,
        secret.issued,
        secret.ends,
        successor,
        kept_until,
        delivered=secret.delivered,
        revoked=secret.revoked,
    )


def _number(name: str, slot: Slot) -> int:
    """Which of the secrets of a slot has this name, counted from 1; 0 for one of another slot."""
    found = re.fullmatch(rf"{re.escape(slot.name)}(?:-([0-9]+))?", name)
    return int(found[1] or 1) if found else 0


def _serves(secret: HandedOut, slot: Slot) -> bool:
    """Whether no slot has started since a secret was issued. By name too: clocks differ."""
    return secret.issued >= slot.starts or secret.name == slot.name


def _overlap_ends(secret: HandedOut, predecessor: HandedOut, overlap: timedelta) -> datetime:
    """Until when nothing comes after `secret`, so that its predecessor can stay."""
    half = secret.issued + (secret.ends - secret.issued) / 2
    return min(predecessor.ends, secret.issued + overlap, half)


def due_by(calendar: Calendar, now: datetime, there: Sequence[HandedOut] | None) -> tuple[Due, ...]:
    """What a calendar of a file asks for at `now`, as `due` does; `there` is what was handed out."""
    return due(
        now,
        every=calendar.every,
        overlap=calendar.overlap,
        starts=calendar.starts,
        generation=calendar.generation,
        handed_out=there,
        pushed=any(delivery.pushed for delivery in calendar.deliver),
    )


def handed_out(before: Mapping[str, Any], names: Sequence[str], calendar: str = CLIENT_SECRET) -> list[HandedOut]:
    """What the stack's outputs have of an app's calendar, under the app's name (the first) or one that it had, with what `rotate`
    or `revoke` say about it now. Secrets of an earlier version do not tell when they were issued.
    """
    news: Mapping[str, Any] = json.loads(os.environ.get(ROTATION) or "{}")
    delivered = news.get("delivered", {}).get(names[0], ())
    revoked = news.get("revoked", {}).get(names[0], {})
    prefix = SECRET_NAMES if calendar == CLIENT_SECRET else issued_name(calendar, "")
    return [
        HandedOut.read(
            entry["name"].removeprefix(prefix),
            entry.get("issued") or entry["starts"],
            entry["ends"],
            delivered=entry.get("delivered", False) or slot in delivered,
            revoked=revoked.get(slot) or entry.get("revoked"),
        )
        for entry in entries_in(before, names, calendar)
        if (slot := entry["name"].removeprefix(SECRET_NAMES))
    ]


def entries_in(before: Mapping[str, Any], names: Sequence[str], calendar: str) -> Sequence[Mapping[str, Any]]:
    """The secrets or certificates of a calendar in a stack's outputs, under the app's name (the first) or one that it had."""
    identities: Mapping[str, Any] = before.get("identities", {})
    app: Mapping[str, Any] = next((identities[name] for name in names if name in identities), {})
    entries: Sequence[Mapping[str, Any]] = app.get("credentials", ())
    return [each for each in entries if calendar_of(each) == calendar]
