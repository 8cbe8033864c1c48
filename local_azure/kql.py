"""A subset of the Kusto Query Language over the log tables of a workspace.

Statements: ``let``, ``print``, a table (or ``union`` of tables), and after each ``|`` one of `OPERATORS`. Expressions are typed
when the query is read, so a misspelt column is an error even where no row would be read. What is outside the subset is a clear
error, never a guess. Language reference: Microsoft, "Kusto Query Language".
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

Row = dict[str, Any]
Columns = dict[str, str]
Getter = Callable[[Row], Any]

DEEPEST = 60
LONGEST_STRING = 1 << 20
MOST_ROWS = 500_000
"""The Log Analytics query API's own limit on rows of one answer."""


class KqlError(Exception):
    """A query is wrong: `kind` is `SyntaxError` or `SemanticError`, `code` Kusto's such as SYN0002."""

    def __init__(self, kind: str, code: str, message: str, position: int = 0, token: str = "") -> None:
        super().__init__(message)
        self.kind, self.code, self.message, self.position, self.token = kind, code, message, position, token


@dataclass(slots=True)
class Table:
    """A stream of rows with typed columns."""

    columns: Columns
    rows: Iterable[Row]


class Source:
    """Where tables come from; `tables` by name and `rows` of one, whose values have Python types (see `python_value`)."""

    def columns(self, name: str) -> Columns | None:
        """The columns of a table, or `None` when there is no such table."""
        raise NotImplementedError

    def rows(self, name: str) -> Iterable[Row]:
        """The rows of a table."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Expr:
    """A typed scalar expression."""

    type: str
    get: Getter
    name: str = ""
    constant: bool = False


TOKEN = re.compile(
    r"(?P<space>\s+|//[^\n]*)"
    r"|(?P<string>@?\"(?:[^\"\\\n]|\\.)*\"|@?'(?:[^'\\\n]|\\.)*')"
    r"|(?P<timespan>\d+(?:\.\d+)?(?:microseconds?|ticks?|millis\w*|seconds?|minutes?|hours?|days?|ms|[dhms])\b)"
    r"|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"|(?P<fold>in~)"
    r"|(?P<name>(?:[A-Za-z_$][\w$]*)(?:-(?:away|keep|rename|reorder|expand|apply|where)\b)?)"
    r"|(?P<mark>!in~|!=|==|=~|!~|<=|>=|<>|\.\.|![A-Za-z_]+|[-+*/%<>=(),|;.\[\]:{}])"
)


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    at: int


def tokenize(text: str) -> list[Token]:
    """The tokens of a query, white space and comments left out."""
    tokens, at = [], 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None:
            _syntax(text[at : at + 1], at)
        if found.lastgroup != "space":
            kind = "mark" if found.lastgroup == "fold" else str(found.lastgroup)
            tokens.append(Token(kind, found.group(), at))
        at = found.end()
    return [*tokens, Token("end", "", len(text))]


def _syntax(token: str, at: int) -> NoReturn:
    what = f"'{token}'" if token else "the end of the query"
    raise KqlError("SyntaxError", "SYN0002", f"Query could not be parsed at {what}", at, token)


def _semantic(message: str, code: str = "SEM0100") -> NoReturn:
    raise KqlError("SemanticError", code, message)


def evaluate(query: str, source: Source, now: datetime) -> Table:
    """Run a query; the result's rows have Python values. Raises `KqlError`, also while its rows are read."""
    return _Parser(query, source, now).query()


