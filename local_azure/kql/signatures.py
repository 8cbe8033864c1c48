"""What functions and aggregates take, and the type that they give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local_azure.kql.values import common

Values = list[Any]


@dataclass(frozen=True, slots=True)
class Function:
    """A scalar function.

    Attributes:
        takes: the kinds of its arguments, one letter each (see `KINDS`); ``?`` after a letter makes it and the rest optional, a
            ``*`` at the end repeats the last kind.
        gives: the type of the result, or ``same`` (the first argument's), ``common`` (all arguments'), ``number`` (all arguments',
            and long at least), ``cases`` (that of the values in `iff` and `case`).
        run: gets the arguments' values, nulls included.
        keeps: whether an unnamed column of it is called as the column in its first argument.
    """

    takes: str
    gives: str
    run: Callable[..., Any]
    keeps: bool = False

    @property
    def fewest(self) -> int:
        """How many arguments it needs."""
        letters = self.takes.rstrip("*")
        return letters.index("?") - 1 if "?" in letters else len(letters)

    @property
    def most(self) -> int:
        """How many arguments it takes."""
        return 64 if self.takes.endswith("*") else len(self.takes.replace("?", ""))

    def kind(self, at: int) -> str:
        """The kind of the argument at an index, as a key of `KINDS`."""
        letters = self.takes.replace("?", "").rstrip("*")
        return letters[min(at, len(letters) - 1)]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregate over one group's values.

    Attributes:
        takes: as `Function.takes`, and ``o`` for what has an order, ``u`` for what can be summed.
        gives: the type of the result, or ``same``, or ``sum`` (long for integers, else the same).
        run: gets one list of values for each argument.
        prefix: what its column is called, before `_` and the first argument's name.
        conditional: whether its last argument but the optional ones is a predicate: only rows where it holds are in the lists.
    """

    takes: str
    gives: str
    run: Callable[..., Any]
    prefix: str
    conditional: bool = False

    @property
    def fewest(self) -> int:
        """How many arguments it needs."""
        return Function(self.takes, "", self.run).fewest

    @property
    def most(self) -> int:
        """How many arguments it takes."""
        return Function(self.takes, "", self.run).most

    def kind(self, at: int) -> str:
        """The kind of the argument at an index."""
        return Function(self.takes, "", self.run).kind(at)


KINDS: dict[str, tuple[frozenset[str], str]] = {
    "s": (frozenset({"string", "dynamic", "guid"}), "string"),
    "n": (frozenset({"int", "long", "real"}), "a number"),
    "i": (frozenset({"int", "long"}), "an integer"),
    "d": (frozenset({"datetime"}), "datetime"),
    "t": (frozenset({"timespan"}), "timespan"),
    "y": (frozenset({"dynamic"}), "dynamic"),
    "b": (frozenset({"bool"}), "bool"),
    "q": (frozenset({"int", "long", "real", "timespan", "datetime"}), "a number, timespan or datetime"),
}
"""Letter → the types that an argument of that kind may have, and their name; ``x`` is not here: it takes any."""


ORDERED = frozenset({"int", "long", "real", "timespan", "datetime", "string", "bool", "guid"})


SUMMABLE = frozenset({"int", "long", "real", "timespan"})


def result_type(function: Function, kinds: list[str]) -> str | None:
    """The type that a function gives for arguments of these types; `None` when they do not fit together."""
    match function.gives:
        case "same":
            return kinds[0]
        case "common":
            return common(kinds)
        case "number":
            return {"int": "long", "long": "long", "real": "real", "timespan": "timespan"}.get(kinds[0])
        case "cases":
            return _cases(kinds)
        case "bin":
            return _bin_type(*kinds)
    return function.gives


def _cases(kinds: list[str]) -> str:
    return common([*kinds[1::2], *kinds[-1:]]) or "dynamic"


def _bin_type(value: str, size: str) -> str | None:
    if value in ("datetime", "timespan"):
        return value if size == "timespan" else None
    return common((value, size)) if {value, size} <= {"int", "long", "real"} else None
