"""Secrets and certificates that end: read from the outputs of a stack alone, or held beside what its tenant has.

A secret of a calendar, or a certificate that is issued here, need not be seen to: from `successor_starts` on an `up` makes the
next one, and the one before stays valid for the overlap, until `kept_until`. So what counts is one that ends with nothing to follow
it, or whose successor is due and has not been made; and a certificate whose key the app holds, which nobody renews by itself.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from entrant.drift.live import Tenant
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
    origin: Literal["declared", "kept", "unknown"] = "declared"
    """Whether it is a resource of the stack, is under `kept_credentials`, or is in the tenant and not in the file."""
    state: str = ""
    """What there is to say of it besides its end: `is not in the file`, `is not in the tenant any more`, `was not used …`."""
    owners: tuple[str, ...] = ()
    last_used: dt.datetime | None = None

    @property
    def counts(self) -> bool:
        """Whether somebody has to act."""
        return self.expected is None

    @property
    def title(self) -> str:
        """What there is to say of it, in few words."""
        return f"{self.kind} {self.state or ('has ended' if self.ended else 'ends soon')}"

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
        state = f"{self.state}; it " if self.state else ""
        return (
            f'{self.kind} "{self.name}" of {self.app} {state}{verb} {self.within(now)} ({self.ends:%Y-%m-%d %H:%M} UTC)'
        )


def find(
    stack: str,
    outputs: Outputs,
    *,
    now: dt.datetime,
    within: dt.timedelta,
    strict: bool = False,
    tenant: Tenant | None = None,
    unused: dt.timedelta | None = None,
) -> Iterator[Ending]:
    """What has ended at `now` or ends within the time given, app by app, soonest first.

    With `strict` a secret that its calendar will rotate in time counts too. With a `tenant` every credential is told whenever it
    ends, those first that the file does not say, which count when they end soon, or always with `strict`; and what was not used for
    the time `unused` counts.

    Raises:
        ContractError: a credential has no end, or none that can be read.
    """
    found = [
        _live(ending, tenant, now, within, strict, entry, unused) if tenant else ending
        for app in outputs.apps.values()
        for entry, ending in sorted(_of_app(stack, app, tenant, now, strict), key=lambda pair: pair[1].ends)
        if tenant or ending.ends <= now + within
    ]
    yield from sorted(found, key=lambda ending: ending.origin != "unknown")


def _of_app(
    stack: str, app: App, tenant: Tenant | None, now: dt.datetime, strict: bool
) -> Iterator[tuple[Any, Ending]]:
    """The secrets and certificates of an app in the outputs and in the tenant, with the ends that the tenant gives them."""
    read = tenant.credentials.get(app.name) if tenant else None
    there = {str(entry["key_id"]).lower(): entry for entry in read or ()}
    for kept, entry in _in_outputs(app):
        held = there.pop(str(entry.get("key_id")).lower(), None)
        if held:
            entry = {**entry, "ends": held["ends"], "starts": held["starts"], "name": entry["name"] or held["name"]}
        ending = _ending(stack, app, entry, kept, now, strict)
        if read is not None and not held:
            step = f"run `python3 -m entrant drift -s {stack}`, which says how to put it back"
            if ending.origin == "kept":
                step = f"take its entry out of `apps.{app.name}.kept_credentials`"
            ending = replace(ending, expected=None, state=GONE, next_step=step)
        yield entry, ending
    for entry in there.values():
        yield entry, _unknown(stack, app, entry, now)


def _in_outputs(app: App) -> Iterator[tuple[bool, Any]]:
    """The secrets and certificates that the outputs tell of, each with whether it is only kept."""
    for kept, entries in ((False, app.credentials), (True, app.kept_credentials)):
        yield from ((kept, entry) for entry in entries if entry["kind"] in ("secret", "certificate"))


GONE = "is not in the tenant any more"
UNKNOWN = "is not in the file"
LATER = "it ends later"


def _unknown(stack: str, app: App, entry: Any, now: dt.datetime) -> Ending:
    ends = _moment(app, entry, "ends")
    where = " of the service principal, which the portal does not show," if entry["principal"] else ""
    step = f"find out who made it{where} and who uses it, then put it under `apps.{app.name}.kept_credentials`, or remove it"
    if ends <= now:
        step = f"remove it from the {'service principal' if entry['principal'] else 'registration'}"
    name, key_id = _called(entry), entry["key_id"]
    return Ending(stack, app.name, entry["kind"], name, key_id, ends, ends <= now, None, step, "unknown", UNKNOWN)


def _live(
    ending: Ending,
    tenant: Tenant,
    now: dt.datetime,
    within: dt.timedelta,
    strict: bool,
    entry: Any,
    unused: dt.timedelta | None,
) -> Ending:
    """An ending with what the tenant says about it besides."""
    owners = tuple(owner.name for owner in tenant.owners.get(ending.app, ()))
    last = (tenant.used or {}).get(str(ending.key_id).lower())
    ending = replace(ending, owners=owners, last_used=last)
    later = ending.ends > now + within and ending.state != GONE
    idle = unused is not None and tenant.used is not None and _idle(ending, entry, last, now, unused)
    if idle:
        days = counted((now - last) // dt.timedelta(days=1), "day") if last else ""
        state = f"was not used for {days}" if last else "has no sign-in on record"
        step = "see that nobody needs it, then remove it"
        if ending.origin == "declared":
            step += f": take it out of `apps.{ending.app}` in the file of {ending.stack}"
        state = f"{ending.state} and {state}" if ending.state else state
        return replace(ending, expected=None, state=state, next_step=step)
    if later and not (strict and ending.origin == "unknown"):
        return replace(ending, expected=LATER)
    return ending


def _idle(ending: Ending, entry: Any, last: dt.datetime | None, now: dt.datetime, unused: dt.timedelta) -> bool:
    """Whether a credential that works, and is as old as that, gave no token for so long. A succeeded one is to be unused."""
    succeeded = ending.origin == "declared" and not entry.get("current", True)
    try:
        since = dt.datetime.fromisoformat(entry["starts"])
    except (KeyError, TypeError, ValueError):
        return False
    return not ending.ended and not succeeded and ending.state != GONE and max(since, last or since) <= now - unused


def soonest(outputs: Outputs, *, after: dt.datetime) -> tuple[dt.datetime, str] | None:
    """The next end after a moment, and whose it is; None where nothing ends."""
    ends = [
        (_moment(app, entry, "ends"), f'{entry["kind"]} "{_called(entry)}" of {app.name}')
        for app in outputs.apps.values()
        for _, entry in _in_outputs(app)
    ]
    return min((end for end in ends if end[0] > after), default=None)


def _ending(stack: str, app: App, entry: Any, kept: bool, now: dt.datetime, strict: bool) -> Ending:
    ends = _end(app, entry)
    held = entry["kind"] == "certificate" and not entry.get("calendar")
    judge = _kept if kept else _certificate if held else _rotated
    expected, step = judge(stack, app, entry, ends, now)
    if strict and entry.get("current"):
        expected = None
    origin: Literal["declared", "kept"] = "kept" if kept else "declared"
    return Ending(
        *(stack, app.name, entry["kind"], _called(entry), entry.get("key_id")),
        *(ends, ends <= now, expected, step, origin),
    )


def _called(entry: Any) -> str:
    return str(entry.get("name") or entry.get("key_id"))


def _kept(stack: str, app: App, entry: Any, ends: dt.datetime, now: dt.datetime) -> tuple[None, str]:
    """What exists, is no resource of the stack and is followed by nothing."""
    owner = f" (ask {entry['owner']})" if entry.get("owner") else ""
    if ends <= now:
        return None, f"remove it from the registration, and its entry from `apps.{app.name}.kept_credentials`"
    instead = "a certificate" if entry["kind"] == "certificate" else "`federated`, or a `secret`,"
    return None, f"declare {instead} for {app.name}, deliver it to whoever uses this one{owner}, then remove this one"


def _rotated(stack: str, app: App, entry: Any, ends: dt.datetime, now: dt.datetime) -> tuple[str | None, str]:
    """A secret, or a certificate that is issued here: its calendar makes the next one."""
    kind, calendar = entry["kind"], entry.get("calendar")
    # Where `rotate` has noted a delivery, an `up` alone would make one that nobody gets.
    others = [other for other in app.credentials if other["kind"] == kind and other.get("calendar") == calendar]
    rotated = any(other.get("delivered") for other in others)
    command = f"`python3 -m entrant rotate -s {stack}`" if rotated else f"`pulumi up -s {stack}`"
    turn = f"run {command}, which makes the next one"
    if not entry.get("current"):
        newest = next((other for other in others if other.get("current")), None)
        if rotated and newest is not None and not newest.get("delivered"):
            then = "it ended before its successor" if ends <= now else "it is in use until its successor"
            return None, f"{then} {_called(newest)} works and is delivered everywhere: run {command}"
        gone = f"the next {command} takes it away"
        return f"a newer {kind} has taken its place", gone if ends <= now else f"nothing; {gone} after its end"
    if ends <= now or "successor_starts" not in entry:
        return None, turn
    successor = _moment(app, entry, "successor_starts")
    if successor <= now:
        return None, f"{turn}: it has been due since {successor:%Y-%m-%d}"
    if successor >= ends and rotated and not entry.get("delivered") and len(others) > 1:
        return None, f"it is not delivered everywhere yet, and no newer one is made before that: run {command}"
    if successor >= ends:
        gap = f"nothing is valid between {ends:%Y-%m-%d %H:%M} UTC and the next {command}"
        of = f"`apps.{app.name}.certificates.{calendar}`" if calendar else f"the secret of {app.name}"
        return None, f"{gap}: give {of} an `overlap`"
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
        if other["kind"] == "certificate" and not other.get("calendar") and _moment(app, other, "ends") > max(ends, now)
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