class _Parser:
    def __init__(self, query: str, source: Source, now: datetime) -> None:
        self.query_text = query
        self.tokens, self.at = tokenize(query), 0
        self.source, self.now = source, now
        self.scalars: dict[str, Expr] = {}
        self.views: dict[str, tuple[Columns, list[Row]]] = {}

    # Tokens

    def peek(self, ahead: int = 0) -> Token:
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)]

    def next(self) -> Token:
        token = self.peek()
        self.at += 1
        return token

    def take(self, *texts: str) -> str | None:
        token = self.peek()
        if token.kind in ("mark", "name") and token.text in texts:
            self.at += 1
            return token.text
        return None

    def need(self, text: str) -> None:
        if not self.take(text):
            self.wrong()

    def wrong(self) -> NoReturn:
        _syntax(self.peek().text, self.peek().at)

    def name(self) -> str:
        if self.take("["):
            token = self.next()
            self.need("]")
            if token.kind != "string":
                _syntax(token.text, token.at)
            return _string(token.text)
        token = self.next()
        if token.kind != "name":
            _syntax(token.text, token.at)
        return token.text

    # Statements

    def query(self) -> Table:
        while self.peek().text == "let" and self.peek().kind == "name":
            self.next()
            name = self.name()
            self.need("=")
            if self.starts_table():
                view = self.pipeline(0)
                self.views[name] = (view.columns, _collect(view.rows))
            else:
                value = self.expression({}, 0)
                self.scalars[name] = replace(_literal(value.type, value.get({})), name=name)
            self.need(";")
        table = self.pipeline(0)
        self.take(";")
        if self.peek().kind != "end":
            self.wrong()
        return table

    def starts_table(self) -> bool:
        token = self.peek()
        if token.kind != "name" or self.peek(1).text == "(":
            return False
        known = token.text in self.views or self.source.columns(token.text) is not None
        return token.text in ("print", "union") or known

    def pipeline(self, depth: int) -> Table:
        if depth > DEEPEST:
            _semantic("The query is nested too deeply.")
        table = self.origin(depth)
        while self.take("|"):
            table = self.operator(table, depth)
        return table

    def origin(self, depth: int) -> Table:
        if self.take("("):
            table = self.pipeline(depth + 1)
            self.need(")")
            return table
        if self.peek().text == "print" and self.peek().kind == "name":
            self.next()
            return self.print()
        if self.peek().text == "union" and self.peek().kind == "name":
            self.next()
            return self.union(depth)
        token = self.peek()
        name = self.name()
        if name in self.views:
            columns, rows = self.views[name]
            return Table(columns, rows)
        found = self.source.columns(name)
        if found is None:
            if self.peek().kind not in ("end",) and self.peek().text not in ("|", ";", ")", ","):
                _syntax(self.peek().text, self.peek().at)
            raise KqlError(
                "SemanticError",
                "SEM0100",
                f"Failed to resolve table or column expression named '{name}'",
                token.at,
                name,
            )
        return Table(found, self.source.rows(name))

    def print(self) -> Table:
        values: dict[str, Expr] = {}
        for number in itertools.count():
            value = self.named({}, f"print_{number}")
            values[value.name or f"print_{number}"] = value
            if not self.take(","):
                break
        return Table(
            {name: value.type for name, value in values.items()},
            [{name: value.get({}) for name, value in values.items()}],
        )

    def union(self, depth: int) -> Table:
        tables = [self.origin(depth + 1)]
        while self.take(","):
            tables.append(self.origin(depth + 1))
        return self.joined(tables)

    def joined(self, tables: list[Table]) -> Table:
        columns: Columns = {}
        for table in tables:
            for name, kind in table.columns.items():
                columns.setdefault(name, kind)
        return Table(columns, itertools.chain.from_iterable(table.rows for table in tables))

    # Operators

    def operator(self, table: Table, depth: int) -> Table:
        token = self.next()
        if token.kind != "name":
            _syntax(token.text, token.at)
        columns = table.columns
        match token.text:
            case "where" | "filter":
                test = self.expression(columns, 0)
                if self.peek().kind != "end" and self.peek().text not in ("|", ")", ";", ","):
                    self.wrong()
                if test.type not in ("bool", "dynamic"):
                    _semantic("'where' operator: the predicate must be of type bool.", "SEM0020")
                return Table(columns, (row for row in table.rows if test.get(row) is True))
            case "take" | "limit":
                return Table(columns, itertools.islice(table.rows, self.whole()))
            case "count":
                return Table({"Count": "long"}, _later(lambda: [{"Count": sum(1 for _ in table.rows)}]))
            case "project":
                return self.project(table)
            case "project-away":
                names = self.name_list(columns)
                kept = {name: kind for name, kind in columns.items() if name not in names}
                return Table(kept, table.rows)
            case "project-keep":
                names = self.name_list(columns)
                return Table({name: kind for name, kind in columns.items() if name in names}, table.rows)
            case "project-rename":
                return self.rename(table)
            case "extend":
                return self.extend(table)
            case "summarize":
                return self.summarize(table)
            case "distinct":
                return self.distinct(table)
            case "sort" | "order":
                self.need("by")
                return self.sorted(table, self.order(columns), None)
            case "top":
                size = self.whole()
                self.need("by")
                return self.sorted(table, self.order(columns), size)
            case "union":
                return self.joined([table, *self.union_rest(depth)])
            case "render":
                while self.peek().kind != "end" and self.peek().text != ";":
                    self.next()
                return table
            case "as":
                self.name()
                return table
        known = ", ".join(OPERATORS)
        message = f"The operator '{token.text}' is not one that this local Azure knows; it knows: {known}."
        raise KqlError("SyntaxError", "SYN0001", message, token.at, token.text)

    def union_rest(self, depth: int) -> list[Table]:
        tables = [self.origin(depth + 1)]
        while self.take(","):
            tables.append(self.origin(depth + 1))
        return tables

    def whole(self) -> int:
        token = self.next()
        if token.kind != "number" or not token.text.isdigit() or len(token.text) > 12:
            _syntax(token.text, token.at)
        return int(token.text)

    def name_list(self, columns: Columns) -> set[str]:
        names = set()
        while True:
            name = self.name()
            starred = self.take("*") is not None
            found = {one for one in columns if one.startswith(name)} if starred else {name} & columns.keys()
            if not found and not starred:
                _unknown(name)
            names |= found
            if not self.take(","):
                return names

    def named(self, columns: Columns, fallback: str) -> Expr:
        """An expression, with the name it is given by ``name = …``, of its column, or `fallback`."""
        given = ""
        if self.peek().kind == "name" and self.peek(1).text == "=":
            given = self.name()
            self.need("=")
        value = self.expression(columns, 0)
        return Expr(value.type, value.get, given or value.name or fallback, value.constant)

    def named_list(self, columns: Columns) -> list[Expr]:
        values = []
        for number in itertools.count(1):
            values.append(self.named(columns, f"Column{number}"))
            if not self.take(","):
                return values
        raise AssertionError

    def project(self, table: Table) -> Table:
        values = self.named_list(table.columns)
        return Table(
            {value.name: value.type for value in values},
            ({value.name: value.get(row) for value in values} for row in table.rows),
        )

    def rename(self, table: Table) -> Table:
        names: dict[str, str] = {}
        while True:
            new = self.name()
            self.need("=")
            old = self.name()
            if old not in table.columns:
                _unknown(old)
            names[old] = new
            if not self.take(","):
                break
        columns = {names.get(name, name): kind for name, kind in table.columns.items()}
        return Table(columns, ({names.get(name, name): value for name, value in row.items()} for row in table.rows))

    def extend(self, table: Table) -> Table:
        values = self.named_list(table.columns)
        columns = table.columns | {value.name: value.type for value in values}
        return Table(columns, ({**row, **{value.name: value.get(row) for value in values}} for row in table.rows))

    def distinct(self, table: Table) -> Table:
        starred = self.take("*") is not None
        every = [_column(name, kind) for name, kind in table.columns.items()]
        values = every if starred else self.named_list(table.columns)

        def rows() -> Iterator[Row]:
            seen = set()
            for row in table.rows:
                key = tuple(_key(value.get(row)) for value in values)
                if key not in seen:
                    seen.add(key)
                    yield {value.name: value.get(row) for value in values}

        return Table({value.name: value.type for value in values}, rows())

    def order(self, columns: Columns) -> list[tuple[Expr, bool, bool]]:
        keys = []
        while True:
            value = self.expression(columns, 0)
            descending = self.take("asc", "desc") != "asc"
            nulls_first = not descending
            if self.take("nulls"):
                nulls_first = (self.take("first", "last") or self.wrong()) == "first"
            keys.append((value, descending, nulls_first))
            if not self.take(","):
                return keys

    def sorted(self, table: Table, keys: list[tuple[Expr, bool, bool]], size: int | None) -> Table:
        def rows() -> list[Row]:
            found = _collect(table.rows)
            for value, descending, nulls_first in reversed(keys):
                filled = [row for row in found if value.get(row) is not None]
                empty = [row for row in found if value.get(row) is None]
                filled.sort(key=lambda row, value=value: _sortable(value.get(row)), reverse=descending)  # type: ignore[misc]
                found = empty + filled if nulls_first else filled + empty
            return found if size is None else found[:size]

        return Table(table.columns, _later(rows))

    # Aggregation

    def summarize(self, table: Table) -> Table:
        aggregates: list[tuple[str, str, Callable[[list[Row]], Any]]] = []
        if self.peek().text != "by":
            while True:
                aggregates.append(self.aggregate(table.columns))
                if not self.take(","):
                    break
        keys = self.named_list(table.columns) if self.take("by") else []
        columns = {key.name: key.type for key in keys} | {name: kind for name, kind, _ in aggregates}

        def rows() -> Iterator[Row]:
            groups: dict[tuple[Any, ...], tuple[Row, list[Row]]] = {}
            for row in _collect(table.rows):
                values = {key.name: key.get(row) for key in keys}
                group = groups.setdefault(tuple(_key(value) for value in values.values()), (values, []))
                group[1].append(row)
            if not keys and not groups:
                groups[()] = ({}, [])
            for values, members in groups.values():
                yield values | {name: fold(members) for name, _, fold in aggregates}

        return Table(columns, rows())

    def aggregate(self, columns: Columns) -> tuple[str, str, Callable[[list[Row]], Any]]:
        given = ""
        if self.peek().kind == "name" and self.peek(1).text == "=":
            given = self.name()
            self.need("=")
        token = self.next()
        if token.kind != "name" or self.peek().text != "(":
            _syntax(token.text, token.at)
        function = token.text
        self.need("(")
        arguments: list[Expr] = []
        starred = False
        while self.peek().text != ")":
            if self.take("*"):
                starred = True
            else:
                arguments.append(self.expression(columns, 0))
            if not self.take(","):
                break
        self.need(")")
        if function not in AGGREGATES:
            _semantic(f"Unknown function: '{function}'. Aggregates known here: {', '.join(AGGREGATES)}.", "SEM0260")
        fewest, most, kind, make = AGGREGATES[function]
        if not fewest <= len(arguments) <= most:
            _semantic(
                f"{function}(): function expects {fewest} to {most} argument(s), got {len(arguments)}.", "SEM0219"
            )
        first = arguments[0].name if arguments else ""
        type_ = (arguments[0].type if arguments else "long") if kind == "same" else kind
        if function in ("arg_max", "arg_min") and not starred:
            if len(arguments) != 2:
                _semantic(f"{function}(): give the column to return, one at a time.", "SEM0219")
            type_, first = arguments[1].type, arguments[1].name
        elif starred:
            _semantic(f"{function}(*) is not one that this local Azure knows; name one column.", "SEM0219")
        name = given or (first if function in ("arg_max", "arg_min", "take_any", "any") else f"{function}_{first}")
        return name, type_, make(arguments)

    # Expressions

    def expression(self, columns: Columns, depth: int) -> Expr:
        if depth > DEEPEST:
            _semantic("The expression is nested too deeply.")
        left = self.conjunction(columns, depth)
        while self.take("or"):
            right = self.conjunction(columns, depth)
            left = _logic(left, right, either=True)
        return left

    def conjunction(self, columns: Columns, depth: int) -> Expr:
        left = self.comparison(columns, depth)
        while self.take("and"):
            left = _logic(left, self.comparison(columns, depth), either=False)
        return left

    def comparison(self, columns: Columns, depth: int) -> Expr:
        left = self.sum(columns, depth)
        token = self.peek()
        text = token.text
        if token.kind == "mark" and text in COMPARISONS:
            self.next()
            return _compared(text, left, self.sum(columns, depth))
        if text in STRING_TESTS and token.kind in ("name", "mark"):
            self.next()
            right = self.sum(columns, depth)
            test = STRING_TESTS[text]
            return Expr(
                "bool",
                lambda row: test(_text(left.get(row)), _text(right.get(row))),
                constant=left.constant and right.constant,
            )
        if text in ("in", "in~", "!in", "!in~"):
            self.next()
            self.need("(")
            values = [self.expression(columns, depth + 1)]
            while self.take(","):
                values.append(self.expression(columns, depth + 1))
            self.need(")")
            fold, wanted = text.endswith("~"), not text.startswith("!")

            def member(row: Row) -> bool:
                held = {_key(_folded(value.get(row), fold)) for value in values}
                return (_key(_folded(left.get(row), fold)) in held) is wanted

            return Expr("bool", member)
        if text in ("between", "!between"):
            self.next()
            self.need("(")
            low = self.sum(columns, depth + 1)
            self.need("..")
            high = self.sum(columns, depth + 1)
            self.need(")")
            wanted = text == "between"

            def within(row: Row) -> bool:
                value, start, end = left.get(row), low.get(row), high.get(row)
                if isinstance(end, timedelta) and isinstance(start, datetime):
                    end = _shift(start, end)
                return (_order(value, start) in (0, 1) and _order(value, end) in (0, -1)) is wanted

            return Expr("bool", within)
        return left

    def sum(self, columns: Columns, depth: int) -> Expr:
        left = self.product(columns, depth)
        while operator := self.take("+", "-"):
            left = _arithmetic(operator, left, self.product(columns, depth))
        return left

    def product(self, columns: Columns, depth: int) -> Expr:
        left = self.signed(columns, depth)
        while operator := self.take("*", "/", "%"):
            left = _arithmetic(operator, left, self.signed(columns, depth))
        return left

    def signed(self, columns: Columns, depth: int) -> Expr:
        if depth > DEEPEST:
            _semantic("The expression is nested too deeply.")
        if self.take("-"):
            inner = self.signed(columns, depth + 1)
            return _arithmetic(
                "-", Expr(inner.type if inner.type != "string" else "long", lambda _: _zero(inner.type)), inner
            )
        self.take("+")
        return self.member(columns, depth)

    def member(self, columns: Columns, depth: int) -> Expr:
        value = self.atom(columns, depth)
        while True:
            if self.take("."):
                key: Expr = _literal("string", self.name())
            elif value.type == "dynamic" and self.take("["):
                key = self.expression(columns, depth + 1)
                self.need("]")
            else:
                return value
            value = _part(value, key)

    def atom(self, columns: Columns, depth: int) -> Expr:
        token = self.next()
        match token.kind:
            case "string":
                return _literal("string", _string(token.text))
            case "number":
                if token.text.isdigit():
                    number = int(token.text) if len(token.text) < 20 else 1 << 63
                    if number >= 1 << 63:
                        _syntax(token.text, token.at)
                    return _literal("long", number)
                return _literal("real", float(token.text))
            case "timespan":
                return _literal("timespan", _timespan(token.text))
            case "name":
                return self.named_atom(token, columns, depth)
        if token.text == "(":
            value = self.expression(columns, depth + 1)
            self.need(")")
            return value
        if token.text == "[":
            text = self.next()
            self.need("]")
            if text.kind != "string":
                _syntax(text.text, text.at)
            return self.column(_string(text.text), columns)
        _syntax(token.text, token.at)

    def named_atom(self, token: Token, columns: Columns, depth: int) -> Expr:
        name = token.text
        if self.peek().text == "(" and self.peek().kind == "mark":
            if name in (
                "datetime",
                "date",
                "timespan",
                "time",
                "guid",
                "dynamic",
                "long",
                "int",
                "real",
                "double",
                "bool",
            ):
                return self.typed_literal(name)
            self.next()
            arguments = []
            while self.peek().text != ")":
                arguments.append(self.expression(columns, depth + 1))
                if not self.take(","):
                    break
            self.need(")")
            return self.call(name, arguments)
        if name in ("true", "false"):
            return _literal("bool", name == "true")
        return self.column(name, columns)

    def column(self, name: str, columns: Columns) -> Expr:
        if name in columns:
            return _column(name, columns[name])
        if name in self.scalars:
            return self.scalars[name]
        _unknown(name)

    def typed_literal(self, name: str) -> Expr:
        """``datetime(2026-01-01)``, ``timespan(1d)``, ``dynamic([1,2])`` …: what is in the parentheses is no expression."""
        start = self.peek().at + 1
        self.need("(")
        nesting = 1
        while nesting:
            token = self.next()
            if token.kind == "end":
                _syntax("", token.at)
            nesting += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "mark" else 0
        text = self.query_text[start : self.tokens[self.at - 1].at].strip()
        kind = {"date": "datetime", "time": "timespan", "double": "real", "guid": "string"}.get(name, name)
        bare = _string(text) if text[:1] in ("'", '"') else text
        if text == "null":
            return _literal(kind, None)
        value = _convert(bare, kind)
        if value is None and kind != "dynamic":
            _semantic(f"{name}({text[:40]}) is not a valid {kind} literal.", "SEM0025")
        return _literal(kind, value)

    def call(self, name: str, arguments: list[Expr]) -> Expr:
        now = self.now
        if name == "now":
            shift = arguments[0] if arguments else _literal("timespan", timedelta(0))
            return Expr("datetime", lambda row: _shift(now, shift.get(row)), constant=True)
        if name == "ago":
            if len(arguments) != 1 or arguments[0].type != "timespan":
                _semantic("ago(): argument #1 must be a timespan such as 1h.", "SEM0219")
            back = arguments[0]
            return Expr("datetime", lambda row: _shift(now, -back.get(row)), constant=True)
        found = FUNCTIONS.get(name)
        if found is None:
            if name in AGGREGATES:
                _semantic(f"Aggregate function '{name}' can only be used in 'summarize'.", "SEM0267")
            _semantic(f"Unknown function: '{name}'.", "SEM0260")
        fewest, most, kind, function = found
        if not fewest <= len(arguments) <= most:
            _semantic(f"{name}(): function expects {fewest} to {most} argument(s), got {len(arguments)}.", "SEM0219")
        type_ = kind
        if kind == "same":
            type_ = arguments[0].type
        elif kind == "second":
            type_ = arguments[1].type
        return Expr(
            type_,
            lambda row: function(*(argument.get(row) for argument in arguments)),
            arguments[0].name if name in ("bin", "floor", "tostring", "tolower", "toupper") and arguments else "",
            all(argument.constant for argument in arguments),
        )


