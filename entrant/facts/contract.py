"""The contract between a stack's outputs and whoever reads them."""

from datetime import timedelta
from typing import Final

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
