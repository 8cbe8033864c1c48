"""`union`: the rows of several tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from local_azure.kql.statements import Statements
from local_azure.kql.tables import Table, named_by
from local_azure.kql.values import Columns, Row


def union(reader: Statements, before: list[tuple[str, Table]], depth: int) -> Table:
    """Take the tables of a union, after those that stand before it."""
    options = reader.hints("kind", "withsource", "with_source", "isfuzzy")
    if options.get("kind", "outer") not in ("inner", "outer"):
        reader.semantic("'union' operator: kind is inner or outer.", "SEM0219")
    tables = list(before)
    while True:
        tables += members(reader, len(tables), depth, fuzzy=options.get("isfuzzy") == "true")
        if not reader.take(","):
            break
    named = options.get("withsource") or options.get("with_source")
    if named:
        tables = [(name, _marked(one, named, name)) for name, one in tables]
    return united(reader, [one for _, one in tables], inner=options.get("kind") == "inner")


def members(reader: Statements, at: int, depth: int, *, fuzzy: bool) -> list[tuple[str, Table]]:
    """Take one member of a union: a table, several by a wildcard, or a pipeline in parentheses."""
    token = reader.peek()
    if (token.text == "(" or reader.starts_table()) and reader.peek(1).text != "*":
        name = token.text if token.kind == "name" else f"union_arg{at}"
        return [(name, reader.origin(depth + 1))]
    back = reader.at
    pattern = reader.pattern()
    if "*" in pattern:
        names = [name for name in [*reader.views, *reader.source.names()] if named_by(name, pattern)]
        return [
            (name, reader.views.get(name) or Table(reader.source.columns(name) or {}, reader.source.rows(name)))
            for name in names
        ]
    if fuzzy:
        return []
    reader.at = back
    return [(pattern, reader.table(token))]


def united(reader: Statements, tables: list[Table], *, inner: bool) -> Table:
    """The rows of all tables; a column that has another type in another table is a column for each type."""
    kinds: dict[str, dict[str, None]] = {}
    for table in tables:
        for name, kind in table.columns.items():
            kinds.setdefault(name, {})[kind] = None
    if inner:
        kinds = {
            name: held for name, held in kinds.items() if len(held) == 1 and all(name in one.columns for one in tables)
        }
    columns: Columns = {}
    for name, held in kinds.items():
        columns |= {(f"{name}_{kind}" if len(held) > 1 else name): kind for kind in held}

    def renamed(table: Table) -> Iterable[Row]:
        # A row may still hold what was projected away, which must not come back under a column of another table.
        names = {
            name: f"{name}_{kind}" if len(kinds.get(name, ())) > 1 else name for name, kind in table.columns.items()
        }
        return ({names[name]: row.get(name) for name in names} for row in table.rows)

    return Table(columns, itertools.chain.from_iterable(map(renamed, tables)))


def and_union(reader: Statements, table: Table, depth: int) -> Table:
    return union(reader, [("union_arg0", table)], depth)


def _marked(table: Table, column_: str, value: str) -> Table:
    """A table with a first column that is the same in every row."""
    return Table({column_: "string", **table.columns}, ({column_: value, **row} for row in table.rows))


def union_of(reader: Statements, depth: int) -> Table:
    """A union that a pipeline begins with."""
    return union(reader, [], depth)
