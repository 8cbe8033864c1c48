"""What is wrong with a query, where it can be told."""

from __future__ import annotations

from typing import NoReturn


class KqlError(Exception):
    """A query is wrong, or costs too much.

    `kind` is `SyntaxError` or `SemanticError`, `code` Kusto's such as SYN0002; `position` counts characters from the query's
    begin, or is -1 where there is none; `token` is the text there.
    """

    def __init__(self, kind: str, code: str, message: str, position: int = -1, token: str = "") -> None:
        super().__init__(message)
        self.kind, self.code, self.message, self.position, self.token = kind, code, message, position, token


def wrong(token: str, at: int) -> NoReturn:
    """Refuse a query at a token that cannot stand there."""
    what = f"'{token[:100]}'" if token else "the end of the query"
    raise KqlError("SyntaxError", "SYN0002", f"Query could not be parsed at {what}", at, token[:100])


def semantic(message: str, code: str = "SEM0100") -> NoReturn:
    """Refuse a query that can be parsed and makes no sense."""
    raise KqlError("SemanticError", code, message)
