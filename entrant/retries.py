"""How often, and after which answers, a request is made again, by whichever library it is made."""

from typing import Final

TRIES: Final = 4
"""How often a request is made at most."""
LONGEST_WAIT: Final = 60.0
"""Seconds that a `Retry-After` may ask for; a longer one is not waited for, and the answer is given as it is."""
NOT_DONE: Final = frozenset({429, 503})
"""Answers that say that nothing was done."""
PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Answers that may be others a moment later."""
