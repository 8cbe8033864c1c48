"""What follows one calendar of an app, as the stack's outputs have it: the newest credential, and the one before it while it stays.

A client secret and each certificate that is issued here have calendars of their own, and what becomes of one concerns no other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from entrant.facts.contract import CLIENT_SECRET, SECRET_NAMES, kind_of
from entrant.outputs import App, Outputs

Key = tuple[str, str]
"""An app and a calendar of it: `secret`, or the key of a certificate."""


def named(calendar: str) -> str:
    """What follows a calendar, told from others of the app: `secret`, `certificate signing`."""
    return kind_of(calendar) if calendar == CLIENT_SECRET else f"certificate {calendar}"


def slot(entry: Mapping[str, Any]) -> str:
    """The slot of a credential in the outputs: `2026-11-01`, `signing-2026-11-01`."""
    return str(entry["name"]).removeprefix(SECRET_NAMES)


@dataclass(frozen=True, slots=True)
class Succession:
    """The newest credential of a calendar and its predecessor, as entries of `credentials`."""

    app: App
    calendar: str
    newest: Mapping[str, Any]
    before: Mapping[str, Any] | None

    @property
    def key(self) -> Key:
        """What tells it from others of the stack."""
        return self.app.name, self.calendar

    @property
    def noted(self) -> bool:
        """Whether `rotate` has noted that the newest works and is in every place."""
        return bool(self.newest.get("delivered"))


def of(app: App, calendar: str) -> Succession | None:
    """What follows a calendar of an app; None when there is nothing."""
    entries = app.of_calendar(calendar)
    newest = next((entry for entry in entries if entry["current"]), None)
    before = next((entry for entry in entries if not entry["current"]), None)
    return None if newest is None else Succession(app, calendar, newest, before)


def all_of(found: Outputs) -> Iterator[Succession]:
    """Every succession of a stack."""
    for app in found.apps.values():
        yield from (each for calendar in app.calendars if (each := of(app, calendar)))
