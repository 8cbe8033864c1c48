"""Tables that a query makes from nothing: `print`, `range`, `datatable`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from local_azure.kql.statements import Statements
from local_azure.kql.tables import Table
from local_azure.kql.terms import cast
from local_azure.kql.values import NUMERIC, Row, common


def print_values(reader: Statements, depth: int) -> Table:
    """Take the values of a `print`."""
    values = []
    for at in itertools.count():
        name, value = reader.called({})
        values.append((name or f"print_{at}", value))
        if not reader.take(","):
            break
    named = reader.unique(values)  # type: ignore[arg-type]
    return Table({value.name: value.type for value in named}, [{value.name: value.get({}) for value in named}])


def range_values(reader: Statements, depth: int) -> Table:
    """Take ``name from start to stop step size``."""
    name = reader.name()
    ends = []
    for word in ("from", "to", "step"):
        reader.need(word)
        ends.append(reader.expression({}))
    start, stop, step = (end.get({}) for end in ends)
    kinds = [end.type for end in ends]
    dated = kinds[0] in ("datetime", "timespan")
    kind = kinds[0] if dated and kinds[2] == "timespan" and kinds[1] == kinds[0] else None
    kind = common(kinds) if not dated and set(kinds) <= set(NUMERIC) else kind
    if kind is None:
        reader.semantic(f"'range': the operands cannot be of types {', '.join(kinds)}.", "SEM0065")

    def rows() -> Iterator[Row]:
        value, zero = start, timedelta(0) if isinstance(step, timedelta) else 0
        if None in (start, stop, step) or step == zero:
            return
        while value <= stop if step > zero else value >= stop:
            reader.budget.step()
            yield {name: value}
            try:
                value = value + step
            except OverflowError:
                return

    return Table({name: kind}, rows(), serialized=True)


def datatable(reader: Statements, depth: int) -> Table:
    """Take ``(name:type, …) [value, …]``."""
    reader.need("(")
    columns = reader.schema()
    reader.need(")")
    token = reader.peek()
    reader.need("[")
    values: list[Any] = []
    while not reader.take("]"):
        kind = list(columns.values())[len(values) % len(columns)]
        values.append(cast(reader.expression({}), kind).get({}))
        if not reader.is_next("]"):
            reader.need(",")
    if len(values) % len(columns):
        reader.semantic(f"Incorrect number of data values: they come in multiples of {len(columns)}.", "SEM0035", token)
    rows = [
        dict(zip(columns, values[at : at + len(columns)], strict=True)) for at in range(0, len(values), len(columns))
    ]
    return Table(columns, rows)


def materialize(reader: Statements, depth: int) -> Table:
    """Take a pipeline in parentheses; its rows are kept."""
    reader.need("(")
    table = reader.pipeline(depth + 1)
    reader.need(")")
    return Table(table.columns, reader.held(table))
