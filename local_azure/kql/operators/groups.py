"""Operators that fold rows into groups: `summarize`, `make-series`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from local_azure.kql.aggregates import is_fold
from local_azure.kql.budget import LONGEST_STRING
from local_azure.kql.statements import Statements
from local_azure.kql.tables import Table
from local_azure.kql.terms import Expr, Group
from local_azure.kql.values import NUMERIC, Row, key, plain


def summarize(reader: Statements, table: Table, depth: int) -> Table:
    reader.hints()
    group = Group(table.columns)
    named: list[tuple[str | None, Expr]] = []
    if not reader.is_next("by") and reader.peek().kind != "end" and not reader.is_next("|", ")", ";"):
        reader.group = group
        named = aggregates(reader, group)
        reader.group = None
    keys = reader.call_list(table.columns) if reader.take("by") else []
    known = {value.name for _, value in keys if value.name in table.columns}
    starred = [id(value) for value in group.starred if value.name in known]
    named = [(name, value) for name, value in named if id(value) not in starred]
    values = reader.unique([*keys, *named])
    by, folded = values[: len(keys)], values[len(keys) :]
    reader.scalar_keys(by)

    def rows() -> Iterator[Row]:
        groups: dict[tuple[Any, ...], tuple[Row, list[Row]]] = {}
        for row in reader.held(table):
            found = {value.name: value.get(row) for value in by}
            held = tuple(map(key, found.values()))
            groups.setdefault(held, (found, []))[1].append(row)
        if not by and not groups:
            groups[()] = ({}, [])
        for found, members in groups.values():
            totals: Row = {}
            for hidden, fold in group.folds:
                reader.budget.step()
                totals[hidden] = fold(members)
            yield found | {value.name: value.get(totals) for value in folded}

    return Table({value.name: value.type for value in values}, rows())


def aggregates(reader: Statements, group: Group) -> list[tuple[str | None, Expr]]:
    """Take aggregates between commas, each with its given name."""
    found: list[tuple[str | None, Expr]] = []
    while True:
        names = tuple_names(reader)
        own_title = reader.named() if names is None else None
        token, back, folds = reader.peek(), reader.at, len(group.folds)
        several: list[tuple[str | None, Expr]] | None = None
        if token.kind == "name" and is_fold(token.text) and reader.peek(1).text == "(":
            reader.next()
            several = reader.folds(token.text, token)
            if reader.peek().kind != "end" and not reader.is_next(",", "by", "|", ")", ";", "}"):
                reader.at, several = back, None
                del group.folds[folds:]
        if several is None:
            several = [(None, reader.expression({}))]
        wanted = names if names is not None else [own_title]
        for at, (title, value) in enumerate(several):
            found.append((wanted[at] if at < len(wanted) and wanted[at] is not None else title, value))
        if not reader.take(","):
            return found


def tuple_names(reader: Statements) -> list[str | None] | None:
    """Take ``(a, b) =`` if it comes."""
    back = reader.at
    names: list[str | None] = []
    if reader.take("("):
        while reader.peek().kind == "name":
            names.append(reader.next().text)
            if not reader.take(","):
                break
        if names and reader.take(")") and reader.take("="):
            return names
    reader.at = back
    return None


def make_series(reader: Statements, table: Table, depth: int) -> Table:
    """Take ``aggregate default=value, … on axis from start to end step size by key, …``; each group's arrays."""
    reader.hints("kind")
    group = Group(table.columns)
    named: list[tuple[str | None, Expr]] = []
    defaults: list[Any] = []
    while True:
        reader.group = group
        name = reader.named()
        value = reader.expression({})
        reader.group = None
        named.append((name, value))
        defaults.append(reader.expression({}).get({}) if takes_default(reader) else None)
        if not reader.take(","):
            break
    reader.need("on")
    token = reader.peek()
    axis_name = reader.named()
    axis = reader.expression(table.columns)
    ends = []
    for word in ("from", "to", "step"):
        reader.need(word)
        ends.append(reader.expression({}))
    start, stop, step = (end.get({}) for end in ends)
    wanted = "timespan" if axis.type in ("datetime", "timespan") else axis.type
    if {ends[0].type, ends[1].type} != {axis.type} or (ends[2].type != wanted and axis.type not in NUMERIC):
        reader.semantic("the axis, its ends and its step are of different types.", "SEM0065", token)
    points = _points(start, stop, step)
    if points is None:
        reader.semantic("the series has no points, or more than 1048576.", "SEM0219", token)
    keys = reader.call_list(table.columns) if reader.take("by") else []
    values = reader.unique([*keys, *named, (axis_name or axis.name or None, axis)])
    by, folded, last = values[: len(keys)], values[len(keys) : -1], values[-1]
    reader.scalar_keys(by)
    columns = {one.name: one.type for one in by} | {one.name: "dynamic" for one in [*folded, last]}

    def rows() -> Iterator[Row]:
        groups: dict[Any, tuple[Row, dict[int, list[Row]]]] = {}
        for row in reader.held(table):
            moment = axis.get(row)
            if moment is None or not start <= moment < stop:
                continue
            found = {one.name: one.get(row) for one in by}
            held = tuple(map(key, found.values()))
            groups.setdefault(held, (found, {}))[1].setdefault(int((moment - start) // step), []).append(row)
        for found, bins in groups.values():
            totals: list[Row | None] = []
            for at in range(len(points)):
                reader.budget.step()
                members = bins.get(at)
                totals.append(None if members is None else {hidden: fold(members) for hidden, fold in group.folds})
            series = {
                one.name: [default if total is None else plain(one.get(total)) for total in totals]
                for one, default in zip(folded, defaults, strict=True)
            }
            yield found | series | {last.name: list(points)}

    return Table(columns, rows())


def takes_default(reader: Statements) -> bool:
    """Take ``default=`` if it comes."""
    if reader.is_next("default") and reader.peek(1).text == "=":
        reader.at += 2
        return True
    return False


def _points(start: Any, stop: Any, step: Any) -> list[Any] | None:
    """The points of a series' axis, as a dynamic holds them; `None` when there is none, or no end of them."""
    zero = type(step)()
    if None in (start, stop, step) or step <= zero or not start < stop:
        return None
    found = []
    while start < stop:
        found.append(plain(start))
        if len(found) > LONGEST_STRING:
            return None
        start = start + step
    return found
