"""`join` and `lookup`: rows of two tables with equal keys."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from local_azure.kql.statements import Statements
from local_azure.kql.tables import Table
from local_azure.kql.values import Columns, Row, key

JOINS = (
    "innerunique",
    "inner",
    "leftouter",
    "rightouter",
    "fullouter",
    "leftanti",
    "rightanti",
    "leftsemi",
    "rightsemi",
)


def join(reader: Statements, table: Table, depth: int) -> Table:
    kind = reader.hints("kind").get("kind", "innerunique")
    kind = {"leftantisemi": "leftanti", "anti": "leftanti", "rightantisemi": "rightanti"}.get(kind, kind)
    if kind not in JOINS:
        reader.semantic(f"kind is one of {', '.join(JOINS)}, not '{kind[:40]}'.", "SEM0219")
    right = reader.origin(depth + 1)
    return joined(reader, table, right, conditions(reader, table.columns, right.columns), kind)


def lookup(reader: Statements, table: Table, depth: int) -> Table:
    kind = reader.hints("kind").get("kind", "leftouter")
    if kind not in ("leftouter", "inner"):
        reader.semantic("kind is leftouter or inner.", "SEM0219")
    right = reader.origin(depth + 1)
    pairs = conditions(reader, table.columns, right.columns)
    made = joined(reader, table, right, pairs, kind)
    new = [name for name in made.columns if name not in table.columns]
    keys = {other for _, other in pairs}
    gone = {name for name, other in zip(new, right.columns, strict=True) if other in keys}
    return Table({name: kind for name, kind in made.columns.items() if name not in gone}, made.rows)


def conditions(reader: Statements, left: Columns, right: Columns) -> list[tuple[str, str]]:
    """Take ``on name, $left.a == $right.b``: pairs of a left and a right column."""
    reader.need("on")
    pairs = []
    while True:
        token = reader.peek()
        if reader.take("$left", "$right"):
            reader.need(".")
            sides = {token.text: reader.name()}
            reader.need("==")
            other = reader.need("$left", "$right")
            reader.need(".")
            sides[other] = reader.name()
            if len(sides) != 2:
                reader.semantic("the condition compares a column of $left with one of $right.", "SEM0219", token)
            pair = (sides["$left"], sides["$right"])
        else:
            name = reader.name()
            pair = (name, name)
        for name, columns in zip(pair, (left, right), strict=True):
            if name not in columns:
                reader.unknown(name, token)
        if left[pair[0]] != right[pair[1]] and not {left[pair[0]], right[pair[1]]} <= {"int", "long"}:
            text_ = (
                f"the keys '{pair[0]}' and '{pair[1]}' are of different types: {left[pair[0]]} and {right[pair[1]]}."
            )
            reader.semantic(text_, "SEM0041", token)
        pairs.append(pair)
        if not (reader.take(",") or reader.take("and")):
            return pairs


def joined(reader: Statements, left: Table, right: Table, pairs: list[tuple[str, str]], kind: str) -> Table:
    """The join of two tables on equal columns."""
    names: dict[str, str] = {}
    for name in right.columns:
        taken = left.columns.keys() | right.columns.keys() | set(names.values())
        names[name] = (
            name
            if name not in left.columns
            else next(f"{name}{at}" for at in itertools.count(1) if f"{name}{at}" not in taken)
        )
    if kind in ("leftanti", "leftsemi"):
        columns = left.columns
    elif kind in ("rightanti", "rightsemi"):
        columns = right.columns
    else:
        columns = left.columns | {names[name]: held for name, held in right.columns.items()}

    def keyed(row: Row, side: int) -> tuple[Any, ...] | None:
        strings = left.columns if side == 0 else right.columns
        values = [
            row.get(pair[side]) or "" if strings[pair[side]] == "string" else row.get(pair[side]) for pair in pairs
        ]
        return None if None in values else tuple(map(key, values))

    def rows() -> Iterator[Row]:
        index: dict[Any, list[Row]] = {}
        lonely: list[Row] = []
        for row in reader.held(right):
            found = keyed(row, 1)
            (lonely if found is None else index.setdefault(found, [])).append(row)
        seen: set[Any] = set()
        for row in left.rows:
            reader.budget.step()
            found = keyed(row, 0)
            matches = index.get(found, []) if found is not None else []
            first = found not in seen
            seen.add(found)
            if kind in ("leftanti", "leftsemi"):
                if bool(matches) == (kind == "leftsemi"):
                    yield row
            elif not kind.startswith("right") or kind == "rightouter":
                if matches and (first or kind != "innerunique"):
                    for other in matches:
                        reader.budget.step()
                        yield {**row, **{names[name]: other.get(name) for name in right.columns}}
                elif not matches and kind in ("leftouter", "fullouter"):
                    yield {**{name: row.get(name) for name in left.columns}, **dict.fromkeys(names.values())}
        if kind in ("rightanti", "rightsemi", "rightouter", "fullouter"):
            for found, others in index.items():
                if (found in seen) == (kind == "rightsemi"):
                    yield from map(alone, others)
            if kind != "rightsemi":
                yield from map(alone, lonely)

    def alone(other: Row) -> Row:
        if kind in ("rightanti", "rightsemi"):
            return other
        return {**dict.fromkeys(left.columns), **{names[name]: other.get(name) for name in right.columns}}

    return Table(columns, rows())
