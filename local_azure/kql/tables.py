"""Tables, and where they come from."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from local_azure.kql.values import Columns, Row


@dataclass(slots=True)
class Table:
    """A stream of rows with typed columns."""

    columns: Columns
    rows: Iterable[Row]
    serialized: bool = False
    """Whether the order of the rows means something, so that window functions may look at the rows around."""


class Source:
    """Where tables come from."""

    def names(self) -> Iterable[str]:
        """The names of all tables, for wildcards."""
        return ()

    def columns(self, name: str) -> Columns | None:
        """The columns of a table, or `None` when there is no such table."""
        raise NotImplementedError

    def rows(self, name: str) -> Iterable[Row]:
        """The rows of a table; values have Python types (see `values.python_value`)."""
        raise NotImplementedError


def later(rows: Callable[[], Iterable[Row]]) -> Iterator[Row]:
    yield from rows()


def named_by(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) if "*" in pattern else name == pattern