OPERATORS = (
    "where",
    "take",
    "limit",
    "count",
    "project",
    "project-away",
    "project-keep",
    "project-rename",
    "extend",
    "summarize",
    "distinct",
    "sort",
    "order",
    "top",
    "union",
    "render",
)


def _unknown(name: str) -> NoReturn:
    _semantic(f"Failed to resolve scalar expression named '{name}'")


def _literal(kind: str, value: Any) -> Expr:
    return Expr(kind, lambda _: value, "", True)


def _column(name: str, kind: str) -> Expr:
    return Expr(kind, lambda row: row.get(name), name)


def _later(rows: Callable[[], Iterable[Row]]) -> Iterator[Row]:
    yield from rows()


def _collect(rows: Iterable[Row]) -> list[Row]:
    found = list(itertools.islice(rows, MOST_ROWS + 1))
    if len(found) > MOST_ROWS:
        _semantic(f"The query reads more than {MOST_ROWS} rows at once.", "E_QUERY_RESULT_SET_TOO_LARGE")
    return found


def _logic(left: Expr, right: Expr, *, either: bool) -> Expr:
    for side in (left, right):
        if side.type not in ("bool", "dynamic"):
            _semantic(f"{'or' if either else 'and'}: operands must be of type bool, not {side.type}.", "SEM0020")
    if either:
        return Expr("bool", lambda row: left.get(row) is True or right.get(row) is True)
    return Expr("bool", lambda row: left.get(row) is True and right.get(row) is True)


