"""What comes from elsewhere, made harmless for a terminal: text that moves the cursor, changes colours or reorders what is read."""

import re

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def harmless(text: str, *, keep: str = "") -> str:
    r"""A text with its control characters, marks of writing direction included, as escapes to be read; `keep` lists exceptions.

    >>> print(harmless("\x1b[31mred\nnext"), harmless("a\tb", keep="\t"))
    \x1b[31mred\nnext a	b
    """
    return _CONTROLS.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def _escape(character: str) -> str:
    return repr(character)[1:-1]
