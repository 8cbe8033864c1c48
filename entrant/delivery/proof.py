"""Proof that a new client secret or certificate works: tokens with it alone."""

import time
from collections.abc import Callable

from entrant.delivery.succession import named
from entrant.errors import AuthenticationError, ConfigurationError, EntrantError
from entrant.facts.clouds import Cloud
from entrant.facts.contract import CLIENT_SECRET
from entrant.outputs import App
from entrant.tokens.clouds import scope
from entrant.tokens.credentials import Credential

SUCCESSES = 3
"""Tokens in a row: the places of the directory learn of a new credential one after another."""
PATIENCE = 120.0
"""Seconds that a new credential may be unknown."""
_BETWEEN = 2.0
_NOT_YET = frozenset({"AADSTS7000215", "AADSTS700027", "AADSTS700016"})
"""Unknown secret, unknown certificate, unknown app: what the directory says until it has heard of them everywhere."""


def prove(
    app: App,
    calendar: str,
    cloud: Cloud,
    *,
    successes: int = SUCCESSES,
    seconds: float = PATIENCE,
    sleep: Callable[[float], None] = time.sleep,
) -> EntrantError | None:
    """Get tokens with the newest credential of a calendar of an app; None when it works, else why not.

    What the directory does not know yet is asked again for `seconds`; any other refusal ends it.
    """
    if not app.value(calendar):
        again = f"have another made: `python3 -m entrant revoke -s STACK {app.name} {calendar}`"
        return ConfigurationError(
            f"the stack's outputs do not have the newest {named(calendar)} of {app.name}"
            + ("" if calendar == CLIENT_SECRET else " with its private key"),
            next_step="run `pulumi up`" if calendar == CLIENT_SECRET else again,
        )
    alone = app.alone(calendar)
    until, in_a_row = time.monotonic() + seconds, 0
    while True:
        try:
            Credential(alone, cloud, environ={}).get_token(scope(cloud, "graph"))  # nothing of this shell proves it
        except EntrantError as error:
            in_a_row = 0
            passing = not isinstance(error, AuthenticationError) or error.code in _NOT_YET
            if not passing or time.monotonic() >= until:
                return error
            sleep(_BETWEEN)
        else:
            in_a_row += 1
            if in_a_row >= successes:
                return None