def _text(value: Any) -> str:
    return "" if value is None else _shown_text(value)


def _folded(value: Any, fold: bool) -> Any:
    return value.lower() if fold and isinstance(value, str) else value


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _has(text: str, term: str) -> bool:
    wanted = _words(term)
    if not wanted:
        return term.lower() in text.lower()
    held = _words(text)
    return any(held[at : at + len(wanted)] == wanted for at in range(len(held) - len(wanted) + 1))


STRING_TESTS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, part: part.lower() in text.lower(),
    "!contains": lambda text, part: part.lower() not in text.lower(),
    "contains_cs": lambda text, part: part in text,
    "startswith": lambda text, part: text.lower().startswith(part.lower()),
    "!startswith": lambda text, part: not text.lower().startswith(part.lower()),
    "endswith": lambda text, part: text.lower().endswith(part.lower()),
    "!endswith": lambda text, part: not text.lower().endswith(part.lower()),
    "has": _has,
    "!has": lambda text, part: not _has(text, part),
}
COMPARISONS = ("==", "!=", "<>", "<", "<=", ">", ">=", "=~", "!~")
NUMERIC = ("long", "int", "real")


def _compared(operator: str, left: Expr, right: Expr) -> Expr:
    both = {left.type, right.type}
    if "dynamic" not in both and len(both) == 2 and not both <= set(NUMERIC) and both != {"bool", "long"}:
        _semantic(f"Cannot compare values of types {left.type} and {right.type}. Try adding explicit casts.", "SEM0064")
    if operator in ("=~", "!~"):
        return Expr(
            "bool", lambda row: (_text(left.get(row)).lower() == _text(right.get(row)).lower()) is (operator == "=~")
        )
    wanted = {"==": (0,), "!=": (-1, 1, None), "<>": (-1, 1, None), "<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (1, 0)}[
        operator
    ]
    return Expr("bool", lambda row: _order(left.get(row), right.get(row)) in wanted)


