"""`as`, `render`, and the refusal of plugins."""

from __future__ import annotations

from local_azure.kql.statements import Statements
from local_azure.kql.tables import Table


def as_(reader: Statements, table: Table, depth: int) -> Table:
    reader.hints()
    view = Table(table.columns, reader.held(table))
    reader.views[reader.name()] = view
    return view


def render(reader: Statements, table: Table, depth: int) -> Table:
    """How a chart would be drawn, which the API does not do."""
    reader.name()
    if reader.take("with"):
        reader.need("(")
        while not reader.take(")"):
            if reader.next().kind == "end":
                reader.wrong()
    return table


def evaluate(reader: Statements, table: Table, depth: int) -> Table:
    """Plugins are refused, as Azure refuses those that are not enabled."""
    token = reader.peek()
    reader.semantic(f"Unknown or disabled plugin: '{reader.name()[:40]}'.", "SEM0124", token)
