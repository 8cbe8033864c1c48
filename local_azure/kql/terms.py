"""Typed scalar expressions, and what their readers have in common."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NoReturn

from local_azure.kql.budget import Budget
from local_azure.kql.errors import semantic
from local_azure.kql.syntax import Reader, Token
from local_azure.kql.values import Columns, Row, convert, text

Getter = Callable[[Row], Any]


DEEPEST = 40


@dataclass(frozen=True, slots=True)
class Expr:
    """A typed scalar expression; `name` is what an unnamed column of it is called, empty for ``Column1``."""

    type: str
    get: Getter
    name: str = ""
    constant: bool = False


@dataclass(slots=True)
class Group:
    """What a `summarize` computes over each of its groups: a hidden column for each aggregate in its expressions."""

    columns: Columns
    folds: list[tuple[str, Callable[[list[Row]], Any]]] = field(default_factory=list)
    starred: list[Expr] = field(default_factory=list)
    """What a ``*`` stands for: all columns but those that the groups are made by."""

    def add(self, kind: str, fold: Callable[[list[Row]], Any], name: str) -> Expr:
        """An expression that stands for an aggregate."""
        hidden = f"\0{len(self.folds)}"
        self.folds.append((hidden, fold))
        return Expr(kind, _hidden(hidden), name)


@dataclass(slots=True)
class Window:
    """What an operator computes over all its rows in their order: a hidden column for each window function."""

    serialized: bool
    columns: list[tuple[str, Callable[[list[Row]], list[Any]]]] = field(default_factory=list)

    def add(self, kind: str, compute: Callable[[list[Row]], list[Any]]) -> Expr:
        """An expression that stands for a window function."""
        hidden = f"\1{len(self.columns)}"
        self.columns.append((hidden, compute))
        return Expr(kind, _hidden(hidden))


def _hidden(name: str) -> Getter:
    """A hidden column; refused where a constant is wanted, which has no rows."""

    def read(row: Row) -> Any:
        if name not in row:
            semantic("A constant is expected here, not a value of several rows.", "SEM0001")
        return row[name]

    return read


def literal(kind: str, value: Any) -> Expr:
    """A constant."""
    return Expr(kind, lambda _: value, "", True)


def column(name: str, kind: str) -> Expr:
    """A column of the row."""
    return Expr(kind, lambda row: row.get(name), name)


def arithmetic(operator: str, a: Any, b: Any) -> Any:
    """``a operator b``; null where it has no value. Whole numbers are divided towards zero, a remainder is never negative."""
    if a is None or b is None:
        return None
    try:
        match operator:
            case "+":
                result = a + b
            case "-":
                result = a - b
            case "*":
                result = a * b
            case "/":
                if isinstance(a, int) and isinstance(b, int):
                    result = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
                else:
                    result = a / b
            case _:
                result = a % abs(b)
    except (TypeError, ZeroDivisionError, OverflowError):
        return None
    if isinstance(result, bool | str | list | dict):
        return None
    if isinstance(result, float):
        return convert(result, "real")
    return result if not isinstance(result, int) or -(1 << 63) <= result < 1 << 63 else None


def part_of(value: Expr, part: Expr) -> Expr:
    def read(row: Row) -> Any:
        held, name = value.get(row), part.get(row)
        if isinstance(held, dict) and isinstance(name, str):
            return held.get(name)
        if isinstance(held, list) and isinstance(name, int) and -len(held) <= name < len(held):
            return held[name]
        return None

    title = f"{value.name}_{text(part.get({}))}" if part.constant and value.name else ""
    return Expr("dynamic", read, title, value.constant and part.constant)


def cast(value: Expr, kind: str) -> Expr:
    """A value as a parameter or a column of this type."""
    if value.type == kind:
        return value
    return Expr(kind, lambda row: convert(value.get(row), kind), value.name, value.constant)


class Terms(Reader):
    """Reads names and lists of expressions; names are columns of the table at hand, then what `let` has given."""

    def __init__(self, query: str, now: datetime, budget: Budget) -> None:
        super().__init__(query, budget)
        self.now = now
        self.scalars: dict[str, Expr] = {}
        self.group: Group | None = None
        self.window: Window | None = None

    # What further readers take

    def expression(self, columns: Columns, depth: int = 0) -> Expr:
        """Take one expression."""
        raise NotImplementedError

    def operand(self, columns: Columns, depth: int) -> Expr:
        """Take a sum: what stands on either side of a comparison."""
        raise NotImplementedError

    def typed_literal(self, name: str) -> Expr:
        """Take what follows the name of a type in parentheses."""
        raise NotImplementedError

    def first_column(self, depth: int) -> list[Any] | None:
        """Take a table in parentheses' place if one comes; the values of its first column."""
        raise NotImplementedError

    def table_value(self, name: str, depth: int) -> Expr:
        """Take the arguments of `toscalar`."""
        raise NotImplementedError

    def user_call(self, name: str, columns: Columns, depth: int) -> Expr | None:
        """Take the arguments of a function that `let` has given, if `name` is one; its value."""
        raise NotImplementedError

    # Names of columns

    def called(self, columns: Columns) -> tuple[str | None, Expr]:
        """An expression and the name that it is given by ``name = …``."""
        title = self.named()
        return title, self.expression(columns)

    def call_list(self, columns: Columns) -> list[tuple[str | None, Expr]]:
        """Expressions between commas, each with its given name."""
        found = [self.called(columns)]
        while self.take(","):
            found.append(self.called(columns))
        return found

    def unique(self, named: list[tuple[str | None, Expr]]) -> list[Expr]:
        """Expressions under names of their own: given, of their column, or ``Column1``; the same name again gets a number."""
        used: set[str] = set()
        found, count = [], itertools.count(1)
        for name, value in named:
            chosen = name or value.name or f"Column{next(count)}"
            if name is not None and name in used:
                self.semantic(f"A column with the name '{name}' is already declared.", "SEM0030")
            if chosen in used:
                chosen = next(one for at in itertools.count(1) if (one := f"{chosen}{at}") not in used)
            used.add(chosen)
            found.append(replace(value, name=chosen))
        return found

    def unknown(self, name: str, token: Token | None = None) -> NoReturn:
        """Refuse a name that is no column."""
        self.semantic(f"Failed to resolve scalar expression named '{name[:100]}'", token=token)