def _order(left: Any, right: Any) -> int | None:
    """-1, 0 or 1; `None` when the values cannot be ordered (null, or of different kinds)."""
    if left is None or right is None:
        return None
    try:
        return 0 if left == right else (-1 if left < right else 1)
    except TypeError:
        return None


def _arithmetic(operator: str, left: Expr, right: Expr) -> Expr:
    kinds = (left.type, right.type)
    if "string" in kinds or "bool" in kinds:
        _semantic(f"Operator '{operator}': the operands cannot be of types {kinds[0]} and {kinds[1]}.", "SEM0065")
    if kinds == ("datetime", "datetime") and operator == "-":
        kind = "timespan"
    elif "datetime" in kinds:
        kind = "datetime"
    elif "timespan" in kinds:
        kind = "real" if kinds == ("timespan", "timespan") and operator == "/" else "timespan"
    elif "real" in kinds or "dynamic" in kinds:
        kind = "real"
    else:
        kind = "long"

    def compute(row: Row) -> Any:
        a, b = left.get(row), right.get(row)
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
                    result = a // b if isinstance(a, int) and isinstance(b, int) else a / b
                case _:
                    result = a % b
        except (TypeError, ZeroDivisionError, OverflowError):
            return None
        return result if not isinstance(result, int) or abs(result) < 1 << 63 else None

    return Expr(kind, compute, constant=left.constant and right.constant)


