"""Runs a query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from local_azure.kql.budget import Budget
from local_azure.kql.errors import KqlError, semantic
from local_azure.kql.operators import OPERATORS, ORIGINS
from local_azure.kql.statements import Statements, Words
from local_azure.kql.tables import Source, Table
from local_azure.kql.values import Columns, Row, wire_value


def evaluate(query: str, source: Source, now: datetime) -> Table:
    """Run a query; the result's rows have Python values. Raises `KqlError`, also while its rows are read."""
    return _evaluate(query, source, now, Budget())


def answer(query: str, source: Source, now: datetime) -> tuple[Columns, list[list[Any]]]:
    """Run a query; its columns, and its rows as the query API's JSON has them. Raises `KqlError`."""
    budget = Budget()
    table = _evaluate(query, source, now, budget)
    rows = []
    for row in budget.rows(table.rows, len(table.columns)):
        values = [wire_value(row.get(name), kind) for name, kind in table.columns.items()]
        budget.text(sum(len(value) if isinstance(value, str) else 8 for value in values))
        rows.append(values)
    return table.columns, rows


def _evaluate(query: str, source: Source, now: datetime, budget: Budget) -> Table:
    def guarded(rows: Iterable[Row]) -> Iterator[Row]:
        try:
            yield from rows
        except RecursionError:
            semantic("The query is nested too deeply.")

    try:
        reader = Statements(query, source, now, budget, Words(ORIGINS, OPERATORS))
        try:
            table = reader.query()
        except KqlError as error:
            if error.position < 0 and error.code.startswith("SEM"):
                error.position = reader.peek(-1).at if reader.at else 0
            raise
    except RecursionError:
        semantic("The query is nested too deeply.")
    return Table(table.columns, guarded(table.rows))
