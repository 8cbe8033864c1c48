"""Proof that a new client secret works: tokens with it alone."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from entrant.errors import AuthenticationError, EntrantError
from entrant.facts.clouds import Cloud
from entrant.outputs import App
from entrant.tokens.clouds import scope
from entrant.tokens.credentials import Credential

SUCCESSES = 3
"""Tokens in a row: the places of the directory learn of a new secret one after another."""
PATIENCE = 120.0
"""Seconds that a new secret may be unknown."""
_BETWEEN = 2.0
_NOT_YET = frozenset({"AADSTS7000215", "AADSTS700016"})
"""Unknown secret, unknown app: what the directory says until it has heard of them everywhere."""


def prove(
    app: App,
    cloud: Cloud,
    *,
    successes: int = SUCCESSES,
    seconds: float = PATIENCE,
    environ: Mapping[str, str] = os.environ,
    sleep: Callable[[float], None] = time.sleep,
) -> EntrantError | None:
    """Get tokens with the newest secret of an app; None when it works, else why not.

    What the directory does not know yet is asked again for `seconds`; any other refusal ends it.
    """
    alone = replace(app, previous_secret=None)
    until, in_a_row = time.monotonic() + seconds, 0
    while True:
        try:
            Credential(alone, cloud, using="secret", environ=environ).get_token(scope(cloud, "graph"))
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