def _zero(kind: str) -> Any:
    return timedelta(0) if kind == "timespan" else 0


def _shift(moment: datetime, by: Any) -> datetime | None:
    try:
        return moment + by if isinstance(by, timedelta) else None
    except OverflowError:
        return None


def _part(value: Expr, key: Expr) -> Expr:
    if value.type not in ("dynamic",):
        _semantic(f"Failed to resolve member of '{value.name}': it is of type {value.type}, not dynamic.")

    def read(row: Row) -> Any:
        held, name = value.get(row), key.get(row)
        if isinstance(held, dict) and isinstance(name, str):
            return held.get(name)
        if isinstance(held, list) and isinstance(name, int) and -len(held) <= name < len(held):
            return held[name]
        return None

    return Expr("dynamic", read, f"{value.name}_{key.get({}) if key.constant else ''}")


def _string(text: str) -> str:
    if text.startswith("@"):
        return text[2:-1]
    escapes = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "0": "\0"}
    return re.sub(r"\\(.)", lambda found: escapes.get(found[1], found[0]), text[1:-1])


def _timespan(text: str) -> timedelta | None:
    found = re.fullmatch(r"(-?\d+(?:\.\d+)?)([a-z]+)", text)
    if found is None:
        return None
    unit = found[2]
    scale = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}.get(unit)
    if scale is None:
        starts = {
            "day": 86400,
            "hour": 3600,
            "minute": 60,
            "second": 1,
            "milli": 0.001,
            "microsecond": 1e-6,
            "tick": 1e-7,
        }
        scale = next((size for word, size in starts.items() if unit.startswith(word)), None)
    if scale is None:
        return None
    try:
        return timedelta(seconds=float(found[1]) * scale)
    except OverflowError:
        return None


