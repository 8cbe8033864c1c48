"""Operators that choose, make or describe columns: `project` and its kin, `extend`, `serialize`, `getschema`."""

from __future__ import annotations

from local_azure.kql.statements import Statements
from local_azure.kql.tables import Table, named_by
from local_azure.kql.values import Columns, clr


def project(reader: Statements, table: Table, depth: int) -> Table:
    if reader.peek().kind == "end" or reader.is_next("|", ")", ";"):
        return Table({}, ({} for _ in table.rows))
    values = reader.unique(reader.call_list(table.columns))
    return Table(
        {value.name: value.type for value in values},
        ({value.name: value.get(row) for value in values} for row in table.rows),
    )


def matching(reader: Statements, columns: Columns) -> list[str]:
    """Take names with wildcards; the columns they mean, in the order they are named."""
    found: dict[str, None] = {}
    while True:
        token = reader.peek()
        pattern = reader.pattern()
        names = [name for name in columns if named_by(name, pattern)]
        if not names:
            reader.unknown(pattern, token)
        order = reader.take("asc", "desc")
        found |= dict.fromkeys(sorted(names, reverse=order == "desc") if order else names)
        if not reader.take(","):
            return list(found)


def project_away(reader: Statements, table: Table, depth: int) -> Table:
    gone = matching(reader, table.columns)
    return Table({name: kind for name, kind in table.columns.items() if name not in gone}, table.rows)


def project_keep(reader: Statements, table: Table, depth: int) -> Table:
    kept = matching(reader, table.columns)
    return Table({name: kind for name, kind in table.columns.items() if name in kept}, table.rows)


def project_reorder(reader: Statements, table: Table, depth: int) -> Table:
    first = matching(reader, table.columns)
    return Table({name: table.columns[name] for name in dict.fromkeys([*first, *table.columns])}, table.rows)


def project_rename(reader: Statements, table: Table, depth: int) -> Table:
    names: dict[str, str] = {}
    while True:
        new = reader.name()
        reader.need("=")
        token = reader.peek()
        old = reader.name()
        if old not in table.columns:
            reader.unknown(old, token)
        names[old] = new
        if not reader.take(","):
            break
    columns = {names.get(name, name): kind for name, kind in table.columns.items()}
    if len(columns) != len(table.columns):
        reader.semantic("A column with that name is already declared.", "SEM0030")
    return Table(columns, ({names.get(name, name): row.get(name) for name in table.columns} for row in table.rows))


def extend(reader: Statements, table: Table, depth: int) -> Table:
    values = reader.unique(reader.call_list(table.columns))
    columns = table.columns | {value.name: value.type for value in values}
    return Table(columns, ({**row, **{value.name: value.get(row) for value in values}} for row in table.rows))


def serialize(reader: Statements, table: Table, depth: int) -> Table:
    """Rows as they are, with further columns if they are given."""
    if reader.peek().kind == "end" or reader.is_next("|", ")", ";", ",", "}"):
        return table
    return extend(reader, table, depth)


def getschema(reader: Statements, table: Table, depth: int) -> Table:
    columns = {"ColumnName": "string", "ColumnOrdinal": "long", "DataType": "string", "ColumnType": "string"}
    rows = [
        {"ColumnName": name, "ColumnOrdinal": at, "DataType": clr(kind), "ColumnType": kind}
        for at, (name, kind) in enumerate(table.columns.items())
    ]
    return Table(columns, rows)
