"""Operators that take a value apart: `parse`, `parse-where`, `mv-expand`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from local_azure.kql.functions.regexes import regex
from local_azure.kql.statements import Statements
from local_azure.kql.syntax import unescaped
from local_azure.kql.tables import Table
from local_azure.kql.terms import Expr
from local_azure.kql.values import NUMERIC, Row, convert, text


def mv_expand(reader: Statements, table: Table, depth: int) -> Table:
    options = reader.hints("kind", "bagexpansion", "with_itemindex")
    bags_as_pairs = "array" in (options.get("kind"), options.get("bagexpansion"))
    index = options.get("with_itemindex")
    parts: list[tuple[str, str, Expr]] = []
    limit: int | None = None
    while True:
        token = reader.peek()
        title, value = reader.called(table.columns)
        if value.type != "dynamic":
            reader.semantic(f"the expression must be of type dynamic, not {value.type}.", "SEM0023", token)
        kind = "dynamic"
        if reader.take("to"):
            reader.need("typeof")
            reader.need("(")
            kind = reader.type_name()
            reader.need(")")
        parts.append((title or value.name or f"Column{len(parts) + 1}", kind, value))
        if not reader.take(","):
            break
    if reader.take("limit"):
        limit = reader.whole()
    columns = table.columns | {name: kind for name, kind, _ in parts} | ({index: "long"} if index else {})

    def rows() -> Iterator[Row]:
        for row in table.rows:
            lists = [_expanded(value.get(row), bags_as_pairs) for _, _, value in parts]
            longest = max(map(len, lists))
            for at in range(longest if limit is None else min(longest, limit)):
                reader.budget.step()
                new = {
                    name: _fitting(held[at], kind) if at < len(held) else None
                    for (name, kind, _), held in zip(parts, lists, strict=True)
                }
                yield {**row, **new, **({index: at} if index else {})}

    return Table(columns, rows())


def parse(reader: Statements, table: Table, depth: int) -> Table:
    return parsed(reader, table, keep=True)


def parse_where(reader: Statements, table: Table, depth: int) -> Table:
    return parsed(reader, table, keep=False)


def parsed(reader: Statements, table: Table, *, keep: bool) -> Table:
    """Take ``source with "text" Name:type * …``; with `keep`, rows that do not fit stay, their new columns empty."""
    options = reader.hints("kind", "flags")
    mode = options.get("kind", "simple")
    if mode not in ("simple", "relaxed", "regex"):
        reader.semantic("kind is simple, relaxed or regex.", "SEM0219")
    source = reader.expression(table.columns)
    reader.need("with")
    pieces: list[tuple[str, str, str]] = []
    while reader.peek().kind != "end" and not reader.is_next("|", ")", ";", ",", "}"):
        token = reader.peek()
        if token.kind == "string":
            pieces.append(("text", unescaped(reader.next().text), ""))
        elif reader.take("*"):
            pieces.append(("any", "", ""))
        else:
            name = reader.name()
            if pieces and pieces[-1][0] == "name":
                reader.semantic("a column's name must follow a text.", "SEM0219", token)
            pieces.append(("name", name, reader.type_name() if reader.take(":") else "string"))
    if not pieces:
        reader.wrong()
    kinds = {name: kind for what, name, kind in pieces if what == "name"}
    read = _by_regex(pieces, options.get("flags", "")) if mode == "regex" else _by_text(pieces)
    empty = {name: "" if kind == "string" else None for name, kind in kinds.items()}

    def rows() -> Iterator[Row]:
        for row in table.rows:
            found = read(text(source.get(row)))
            values = None if found is None else {name: convert(held, kinds[name]) for name, held in found.items()}
            if values is not None and mode == "simple" and any(value is None for value in values.values()):
                values = None
            if values is not None or keep:
                yield {**row, **(values if values is not None else empty)}

    return Table(table.columns | kinds, rows())


def _expanded(value: Any, bags_as_pairs: bool) -> list[Any]:
    """The records that a dynamic value makes: null one, an empty array none (Microsoft, "mv-expand operator")."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [[name, held] if bags_as_pairs else {name: held} for name, held in value.items()]
    return [value]


def _fitting(value: Any, kind: str) -> Any:
    """An element as the type that `typeof` names: cast, not parsed."""
    if kind == "dynamic" or value is None:
        return value
    if kind in NUMERIC and (isinstance(value, bool) or not isinstance(value, int | float)):
        return None
    if kind == "bool" and not isinstance(value, bool):
        return None
    return convert(value, kind)


def _by_text(pieces: list[tuple[str, str, str]]) -> Callable[[str], dict[str, str] | None]:
    """Reads a text by the texts between its columns: each ends where the next text first begins."""

    def read(string: str) -> dict[str, str] | None:
        found: dict[str, str] = {}
        at, open_, name = 0, False, ""
        for what, piece, _ in pieces:
            if what == "text":
                start = string.find(piece, at)
                if start < 0 or (start > at and not open_):
                    return None
                if name:
                    found[name] = string[at:start]
                at, open_, name = start + len(piece), False, ""
            elif what == "any":
                if name:
                    found[name] = ""
                open_, name = True, ""
            else:
                open_, name = True, piece
        if name:
            found[name] = string[at:]
        elif not open_ and at < len(string):
            return None
        return found

    return read


def _by_regex(pieces: list[tuple[str, str, str]], flags: str) -> Callable[[str], dict[str, str] | None]:
    names = [piece for what, piece, _ in pieces if what == "name"]
    parts = []
    for at, (what, piece, kind) in enumerate(pieces):
        last = at == len(pieces) - 1
        if what == "text":
            parts.append(f"(?:{piece})")
        elif what == "any":
            parts.append(".*" if last else ".*?")
        else:
            inner = {"long": r"[+-]?\d+", "int": r"[+-]?\d+", "real": r"[+-]?[\d.]+(?:[eE][+-]?\d+)?"}.get(
                kind, ".*" if last or "U" in flags else ".*?"
            )
            parts.append(f"(?P<c{len([one for one in pieces[:at] if one[0] == 'name'])}>{inner})")
    compiled = regex(f"(?{'i' if 'i' in flags else ''}s)^{''.join(parts)}")

    def read(string: str) -> dict[str, str] | None:
        match = compiled.search(string)
        return None if match is None else {name: match.group(f"c{at}") or "" for at, name in enumerate(names)}

    return read
