"""Secrets and certificates that end: read from the outputs of a stack alone, without any cloud.

A secret of a calendar need not be seen to: from `successor_starts` on an `up` makes the next one, and the one before stays valid
for the overlap, until `kept_until`. So what counts is a secret that ends with nothing to follow it, or whose successor is due and
has not been made; and a certificate, which nobody renews by itself.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from entrant.errors import ContractError
from entrant.outputs import App, Outputs
from entrant.words import counted


@dataclass(frozen=True, slots=True)
class Ending:
    """A secret or certificate that has ended or ends within the time asked about."""

    stack: str
    app: str
    kind: str
    """`secret` or `certificate`."""
    name: str
    key_id: str | None
    ends: dt.datetime
    ended: bool
    expected: str | None
    """Why nobody need act, or None: then it counts."""
    next_step: str

    def within(self, now: dt.datetime) -> str:
        """How soon, in words: `in 5 days`, `3 hours ago`."""
        left = self.ends - now
        hours = abs(left) // dt.timedelta(hours=1)
        count, unit = (hours // 24, "day") if hours >= 48 else (hours, "hour")
        words = counted(count, unit) if hours else "less than an hour"
        return f"{words} ago" if self.ended else f"in {words}"

    def sentence(self, now: dt.datetime) -> str:
        """What ends when, without what to do."""
        verb = "ended" if self.ended else "ends"
        return f'{self.kind} "{self.name}" of {self.app} {verb} {self.within(now)} ({self.ends:%Y-%m-%d %H:%M} UTC)'


def find(
    stack: str, outputs: Outputs, *, now: dt.datetime, within: dt.timedelta, strict: bool = False
) -> Iterator[Ending]:
    """What has ended at `now` or ends within the time given, app by app, soonest first.

    With `strict` a secret that its calendar will rotate in time counts too.

    Raises:
        ContractError: a credential has no end, or none that can be read.
    """
    for app in outputs.apps.values():
        found = [
            _ending(stack, app, entry, _end(app, entry), now, strict)
            for entry in (*app.credentials, *app.kept_credentials)
            if entry["kind"] in ("secret", "certificate") and _end(app, entry) <= now + within
        ]
        yield from sorted(found, key=lambda ending: ending.ends)


def soonest(outputs: Outputs, *, after: dt.datetime) -> tuple[dt.datetime, str] | None:
    """The next end after a moment, and whose it is; None where nothing ends."""
    ends = [
        (_moment(app, entry, "ends"), f'{entry["kind"]} "{_called(entry)}" of {app.name}')
        for app in outputs.apps.values()
        for entry in (*app.credentials, *app.kept_credentials)
        if entry["kind"] in ("secret", "certificate")
    ]
    return min((end for end in ends if end[0] > after), default=None)


def _ending(stack: str, app: App, entry: Any, ends: dt.datetime, now: dt.datetime, strict: bool) -> Ending:
    judge = _kept if entry in app.kept_credentials else _certificate if entry["kind"] == "certificate" else _secret
    expected, step = judge(stack, app, entry, ends, now)
    if strict and entry.get("current"):
        expected = None
    name, key_id = _called(entry), entry.get("key_id")
    return Ending(stack, app.name, entry["kind"], name, key_id, ends, ends <= now, expected, step)


def _called(entry: Any) -> str:
    return str(entry["name"] or entry.get("key_id"))


def _kept(stack: str, app: App, entry: Any, ends: dt.datetime, now: dt.datetime) -> tuple[None, str]:
    """What exists, is no resource of the stack and is followed by nothing."""
    owner = f" (ask {entry['owner']})" if entry.get("owner") else ""
    if ends <= now:
        return None, f"remove it from the registration, and its entry from `apps.{app.name}.kept_credentials`"
    instead = "a certificate" if entry["kind"] == "certificate" else "`federated`, or a `secret`,"
    return None, f"declare {instead} for {app.name}, deliver it to whoever uses this one{owner}, then remove this one"


def _secret(stack: str, app: App, entry: Any, ends: dt.datetime, now: dt.datetime) -> tuple[str | None, str]:
    # Where `rotate` has noted a delivery, an `up` alone would make a secret that nobody gets.
    rotated = any(other.get("delivered") for other in app.credentials)
    command = f"`python3 -m entrant rotate -s {stack}`" if rotated else f"`pulumi up -s {stack}`"
    turn = f"run {command}, which makes the next one"
    if not entry.get("current"):
        gone = f"the next {command} takes it away"
        return "a newer secret has taken its place", gone if ends <= now else f"nothing; {gone} after its end"
    if ends <= now or "successor_starts" not in entry:
        return None, turn
    successor = _moment(app, entry, "successor_starts")
    if successor <= now:
        return None, f"{turn}: it has been due since {successor:%Y-%m-%d}"
    if successor >= ends:
        gap = f"nothing is valid between {ends:%Y-%m-%d %H:%M} UTC and the next {command}"
        return None, f"{gap}: give the secret of {app.name} an `overlap`"
    return (
        "its calendar rotates it in time",
        f"run {command} from {successor:%Y-%m-%d} on and before {ends:%Y-%m-%d}",
    )


def _certificate(stack: str, app: App, entry: Any, ends: dt.datetime, now: dt.datetime) -> tuple[None, str]:
    file = entry.get("file")
    where = f"in {file}" if file else f"at `apps.{app.name}.certificates.{entry['name']}` in the file of {stack}"
    later = [
        other["name"]
        for other in app.credentials
        if other["kind"] == "certificate" and _moment(app, other, "ends") > max(ends, now)
    ]
    if later:
        entry_at = f"`apps.{app.name}.certificates.{entry['name']}`"
        return (
            None,
            f'use "{later[0]}" everywhere, then take {entry_at} out before its end: an expired one stops an `up`',
        )
    step = f"put a renewed certificate {where}, or declare it beside the old one, and run `pulumi up -s {stack}`"
    return None, step


def _end(app: App, entry: Any) -> dt.datetime:
    """When a credential ends: a secret that has been succeeded may be taken away before its own end."""
    ends = _moment(app, entry, "ends")
    return min(ends, _moment(app, entry, "kept_until")) if entry.get("kept_until") else ends


def _moment(app: App, entry: Any, field: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(entry[field])
    except (KeyError, TypeError, ValueError):
        raise ContractError(
            f'identities.{app.name}: the {entry.get("kind")} "{entry.get("name")}" has no `{field}` that is a time'
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