CLOCK = re.compile(r"(-)?(?:(\d{1,8})\.)?(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d{1,7})?))?\Z")


def _convert(value: Any, kind: str) -> Any:
    """`value` as a Kusto type, or `None` where Kusto makes a null."""
    if value is None:
        return None
    try:
        match kind:
            case "string":
                return _shown_text(value)
            case "long" | "int":
                number = (
                    int(float(value))
                    if not isinstance(value, str) or "." in value or "e" in value.lower()
                    else int(value, 0)
                )
                return number if abs(number) < 1 << 63 else None
            case "real":
                number_ = float(value)
                return number_ if math.isfinite(number_) else None
            case "bool":
                if isinstance(value, str):
                    return {"true": True, "false": False, "1": True, "0": False}.get(value.strip().lower())
                return bool(value)
            case "datetime":
                if isinstance(value, datetime):
                    return value
                moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", str(value).strip()))
                return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
            case "timespan":
                if isinstance(value, timedelta):
                    return value
                found = CLOCK.match(str(value).strip())
                if found is None:
                    return _timespan(str(value).strip())
                whole = timedelta(
                    days=int(found[2] or 0), hours=int(found[3]), minutes=int(found[4]), seconds=float(found[5] or 0)
                )
                return -whole if found[1] else whole
            case "dynamic":
                return json.loads(value) if isinstance(value, str) else value
    except (ValueError, TypeError, OverflowError, RecursionError):
        return value if kind == "dynamic" else None
    return value


def python_value(value: Any, kind: str) -> Any:
    """A stored value as expressions want it: datetimes as `datetime`, timespans as `timedelta`."""
    return _convert(value, kind) if kind in ("datetime", "timespan") else value


def wire_value(value: Any, kind: str) -> Any:
    """A value as the query API's JSON has it."""
    if value is None:
        return None
    if isinstance(value, datetime | timedelta):
        return _shown_text(value)
    if kind == "dynamic" or isinstance(value, dict | list):
        return value if isinstance(value, str) else json.dumps(value)
    if kind == "string":
        return _shown_text(value)
    return value


def _shown_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond:06d}0Z"
    if isinstance(value, timedelta):
        sign, span = ("-", -value) if value < timedelta(0) else ("", value)
        seconds = span.seconds
        clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        fraction = f".{span.microseconds:06d}0" if span.microseconds else ""
        return f"{sign}{f'{span.days}.' if span.days else ''}{clock}{fraction}"
    if isinstance(value, dict | list):
        return json.dumps(value)
    return str(value)


def _key(value: Any) -> Any:
    return (
        json.dumps(value, sort_keys=True, default=str)
        if isinstance(value, dict | list)
        else (type(value) is bool, value)
    )


def _sortable(value: Any) -> Any:
    rank = (
        0
        if isinstance(value, int | float)
        else 1
        if isinstance(value, datetime)
        else 2
        if isinstance(value, timedelta)
        else 3
    )
    return (rank, value if rank < 3 else _shown_text(value))


def _bin(value: Any, size: Any) -> Any:
    try:
        if isinstance(value, datetime) and isinstance(size, timedelta):
            start = datetime(1, 1, 1, tzinfo=UTC)
            return start + (value - start) // size * size
        return value // size * size
    except (TypeError, ZeroDivisionError, OverflowError):
        return None


def _strcat(*parts: Any) -> str:
    text = "".join(_text(part) for part in parts)
    if len(text) > LONGEST_STRING:
        _semantic("strcat(): the result is longer than 1 MB.", "E_RUNAWAY_QUERY")
    return text


def _case(*parts: Any) -> Any:
    for test, value in zip(parts[::2], parts[1::2], strict=False):
        if test is True:
            return value
    return parts[-1]


def _substring(text: Any, start: Any, length: Any = None) -> str:
    if not isinstance(start, int) or not isinstance(length, int | None):
        return ""
    whole = _text(text)
    start = max(start, 0)
    return whole[start:] if length is None else whole[start : start + max(length, 0)]


def _start_of(unit: str) -> Callable[[Any], Any]:
    def start(moment: Any) -> Any:
        if not isinstance(moment, datetime):
            return None
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        if unit == "week":
            return _shift(midnight, -timedelta(days=(midnight.weekday() + 1) % 7))
        return midnight.replace(day=1) if unit == "month" else midnight

    return start


def _as(kind: str) -> Callable[[Any], Any]:
    return lambda value: _convert(value, kind)


def _round(value: Any, digits: Any = 0) -> Any:
    if not isinstance(value, int | float) or not isinstance(digits, int) or abs(digits) > 15:
        return None
    return round(float(value), digits)


