"""The contract between a stack's outputs and whoever reads them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

CONTRACT: Final = 1
"""Version of the stack outputs. It changes when a reader of the old form would go wrong."""

SECRET_NAMES: Final = "entrant "
"""What the names of client secrets start with, as the portal shows them."""


CERTIFICATES: Final = "certificates"
"""The flat output of an app with the certificates that are issued here, a secret: by calendar, the PEM text of the newest one's
private key and certificate."""

ISSUED_EARLIER: Final = timedelta(hours=1)
"""How long before it is made a certificate that is issued here begins to be valid: clocks differ."""

ROTATION: Final = "ENTRANT_ROTATION"
"""What `rotate` and `revoke` tell the program of an `up` of theirs, JSON: `delivered` has, by app, the slots of secrets that were
proved and delivered; `revoked`, by app and slot, why a secret is to go. Certificates have `issued_name` in place of a slot. The
program notes both in the stack's outputs."""


CLIENT_SECRET: Final = "secret"
"""What the calendar of an app's client secret is called among its calendars; those of certificates have their keys in the file."""


def kind_of(calendar: str) -> str:
    """What follows a calendar: `secret` or `certificate`."""
    return "secret" if calendar == CLIENT_SECRET else "certificate"


def calendar_of(entry: Mapping[str, Any]) -> str | None:
    """The calendar that an entry of an app's `credentials` follows: `secret`, or the key of a certificate that is issued here; else
    None."""
    if entry["kind"] == "secret":
        return CLIENT_SECRET
    return entry.get("calendar") if entry["kind"] == "certificate" else None


def issued_name(calendar: str, slot: str) -> str:
    """What a certificate that is issued here is called, but for its resource: `issued_name("signing", "2026-11-01")` is
    `signing-2026-11-01`."""
    return f"{calendar}-{slot}"


def issued_in(resource: str) -> tuple[str, str] | None:
    """Calendar and name of a certificate that is issued here, by its resource's name, such as `log-reader/signing/2026-11-01`; None
    for any other resource."""
    parts = resource.split("/")
    return (parts[1], issued_name(*parts[1:])) if len(parts) == 3 else None


def output_name(app: str, what: str) -> str:
    """The flat output of an app, a shell name: `output_name("log-reader", "client_id")` is `log_reader_client_id`."""
    return f"{app.replace('-', '_')}_{what}"
