"""The contract between a stack's outputs and whoever reads them."""

from typing import Final

CONTRACT: Final = 1
"""Version of the stack outputs. It changes when a reader of the old form would go wrong."""

SECRET_NAMES: Final = "entrant "
"""What the names of client secrets start with, as the portal shows them."""


ROTATION: Final = "ENTRANT_ROTATION"
"""What `rotate` and `revoke` tell the program of an `up` of theirs, JSON: `delivered` has, by app, the slots of secrets that were
proved and delivered; `revoked`, by app and slot, why a secret is to go. The program notes both in the stack's outputs."""


def output_name(app: str, what: str) -> str:
    """The flat output of an app, a shell name: `output_name("log-reader", "client_id")` is `log_reader_client_id`."""
    return f"{app.replace('-', '_')}_{what}"
