"""Operators that choose rows or put them in order: `where`, `take`, `count`, `distinct`, `sort`, `top`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from local_azure.kql.statements import Statements
from local_azure.kql.tables import Table, later
from local_azure.kql.terms import Expr, column
from local_azure.kql.values import Columns, Row, key, sortable, text


def where(reader: Statements, table: Table, depth: int) -> Table:
    if reader.take("*"):
        return anywhere(reader, table)
    test = reader.expression(table.columns, depth)
    if reader.peek().kind != "end" and not reader.is_next("|", ")", ";", ",", "}"):
        reader.wrong()
    if test.type != "bool":
        reader.semantic("the predicate must be of type bool.", "SEM0020")
    return Table(table.columns, (row for row in table.rows if test.get(row) is True))


def anywhere(reader: Statements, table: Table) -> Table:
    """``where * has 'term'``: in any column."""
    operator = reader.peek()
    if operator.text not in ("has", "contains", "startswith", "endswith", "has_cs", "contains_cs"):
        reader.wrong()
    start, tests = reader.at, []
    for name in table.columns:
        reader.at = start
        reader.next()
        wanted = reader.operand(table.columns, 0)
        held = column(name, table.columns[name])
        tests.append(reader.tested(operator.text, Expr("string", _texts(held)), wanted, operator))
    if not tests:
        reader.wrong()
    return Table(table.columns, (row for row in table.rows if any(test.get(row) for test in tests)))


def _texts(value: Expr) -> Callable[[Row], str]:
    return lambda row: text(value.get(row))


def take(reader: Statements, table: Table, depth: int) -> Table:
    return Table(table.columns, itertools.islice(table.rows, reader.whole()))


def count(reader: Statements, table: Table, depth: int) -> Table:
    return Table({"Count": "long"}, later(lambda: [{"Count": sum(1 for _ in table.rows)}]))


def distinct(reader: Statements, table: Table, depth: int) -> Table:
    if reader.take("*"):
        values = [column(name, kind) for name, kind in table.columns.items()]
    else:
        values = reader.unique(reader.call_list(table.columns))
    reader.scalar_keys(values)

    def rows() -> Iterator[Row]:
        seen = set()
        for row in table.rows:
            found = {value.name: value.get(row) for value in values}
            held = tuple(map(key, found.values()))
            if held not in seen:
                seen.add(held)
                yield found

    return Table({value.name: value.type for value in values}, rows())


def sample_distinct(reader: Statements, table: Table, depth: int) -> Table:
    size = reader.whole()
    reader.need("of")
    token = reader.peek()
    name = reader.name()
    if name not in table.columns:
        reader.unknown(name, token)

    def rows() -> Iterator[Row]:
        found: dict[Any, Row] = {}
        for row in table.rows:
            if len(found) >= size:
                break
            found.setdefault(key(row.get(name)), {name: row.get(name)})
        yield from found.values()

    return Table({name: table.columns[name]}, rows())


def sort(reader: Statements, table: Table, depth: int) -> Table:
    reader.hints()
    reader.need("by")
    return in_order(reader, table, sort_keys(reader, table.columns), None)


def top(reader: Statements, table: Table, depth: int) -> Table:
    size = reader.whole()
    reader.need("by")
    return in_order(reader, table, sort_keys(reader, table.columns, 1), size)


def sort_keys(reader: Statements, columns: Columns, most: int = 64) -> list[tuple[Expr, bool, bool]]:
    """Take what rows are sorted by: value, whether descending, whether nulls come first."""
    keys = []
    while True:
        value = reader.expression(columns)
        reader.scalar_keys([value])
        descending = reader.take("asc", "desc") != "asc"
        nulls_first = not descending
        if reader.take("nulls"):
            nulls_first = reader.need("first", "last") == "first"
        keys.append((value, descending, nulls_first))
        if len(keys) == most or not reader.take(","):
            return keys


def in_order(reader: Statements, table: Table, keys: list[tuple[Expr, bool, bool]], size: int | None) -> Table:
    """The rows in order, all or the first `size`."""

    def rows() -> list[Row]:
        found = reader.held(table)
        for value, descending, nulls_first in reversed(keys):
            reader.budget.step()
            valued = [(value.get(row), row) for row in found]
            if value.type == "string":
                valued = [(held or "", row) for held, row in valued]
            filled = [one for one in valued if one[0] is not None]
            empty = [row for held, row in valued if held is None]
            filled.sort(key=lambda one: sortable(one[0]), reverse=descending)
            in_order = [row for _, row in filled]
            found = empty + in_order if nulls_first else in_order + empty
        return found if size is None else found[:size]

    return Table(table.columns, later(rows))