FUNCTIONS: dict[str, tuple[int, int, str, Callable[..., Any]]] = {
    "abs": (1, 1, "same", lambda value: abs(value) if isinstance(value, int | float | timedelta) else None),
    "bin": (2, 2, "same", _bin),
    "case": (3, 99, "second", _case),
    "coalesce": (2, 64, "same", lambda *values: next((value for value in values if value not in (None, "")), None)),
    "floor": (2, 2, "same", _bin),
    "iff": (3, 3, "second", lambda test, yes, no: yes if test is True else no),
    "iif": (3, 3, "second", lambda test, yes, no: yes if test is True else no),
    "isempty": (1, 1, "bool", lambda value: value is None or value == ""),
    "isnotempty": (1, 1, "bool", lambda value: value is not None and value != ""),
    "isnull": (1, 1, "bool", lambda value: value is None),
    "isnotnull": (1, 1, "bool", lambda value: value is not None),
    "not": (1, 1, "bool", lambda value: None if value is None else value is not True),
    "parse_json": (1, 1, "dynamic", _as("dynamic")),
    "todynamic": (1, 1, "dynamic", _as("dynamic")),
    "round": (1, 2, "real", _round),
    "startofday": (1, 1, "datetime", _start_of("day")),
    "startofweek": (1, 1, "datetime", _start_of("week")),
    "startofmonth": (1, 1, "datetime", _start_of("month")),
    "strcat": (1, 64, "string", _strcat),
    "strlen": (1, 1, "long", lambda value: len(_text(value))),
    "substring": (2, 3, "string", _substring),
    "tobool": (1, 1, "bool", _as("bool")),
    "todatetime": (1, 1, "datetime", _as("datetime")),
    "todouble": (1, 1, "real", _as("real")),
    "toint": (1, 1, "int", _as("int")),
    "tolong": (1, 1, "long", _as("long")),
    "tolower": (1, 1, "string", lambda value: _text(value).lower()),
    "toreal": (1, 1, "real", _as("real")),
    "tostring": (1, 1, "string", _text),
    "totimespan": (1, 1, "timespan", _as("timespan")),
    "toupper": (1, 1, "string", lambda value: _text(value).upper()),
}


def _numbers(expr: Expr, rows: list[Row]) -> list[Any]:
    return [value for value in (expr.get(row) for row in rows) if isinstance(value, int | float | timedelta)]


def _present(expr: Expr, rows: list[Row]) -> list[Any]:
    return [value for value in (expr.get(row) for row in rows) if value is not None]


def _total(values: list[Any]) -> Any:
    return sum(values, timedelta(0)) if values and isinstance(values[0], timedelta) else sum(values)


def _best(largest: bool) -> Callable[[list[Expr]], Callable[[list[Row]], Any]]:
    def make(arguments: list[Expr]) -> Callable[[list[Row]], Any]:
        def fold(rows: list[Row]) -> Any:
            filled = [row for row in rows if arguments[0].get(row) is not None]
            if not filled:
                return None
            pick = max if largest else min
            best = pick(filled, key=lambda row: _sortable(arguments[0].get(row)))
            return arguments[-1].get(best)

        return fold

    return make


def _percentile(arguments: list[Expr]) -> Callable[[list[Row]], Any]:
    def fold(rows: list[Row]) -> Any:
        values = sorted(_numbers(arguments[0], rows), key=_sortable)
        share = arguments[1].get({})
        if not values or not isinstance(share, int | float):
            return None
        return values[min(len(values) - 1, max(0, math.ceil(share / 100 * len(values)) - 1))]

    return fold


def _unique(values: list[Any]) -> list[Any]:
    return list({_key(value): wire_value(value, "") for value in values}.values())


AGGREGATES: dict[str, tuple[int, int, str, Callable[[list[Expr]], Callable[[list[Row]], Any]]]] = {
    "count": (0, 0, "long", lambda _: len),
    "countif": (1, 1, "long", lambda args: lambda rows: sum(args[0].get(row) is True for row in rows)),
    "dcount": (1, 2, "long", lambda args: lambda rows: len({_key(value) for value in _present(args[0], rows)})),
    "sum": (1, 1, "same", lambda args: lambda rows: _total(_numbers(args[0], rows))),
    "avg": (
        1,
        1,
        "real",
        lambda args: lambda rows: (lambda held: _total(held) / len(held) if held else None)(_numbers(args[0], rows)),
    ),
    "min": (1, 1, "same", _best(False)),
    "max": (1, 1, "same", _best(True)),
    "percentile": (2, 2, "same", _percentile),
    "make_list": (
        1,
        2,
        "dynamic",
        lambda args: lambda rows: [wire_value(value, "") for value in _present(args[0], rows)],
    ),
    "make_set": (1, 2, "dynamic", lambda args: lambda rows: _unique(_present(args[0], rows))),
    "take_any": (1, 1, "same", lambda args: lambda rows: next(iter(_present(args[0], rows)), None)),
    "any": (1, 1, "same", lambda args: lambda rows: next(iter(_present(args[0], rows)), None)),
    "arg_max": (1, 2, "same", _best(True)),
    "arg_min": (1, 2, "same", _best(False)),
}
