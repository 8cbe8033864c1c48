"""What one query may cost: time, rows held, and text made. The server answers one query after another, so none may be endless."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from typing import Any

from local_azure.kql.errors import KqlError

MOST_ROWS = 500_000
"""The Log Analytics query API's own limit on rows of one answer."""
MOST_CELLS = 3_000_000
MOST_TEXT = 64 << 20
"""Characters in an answer, and in all large values that a query makes: the query API's own limit is about 100 MB."""
LONGEST_STRING = 1 << 20
"""Kusto's limit on one string or dynamic value: 1 MB."""
SECONDS = 10.0


class Budget:
    """What is left for one query; each method raises `KqlError` when it is used up."""

    def __init__(self) -> None:
        self._until = time.monotonic() + SECONDS
        self._cells, self._text = MOST_CELLS, MOST_TEXT

    def step(self) -> None:
        """One row passes an operator, or one token is read."""
        if time.monotonic() > self._until:
            raise _runaway(f"the query ran for more than {SECONDS:g} seconds")

    def rows(self, rows: Iterable[Any], width: int = 1) -> list[Any]:
        """All of `rows`, each of `width` cells, held at once."""
        found = []
        for row in rows:
            self.step()
            found.append(row)
            self._cells -= width
            if len(found) > MOST_ROWS or self._cells < 0:
                raise KqlError(
                    "SemanticError",
                    "E_QUERY_RESULT_SET_TOO_LARGE",
                    f"Query result set has exceeded the internal record count limit {MOST_ROWS}, or is too wide to be held.",
                )
        return found

    def text(self, size: int) -> None:
        """`size` characters are made."""
        self._text -= size
        if self._text < 0:
            raise KqlError(
                "SemanticError",
                "E_QUERY_RESULT_SET_TOO_LARGE",
                f"Query result set has exceeded the internal data size limit {MOST_TEXT}.",
            )

    def weigh(self, value: Any, name: str) -> Any:
        """A value that a function made, unless it is too large to be one."""
        if isinstance(value, str):
            size = len(value)
        elif isinstance(value, dict | list):
            size = sum(itertools.islice(_sizes(value), LONGEST_STRING))
        else:
            return value
        if size > LONGEST_STRING:
            raise _runaway(f"{name}(): the result is longer than 1 MB")
        if size > 1024:
            self.text(size)
        return value


def _runaway(text: str) -> KqlError:
    return KqlError("SemanticError", "E_RUNAWAY_QUERY", f"Runaway query: {text}.")


def _sizes(value: Any) -> Iterable[int]:
    """The size of each part of a dynamic value, as often as its JSON would show it."""
    edge = [value]
    while edge:
        one = edge.pop()
        if isinstance(one, str):
            yield len(one) + 2
        elif isinstance(one, list):
            yield 2
            edge.extend(one)
        elif isinstance(one, dict):
            for key in one:
                yield len(key) + 4
            edge.extend(one.values())
        else:
            yield 6
