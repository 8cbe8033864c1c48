"""Statements, sources of rows, and the operators that follow a ``|``."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NoReturn

from local_azure.kql.budget import LONGEST_STRING, Budget
from local_azure.kql.expressions import Expr, Expressions, Group, Window, column, is_fold, literal
from local_azure.kql.functions import regex
from local_azure.kql.syntax import KqlError, Token, semantic, unescaped, wrong
from local_azure.kql.values import (
    NUMERIC,
    TYPES,
    Columns,
    Row,
    clr,
    common,
    convert,
    key,
    plain,
    sortable,
    text,
    wire_value,
)

MOST_OPERATORS = 200
DEEPEST = 15


@dataclass(slots=True)
class Table:
    """A stream of rows with typed columns."""

    columns: Columns
    rows: Iterable[Row]
    serialized: bool = False
    """Whether the order of the rows means something, so that window functions may look at the rows around."""


class Source:
    """Where tables come from."""

    def names(self) -> Iterable[str]:
        """The names of all tables, for wildcards."""
        return ()

    def columns(self, name: str) -> Columns | None:
        """The columns of a table, or `None` when there is no such table."""
        raise NotImplementedError

    def rows(self, name: str) -> Iterable[Row]:
        """The rows of a table; values have Python types (see `values.python_value`)."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class _Function:
    """A function that `let` gave: parameters, where its body begins, and what was known there."""

    parameters: tuple[tuple[str, str | Columns, Expr | None], ...]
    body: int
    scalars: dict[str, Expr]
    views: dict[str, Table]
    functions: dict[str, _Function]


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
        reader = _Statements(query, source, now, budget)
        try:
            table = reader.query()
        except KqlError as error:
            if error.position < 0 and error.code.startswith("SEM"):
                error.position = reader.peek(-1).at if reader.at else 0
            raise
    except RecursionError:
        semantic("The query is nested too deeply.")
    return Table(table.columns, guarded(table.rows))


class _Statements(Expressions):
    """Reads statements and pipelines."""

    def __init__(self, query: str, source: Source, now: datetime, budget: Budget) -> None:
        super().__init__(query, now, budget)
        self.source = source
        self.views: dict[str, Table] = {}
        self.functions: dict[str, _Function] = {}
        self.operators = 0
        self.calls = 0
        """How many functions' bodies are being read, one in another."""

    # Statements

    def query(self) -> Table:
        """The whole query."""
        self.lets()
        table = self.pipeline(0)
        self.take(";")
        if self.peek().kind != "end":
            self.wrong()
        return table

    def lets(self) -> None:
        """Take ``let …;`` statements, and `set` and `declare`, which change nothing here."""
        given: set[str] = set()
        while self.is_next("let", "set", "declare", "alias", "restrict"):
            if self.next().text != "let":
                while not self.take(";"):
                    if self.next().kind == "end":
                        self.wrong()
                continue
            token = self.peek()
            name = self.name()
            if name in given:
                self.semantic(f"A variable with the name '{name}' has already been declared.", "SEM0031", token)
            given.add(name)
            self.need("=")
            self.let(name)
            if self.peek().kind != "end":
                self.need(";")

    def let(self, name: str) -> None:
        """Take what a name is given: a function, a table or a value."""
        for known in (self.scalars, self.views, self.functions):
            known.pop(name, None)
        if self.is_function():
            self.functions[name] = self.function()
        elif self.starts_table():
            view = self.pipeline(0)
            self.views[name] = Table(view.columns, self.held(view))
        else:
            value = self.expression({})
            if value.constant or not self.calls:
                self.scalars[name] = replace(literal(value.type, value.get({})), name=name)
            else:
                self.scalars[name] = replace(self.metered(value), name=name)

    def metered(self, value: Expr) -> Expr:
        """A value that a function's parameter or `let` stands for: each use costs a step, as uses may double at each level."""

        def get(row: Row) -> Any:
            self.budget.step()
            return value.get(row)

        return replace(value, get=get)

    def held(self, table: Table) -> list[Row]:
        """All rows of a table, kept."""
        return self.budget.rows(table.rows, len(table.columns))

    # Functions

    def is_function(self) -> bool:
        """Whether ``(parameters) { … }`` comes."""
        at = 1 if self.is_next("view") else 0
        if self.peek(at).text != "(":
            return False
        nesting = 0
        for ahead in itertools.count(at):
            token = self.peek(ahead)
            nesting += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "mark" else 0
            if token.kind == "end":
                return False
            if not nesting:
                return self.peek(ahead + 1).text == "{"
        raise AssertionError

    def function(self) -> _Function:
        """Take a function; its body is read when it is called."""
        self.take("view")
        self.need("(")
        parameters: list[tuple[str, str | Columns, Expr | None]] = []
        while not self.take(")"):
            name = self.name()
            self.need(":")
            kind: str | Columns
            if self.take("("):
                kind = {} if self.take("*") else self.schema()
                self.need(")")
            else:
                kind = self.type_name()
            default = self.expression({}) if self.take("=") else None
            parameters.append((name, kind, default))
            if not self.is_next(")"):
                self.need(",")
        body = self.at + 1
        self.need("{")
        self.skip_body()
        known = dict(self.scalars), dict(self.views), dict(self.functions)
        return _Function(tuple(parameters), body, *known)

    def skip_body(self) -> None:
        """Go past the ``}`` that ends the body that has begun."""
        nesting = 1
        while nesting:
            token = self.next()
            if token.kind == "end":
                wrong("", token.at)
            nesting += {"{": 1, "}": -1}.get(token.text, 0) if token.kind == "mark" else 0

    def schema(self) -> Columns:
        """Take ``name:type, …``."""
        found: Columns = {}
        while True:
            name = self.name()
            self.need(":")
            found[name] = self.type_name()
            if not self.take(","):
                return found

    def type_name(self) -> str:
        """Take the name of a type."""
        token = self.next()
        if token.text not in TYPES:
            self.semantic(f"The name '{token.text[:40]}' is not a valid type name.", "SEM0034", token)
        return TYPES[token.text]

    def user_call(self, name: str, columns: Columns, depth: int) -> Expr | None:
        if name not in self.functions:
            return None
        if self.is_table_function(name):
            self.semantic(f"'{name}' gives a table, where a scalar value is expected.", "SEM0100")
        value: Expr = self.call_function(name, columns, depth, self.body_value)
        return value

    def body_value(self, columns: Columns, depth: int) -> Expr:
        """The value of a function's body that is an expression."""
        self.lets()
        return self.expression(columns, depth + 1)

    def body_table(self, columns: Columns, depth: int) -> Table:
        """The rows of a function's body that is a table."""
        self.lets()
        return self.pipeline(depth + 1)

    def is_table_function(self, name: str) -> bool:
        """Whether a function's body is a table."""
        function = self.functions[name]
        known, at = (self.scalars, self.views, self.functions), self.at
        tables = {parameter: Table({}, ()) for parameter, kind, _ in function.parameters if isinstance(kind, dict)}
        scalars = {parameter for parameter, kind, _ in function.parameters if not isinstance(kind, dict)}
        self.scalars, self.functions, self.at = function.scalars, function.functions, function.body
        self.views = {name: view for name, view in {**function.views, **tables}.items() if name not in scalars}
        inner: dict[str, Table] = {}
        try:
            while self.take("let"):
                local = self.name()
                self.need("=")
                if self.starts_table():
                    inner[local] = Table({}, ())
                    self.views = {**self.views, **inner}
                nesting = 0
                while nesting or not self.is_next(";"):
                    token = self.next()
                    if token.kind == "end":
                        wrong("", token.at)
                    nesting += {"{": 1, "(": 1, "}": -1, ")": -1}.get(token.text, 0) if token.kind == "mark" else 0
                self.need(";")
            return self.starts_table()
        finally:
            (self.scalars, self.views, self.functions), self.at = known, at

    def call_function(self, name: str, columns: Columns, depth: int, run: Callable[[Columns, int], Any]) -> Any:
        """Take arguments, and read the function's body with them."""
        if depth > DEEPEST * 2:
            self.semantic("The query is nested too deeply.")
        function, token = self.functions[name], self.peek(-1)
        self.need("(")
        scalars, views = dict(function.scalars), dict(function.views)
        for at, (parameter, kind, default) in enumerate(function.parameters):
            if self.is_next(")"):
                if default is None:
                    text_ = f"{name}(): function expects {len(function.parameters)} argument(s), got {at}."
                    self.semantic(text_, "SEM0219", token)
                scalars[parameter] = default
                continue
            if at:
                self.need(",")
            if isinstance(kind, dict):
                table = self.pipeline(depth + 1)
                views[parameter] = Table(table.columns, self.held(table))
                scalars.pop(parameter, None)
            else:
                value = self.expression(columns, depth + 1)
                # A function may be called for every row: its parameter is then what the argument is in that row.
                scalars[parameter] = replace(self.metered(_cast(value, kind)), name="")
                views.pop(parameter, None)
        if not self.is_next(")"):
            self.semantic(
                f"{name}(): function expects {len(function.parameters)} argument(s), got more.", "SEM0219", token
            )
        self.need(")")
        known, back = (self.scalars, self.views, self.functions), self.at
        self.scalars, self.views, self.functions, self.at = scalars, views, dict(function.functions), function.body
        self.calls += 1
        try:
            found = run({}, depth)
            self.take(";")
            self.need("}")
        finally:
            self.calls -= 1
            (self.scalars, self.views, self.functions), self.at = known, back
        return found

    # Tables in the place of a value

    def first_column(self, depth: int) -> list[Any] | None:
        if not self.starts_table():
            return None
        table = self.pipeline(depth + 1)
        name = next(iter(table.columns), "")
        return [row.get(name) for row in self.held(table)]

    def table_value(self, name: str, depth: int) -> Expr:
        self.need("(")
        if not self.starts_table():
            value = self.expression({}, depth + 1)
            self.need(")")
            return literal(value.type, value.get({}))
        table = self.pipeline(depth + 1)
        self.need(")")
        first, kind = next(iter(table.columns.items()), ("", "dynamic"))
        row = next(iter(table.rows), {})
        return literal(kind, row.get(first))

    # Pipelines

    def starts_table(self, ahead: int = 0) -> bool:
        """Whether what comes is a table, not a value."""
        token = self.peek(ahead)
        while token.text == "(" and token.kind == "mark":
            ahead += 1
            token = self.peek(ahead)
        if token.kind != "name":
            return False
        following = self.peek(ahead + 1).text
        if token.text in ("print", "union", "search", "find", "externaldata", "external_data"):
            return following != "="
        if token.text == "range":
            return self.peek(ahead + 2).text == "from"
        if token.text in ("datatable", "materialize"):
            return following == "("
        if following == "(":
            return token.text in self.functions and self.is_table_function(token.text)
        if token.text in self.scalars:
            return False
        return token.text in self.views or self.source.columns(token.text) is not None

    def pipeline(self, depth: int) -> Table:
        """Take a source and its operators."""
        if depth > DEEPEST:
            self.semantic("The query is nested too deeply.")
        table = self.origin(depth)
        while self.take("|"):
            self.operators += 1
            if self.operators > MOST_OPERATORS:
                self.semantic(f"The query has more than {MOST_OPERATORS} operators.", "E_RUNAWAY_QUERY")
            table = self.operator(table, depth)
        return table

    def origin(self, depth: int) -> Table:
        """Take a table, or what stands for one."""
        if self.take("("):
            table = self.pipeline(depth + 1)
            self.need(")")
            return table
        token = self.peek()
        if token.kind == "name" and self.starts_table():
            match token.text:
                case "print":
                    self.next()
                    return self.print()
                case "union":
                    self.next()
                    return self.union([], depth)
                case "range":
                    self.next()
                    return self.range()
                case "datatable":
                    self.next()
                    return self.datatable()
                case "materialize":
                    self.next()
                    self.need("(")
                    table = self.pipeline(depth + 1)
                    self.need(")")
                    return Table(table.columns, self.held(table))
                case "search" | "find" | "externaldata" | "external_data":
                    self.not_here(token)
            if self.peek(1).text == "(":
                self.next()
                called: Table = self.call_function(token.text, {}, depth, self.body_table)
                return called
        return self.table(token)

    def table(self, token: Token) -> Table:
        """Take a table by its name."""
        name = self.name()
        if name in self.views:
            return self.views[name]
        found = self.source.columns(name)
        if found is None:
            if self.peek().kind != "end" and self.peek().text not in ("|", ";", ")", ",", "("):
                self.wrong()
            self.semantic(f"Failed to resolve table or column expression named '{name[:100]}'", token=token)
        return Table(found, self.source.rows(name))

    def not_here(self, token: Token) -> NoReturn:
        """Refuse a word of the language that is not built."""
        known = ", ".join(OPERATORS)
        message = f"The operator '{token.text[:40]}' is not one that this local Azure knows; it knows: {known}."
        raise KqlError("SyntaxError", "SYN0001", message, token.at, token.text[:100])

    def print(self) -> Table:
        """Take the values of a `print`."""
        values = []
        for at in itertools.count():
            name, value = self.called({})
            values.append((name or f"print_{at}", value))
            if not self.take(","):
                break
        named = self.unique(values)  # type: ignore[arg-type]
        return Table({value.name: value.type for value in named}, [{value.name: value.get({}) for value in named}])

    def range(self) -> Table:
        """Take ``name from start to stop step size``."""
        name = self.name()
        ends = []
        for word in ("from", "to", "step"):
            self.need(word)
            ends.append(self.expression({}))
        start, stop, step = (end.get({}) for end in ends)
        kinds = [end.type for end in ends]
        dated = kinds[0] in ("datetime", "timespan")
        kind = kinds[0] if dated and kinds[2] == "timespan" and kinds[1] == kinds[0] else None
        kind = common(kinds) if not dated and set(kinds) <= set(NUMERIC) else kind
        if kind is None:
            self.semantic(f"'range': the operands cannot be of types {', '.join(kinds)}.", "SEM0065")

        def rows() -> Iterator[Row]:
            value, zero = start, timedelta(0) if isinstance(step, timedelta) else 0
            if None in (start, stop, step) or step == zero:
                return
            while value <= stop if step > zero else value >= stop:
                self.budget.step()
                yield {name: value}
                try:
                    value = value + step
                except OverflowError:
                    return

        return Table({name: kind}, rows(), serialized=True)

    def datatable(self) -> Table:
        """Take ``(name:type, …) [value, …]``."""
        self.need("(")
        columns = self.schema()
        self.need(")")
        token = self.peek()
        self.need("[")
        values: list[Any] = []
        while not self.take("]"):
            kind = list(columns.values())[len(values) % len(columns)]
            values.append(_cast(self.expression({}), kind).get({}))
            if not self.is_next("]"):
                self.need(",")
        if len(values) % len(columns):
            self.semantic(
                f"Incorrect number of data values: they come in multiples of {len(columns)}.", "SEM0035", token
            )
        rows = [
            dict(zip(columns, values[at : at + len(columns)], strict=True))
            for at in range(0, len(values), len(columns))
        ]
        return Table(columns, rows)

    # Operators

    def operator(self, table: Table, depth: int) -> Table:
        """Take one operator; the table that it makes."""
        token = self.next()
        if token.kind != "name":
            wrong(token.text, token.at)
        run = OPERATORS.get(token.text)
        if run is None:
            self.not_here(token)
        outer, window = (self.group, self.window), Window(table.serialized or token.text == "serialize")
        self.group, self.window = None, window
        try:
            made = run(self, Table(table.columns, self.around(table.rows, window)), depth)
        except KqlError as error:
            if error.code.startswith("SEM") and not error.message.startswith("'"):
                error.message = f"'{token.text}' operator: {error.message}"
                error.args = (error.message,)
            raise
        finally:
            self.group, self.window = outer
        if self.peek().kind != "end" and not self.is_next("|", ")", ";", ",", "}"):
            self.wrong()
        kept = table.serialized and token.text in KEEPING
        return Table(made.columns, self.stepped(made.rows), kept or token.text in SERIALIZING)

    def around(self, rows: Iterable[Row], window: Window) -> Iterator[Row]:
        """Rows, with the columns of window functions where there are some."""
        if not window.columns:
            yield from rows
            return
        held = self.budget.rows(rows, len(window.columns))
        computed = [(hidden, compute(held)) for hidden, compute in window.columns]
        for at, row in enumerate(held):
            yield {**row, **{hidden: values[at] for hidden, values in computed}}

    def stepped(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Rows, each of which costs a step."""
        for row in rows:
            self.budget.step()
            yield row

    def hints(self, *names: str) -> dict[str, str]:
        """Take ``name=value`` of these names, and ``hint.name=value``, before an operator's arguments."""
        found = {}
        while self.peek().kind == "name" and (
            (self.is_next(*names) and self.peek(1).text == "=") or (self.is_next("hint") and self.peek(1).text == ".")
        ):
            name = self.next().text
            while self.take("."):
                name += "." + self.next().text
            self.need("=")
            found[name] = self.next().text
        return found

    def where(self, table: Table, depth: int) -> Table:
        if self.take("*"):
            return self.anywhere(table)
        test = self.expression(table.columns, depth)
        if self.peek().kind != "end" and not self.is_next("|", ")", ";", ",", "}"):
            self.wrong()
        if test.type != "bool":
            self.semantic("the predicate must be of type bool.", "SEM0020")
        return Table(table.columns, (row for row in table.rows if test.get(row) is True))

    def anywhere(self, table: Table) -> Table:
        """``where * has 'term'``: in any column."""
        operator = self.peek()
        if operator.text not in ("has", "contains", "startswith", "endswith", "has_cs", "contains_cs"):
            self.wrong()
        start, tests = self.at, []
        for name in table.columns:
            self.at = start
            self.next()
            wanted = self._sum(table.columns, 0)
            held = column(name, table.columns[name])
            tests.append(self._tested(operator.text, Expr("string", _texts(held)), wanted, operator))
        if not tests:
            self.wrong()
        return Table(table.columns, (row for row in table.rows if any(test.get(row) for test in tests)))

    def taken(self, table: Table, depth: int) -> Table:
        return Table(table.columns, itertools.islice(table.rows, self.whole()))

    def whole(self) -> int:
        """Take a constant number of rows."""
        token = self.peek()
        value = self.expression({})
        number = value.get({}) if value.constant else None
        if not isinstance(number, int) or isinstance(number, bool):
            wrong(token.text, token.at)
        return max(number, 0)

    def count(self, table: Table, depth: int) -> Table:
        return Table({"Count": "long"}, _later(lambda: [{"Count": sum(1 for _ in table.rows)}]))

    def project(self, table: Table, depth: int) -> Table:
        if self.peek().kind == "end" or self.is_next("|", ")", ";"):
            return Table({}, ({} for _ in table.rows))
        values = self.unique(self.call_list(table.columns))
        return Table(
            {value.name: value.type for value in values},
            ({value.name: value.get(row) for value in values} for row in table.rows),
        )

    def matching(self, columns: Columns) -> list[str]:
        """Take names with wildcards; the columns they mean, in the order they are named."""
        found: dict[str, None] = {}
        while True:
            token = self.peek()
            pattern = self.pattern()
            names = [name for name in columns if _fits(name, pattern)]
            if not names:
                self.unknown(pattern, token)
            order = self.take("asc", "desc")
            found |= dict.fromkeys(sorted(names, reverse=order == "desc") if order else names)
            if not self.take(","):
                return list(found)

    def project_away(self, table: Table, depth: int) -> Table:
        gone = self.matching(table.columns)
        return Table({name: kind for name, kind in table.columns.items() if name not in gone}, table.rows)

    def project_keep(self, table: Table, depth: int) -> Table:
        kept = self.matching(table.columns)
        return Table({name: kind for name, kind in table.columns.items() if name in kept}, table.rows)

    def project_reorder(self, table: Table, depth: int) -> Table:
        first = self.matching(table.columns)
        return Table({name: table.columns[name] for name in dict.fromkeys([*first, *table.columns])}, table.rows)

    def project_rename(self, table: Table, depth: int) -> Table:
        names: dict[str, str] = {}
        while True:
            new = self.name()
            self.need("=")
            token = self.peek()
            old = self.name()
            if old not in table.columns:
                self.unknown(old, token)
            names[old] = new
            if not self.take(","):
                break
        columns = {names.get(name, name): kind for name, kind in table.columns.items()}
        if len(columns) != len(table.columns):
            self.semantic("A column with that name is already declared.", "SEM0030")
        return Table(columns, ({names.get(name, name): row.get(name) for name in table.columns} for row in table.rows))

    def extend(self, table: Table, depth: int) -> Table:
        values = self.unique(self.call_list(table.columns))
        columns = table.columns | {value.name: value.type for value in values}
        return Table(columns, ({**row, **{value.name: value.get(row) for value in values}} for row in table.rows))

    def distinct(self, table: Table, depth: int) -> Table:
        if self.take("*"):
            values = [column(name, kind) for name, kind in table.columns.items()]
        else:
            values = self.unique(self.call_list(table.columns))
        self.scalar_keys(values)

        def rows() -> Iterator[Row]:
            seen = set()
            for row in table.rows:
                found = {value.name: value.get(row) for value in values}
                held = tuple(map(key, found.values()))
                if held not in seen:
                    seen.add(held)
                    yield found

        return Table({value.name: value.type for value in values}, rows())

    def scalar_keys(self, values: list[Expr]) -> None:
        """Refuse dynamic values where rows are told apart or put in order."""
        for value in values:
            if value.type == "dynamic":
                self.semantic(
                    f"'{value.name}' is of a dynamic type, which is not allowed here. Use an explicit cast.", "SEM0023"
                )

    def order(self, columns: Columns, most: int = 64) -> list[tuple[Expr, bool, bool]]:
        """Take what rows are sorted by: value, whether descending, whether nulls come first."""
        keys = []
        while True:
            value = self.expression(columns)
            self.scalar_keys([value])
            descending = self.take("asc", "desc") != "asc"
            nulls_first = not descending
            if self.take("nulls"):
                nulls_first = self.need("first", "last") == "first"
            keys.append((value, descending, nulls_first))
            if len(keys) == most or not self.take(","):
                return keys

    def sort(self, table: Table, depth: int) -> Table:
        self.hints()
        self.need("by")
        return self.sorted(table, self.order(table.columns), None)

    def top(self, table: Table, depth: int) -> Table:
        size = self.whole()
        self.need("by")
        return self.sorted(table, self.order(table.columns, 1), size)

    def sorted(self, table: Table, keys: list[tuple[Expr, bool, bool]], size: int | None) -> Table:
        """The rows in order, all or the first `size`."""

        def rows() -> list[Row]:
            found = self.held(table)
            for value, descending, nulls_first in reversed(keys):
                self.budget.step()
                valued = [(value.get(row), row) for row in found]
                if value.type == "string":
                    valued = [(held or "", row) for held, row in valued]
                filled = [one for one in valued if one[0] is not None]
                empty = [row for held, row in valued if held is None]
                filled.sort(key=lambda one: sortable(one[0]), reverse=descending)
                in_order = [row for _, row in filled]
                found = empty + in_order if nulls_first else in_order + empty
            return found if size is None else found[:size]

        return Table(table.columns, _later(rows))

    def summarize(self, table: Table, depth: int) -> Table:
        self.hints()
        group = Group(table.columns)
        given: list[tuple[str | None, Expr]] = []
        if not self.is_next("by") and self.peek().kind != "end" and not self.is_next("|", ")", ";"):
            self.group = group
            given = self.aggregates(group)
            self.group = None
        keys = self.call_list(table.columns) if self.take("by") else []
        known = {value.name for _, value in keys if value.name in table.columns}
        starred = [id(value) for value in group.starred if value.name in known]
        given = [(name, value) for name, value in given if id(value) not in starred]
        values = self.unique([*keys, *given])
        by, folded = values[: len(keys)], values[len(keys) :]
        self.scalar_keys(by)

        def rows() -> Iterator[Row]:
            groups: dict[tuple[Any, ...], tuple[Row, list[Row]]] = {}
            for row in self.held(table):
                found = {value.name: value.get(row) for value in by}
                held = tuple(map(key, found.values()))
                groups.setdefault(held, (found, []))[1].append(row)
            if not by and not groups:
                groups[()] = ({}, [])
            for found, members in groups.values():
                totals: Row = {}
                for hidden, fold in group.folds:
                    self.budget.step()
                    totals[hidden] = fold(members)
                yield found | {value.name: value.get(totals) for value in folded}

        return Table({value.name: value.type for value in values}, rows())

    def aggregates(self, group: Group) -> list[tuple[str | None, Expr]]:
        """Take aggregates between commas, each with its given name."""
        found: list[tuple[str | None, Expr]] = []
        while True:
            names = self.tuple_names()
            given = self.named() if names is None else None
            token, back, folds = self.peek(), self.at, len(group.folds)
            several: list[tuple[str | None, Expr]] | None = None
            if token.kind == "name" and is_fold(token.text) and self.peek(1).text == "(":
                self.next()
                several = self.folds(token.text, token)
                if self.peek().kind != "end" and not self.is_next(",", "by", "|", ")", ";", "}"):
                    self.at, several = back, None
                    del group.folds[folds:]
            if several is None:
                several = [(None, self.expression({}))]
            wanted = names if names is not None else [given]
            for at, (title, value) in enumerate(several):
                found.append((wanted[at] if at < len(wanted) and wanted[at] is not None else title, value))
            if not self.take(","):
                return found

    def tuple_names(self) -> list[str | None] | None:
        """Take ``(a, b) =`` if it comes."""
        back = self.at
        names: list[str | None] = []
        if self.take("("):
            while self.peek().kind == "name":
                names.append(self.next().text)
                if not self.take(","):
                    break
            if names and self.take(")") and self.take("="):
                return names
        self.at = back
        return None

    # Several tables

    def union(self, before: list[tuple[str, Table]], depth: int) -> Table:
        """Take the tables of a union, after those that stand before it."""
        options = self.hints("kind", "withsource", "with_source", "isfuzzy")
        if options.get("kind", "outer") not in ("inner", "outer"):
            self.semantic("'union' operator: kind is inner or outer.", "SEM0219")
        tables = list(before)
        while True:
            tables += self.members(len(tables), depth, fuzzy=options.get("isfuzzy") == "true")
            if not self.take(","):
                break
        named = options.get("withsource") or options.get("with_source")
        if named:
            tables = [(name, _marked(one, named, name)) for name, one in tables]
        return self.united([one for _, one in tables], inner=options.get("kind") == "inner")

    def members(self, at: int, depth: int, *, fuzzy: bool) -> list[tuple[str, Table]]:
        """Take one member of a union: a table, several by a wildcard, or a pipeline in parentheses."""
        token = self.peek()
        if (token.text == "(" or self.starts_table()) and self.peek(1).text != "*":
            name = token.text if token.kind == "name" else f"union_arg{at}"
            return [(name, self.origin(depth + 1))]
        back = self.at
        pattern = self.pattern()
        if "*" in pattern:
            names = [name for name in [*self.views, *self.source.names()] if _fits(name, pattern)]
            return [
                (name, self.views.get(name) or Table(self.source.columns(name) or {}, self.source.rows(name)))
                for name in names
            ]
        if fuzzy:
            return []
        self.at = back
        return [(pattern, self.table(token))]

    def united(self, tables: list[Table], *, inner: bool) -> Table:
        """The rows of all tables; a column that has another type in another table is a column for each type."""
        kinds: dict[str, dict[str, None]] = {}
        for table in tables:
            for name, kind in table.columns.items():
                kinds.setdefault(name, {})[kind] = None
        if inner:
            kinds = {
                name: held
                for name, held in kinds.items()
                if len(held) == 1 and all(name in one.columns for one in tables)
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

    def and_union(self, table: Table, depth: int) -> Table:
        return self.union([("union_arg0", table)], depth)

    def join(self, table: Table, depth: int) -> Table:
        kind = self.hints("kind").get("kind", "innerunique")
        kind = {"leftantisemi": "leftanti", "anti": "leftanti", "rightantisemi": "rightanti"}.get(kind, kind)
        if kind not in JOINS:
            self.semantic(f"kind is one of {', '.join(JOINS)}, not '{kind[:40]}'.", "SEM0219")
        right = self.origin(depth + 1)
        return self.joined(table, right, self.conditions(table.columns, right.columns), kind)

    def lookup(self, table: Table, depth: int) -> Table:
        kind = self.hints("kind").get("kind", "leftouter")
        if kind not in ("leftouter", "inner"):
            self.semantic("kind is leftouter or inner.", "SEM0219")
        right = self.origin(depth + 1)
        pairs = self.conditions(table.columns, right.columns)
        made = self.joined(table, right, pairs, kind)
        new = [name for name in made.columns if name not in table.columns]
        keys = {other for _, other in pairs}
        gone = {name for name, other in zip(new, right.columns, strict=True) if other in keys}
        return Table({name: kind for name, kind in made.columns.items() if name not in gone}, made.rows)

    def conditions(self, left: Columns, right: Columns) -> list[tuple[str, str]]:
        """Take ``on name, $left.a == $right.b``: pairs of a left and a right column."""
        self.need("on")
        pairs = []
        while True:
            token = self.peek()
            if self.take("$left", "$right"):
                self.need(".")
                sides = {token.text: self.name()}
                self.need("==")
                other = self.need("$left", "$right")
                self.need(".")
                sides[other] = self.name()
                if len(sides) != 2:
                    self.semantic("the condition compares a column of $left with one of $right.", "SEM0219", token)
                pair = (sides["$left"], sides["$right"])
            else:
                name = self.name()
                pair = (name, name)
            for name, columns in zip(pair, (left, right), strict=True):
                if name not in columns:
                    self.unknown(name, token)
            if left[pair[0]] != right[pair[1]] and not {left[pair[0]], right[pair[1]]} <= {"int", "long"}:
                text_ = f"the keys '{pair[0]}' and '{pair[1]}' are of different types: {left[pair[0]]} and {right[pair[1]]}."
                self.semantic(text_, "SEM0041", token)
            pairs.append(pair)
            if not (self.take(",") or self.take("and")):
                return pairs

    def joined(self, left: Table, right: Table, pairs: list[tuple[str, str]], kind: str) -> Table:
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
            for row in self.held(right):
                found = keyed(row, 1)
                (lonely if found is None else index.setdefault(found, [])).append(row)
            seen: set[Any] = set()
            for row in left.rows:
                self.budget.step()
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
                            self.budget.step()
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

    # Values that hold several

    def mv_expand(self, table: Table, depth: int) -> Table:
        options = self.hints("kind", "bagexpansion", "with_itemindex")
        bags_as_pairs = "array" in (options.get("kind"), options.get("bagexpansion"))
        index = options.get("with_itemindex")
        parts: list[tuple[str, str, Expr]] = []
        limit: int | None = None
        while True:
            token = self.peek()
            given, value = self.called(table.columns)
            if value.type != "dynamic":
                self.semantic(f"the expression must be of type dynamic, not {value.type}.", "SEM0023", token)
            kind = "dynamic"
            if self.take("to"):
                self.need("typeof")
                self.need("(")
                kind = self.type_name()
                self.need(")")
            parts.append((given or value.name or f"Column{len(parts) + 1}", kind, value))
            if not self.take(","):
                break
        if self.take("limit"):
            limit = self.whole()
        columns = table.columns | {name: kind for name, kind, _ in parts} | ({index: "long"} if index else {})

        def rows() -> Iterator[Row]:
            for row in table.rows:
                lists = [_expanded(value.get(row), bags_as_pairs) for _, _, value in parts]
                longest = max(map(len, lists))
                for at in range(longest if limit is None else min(longest, limit)):
                    self.budget.step()
                    new = {
                        name: _fitting(held[at], kind) if at < len(held) else None
                        for (name, kind, _), held in zip(parts, lists, strict=True)
                    }
                    yield {**row, **new, **({index: at} if index else {})}

        return Table(columns, rows())

    def parse(self, table: Table, depth: int) -> Table:
        return self.parsed(table, keep=True)

    def parse_where(self, table: Table, depth: int) -> Table:
        return self.parsed(table, keep=False)

    def parsed(self, table: Table, *, keep: bool) -> Table:
        """Take ``source with "text" Name:type * …``; with `keep`, rows that do not fit stay, their new columns empty."""
        options = self.hints("kind", "flags")
        mode = options.get("kind", "simple")
        if mode not in ("simple", "relaxed", "regex"):
            self.semantic("kind is simple, relaxed or regex.", "SEM0219")
        source = self.expression(table.columns)
        self.need("with")
        pieces: list[tuple[str, str, str]] = []
        while self.peek().kind != "end" and not self.is_next("|", ")", ";", ",", "}"):
            token = self.peek()
            if token.kind == "string":
                pieces.append(("text", unescaped(self.next().text), ""))
            elif self.take("*"):
                pieces.append(("any", "", ""))
            else:
                name = self.name()
                if pieces and pieces[-1][0] == "name":
                    self.semantic("a column's name must follow a text.", "SEM0219", token)
                pieces.append(("name", name, self.type_name() if self.take(":") else "string"))
        if not pieces:
            self.wrong()
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

    # The rest

    def getschema(self, table: Table, depth: int) -> Table:
        columns = {"ColumnName": "string", "ColumnOrdinal": "long", "DataType": "string", "ColumnType": "string"}
        rows = [
            {"ColumnName": name, "ColumnOrdinal": at, "DataType": clr(kind), "ColumnType": kind}
            for at, (name, kind) in enumerate(table.columns.items())
        ]
        return Table(columns, rows)

    def sample_distinct(self, table: Table, depth: int) -> Table:
        size = self.whole()
        self.need("of")
        token = self.peek()
        name = self.name()
        if name not in table.columns:
            self.unknown(name, token)

        def rows() -> Iterator[Row]:
            found: dict[Any, Row] = {}
            for row in table.rows:
                if len(found) >= size:
                    break
                found.setdefault(key(row.get(name)), {name: row.get(name)})
            yield from found.values()

        return Table({name: table.columns[name]}, rows())

    def as_(self, table: Table, depth: int) -> Table:
        self.hints()
        view = Table(table.columns, self.held(table))
        self.views[self.name()] = view
        return view

    def serialize(self, table: Table, depth: int) -> Table:
        """Rows as they are, with further columns if they are given."""
        if self.peek().kind == "end" or self.is_next("|", ")", ";", ",", "}"):
            return table
        return self.extend(table, depth)

    def make_series(self, table: Table, depth: int) -> Table:
        """Take ``aggregate default=value, … on axis from start to end step size by key, …``; each group's arrays."""
        self.hints("kind")
        group = Group(table.columns)
        given: list[tuple[str | None, Expr]] = []
        defaults: list[Any] = []
        while True:
            self.group = group
            name = self.named()
            value = self.expression({})
            self.group = None
            given.append((name, value))
            defaults.append(self.expression({}).get({}) if self.hints_default() else None)
            if not self.take(","):
                break
        self.need("on")
        token = self.peek()
        axis_name = self.named()
        axis = self.expression(table.columns)
        ends = []
        for word in ("from", "to", "step"):
            self.need(word)
            ends.append(self.expression({}))
        start, stop, step = (end.get({}) for end in ends)
        wanted = "timespan" if axis.type in ("datetime", "timespan") else axis.type
        if {ends[0].type, ends[1].type} != {axis.type} or (ends[2].type != wanted and axis.type not in NUMERIC):
            self.semantic("the axis, its ends and its step are of different types.", "SEM0065", token)
        points = _points(start, stop, step)
        if points is None:
            self.semantic("the series has no points, or more than 1048576.", "SEM0219", token)
        keys = self.call_list(table.columns) if self.take("by") else []
        values = self.unique([*keys, *given, (axis_name or axis.name or None, axis)])
        by, folded, last = values[: len(keys)], values[len(keys) : -1], values[-1]
        self.scalar_keys(by)
        columns = {one.name: one.type for one in by} | {one.name: "dynamic" for one in [*folded, last]}

        def rows() -> Iterator[Row]:
            groups: dict[Any, tuple[Row, dict[int, list[Row]]]] = {}
            for row in self.held(table):
                moment = axis.get(row)
                if moment is None or not start <= moment < stop:
                    continue
                found = {one.name: one.get(row) for one in by}
                held = tuple(map(key, found.values()))
                groups.setdefault(held, (found, {}))[1].setdefault(int((moment - start) // step), []).append(row)
            for found, bins in groups.values():
                totals: list[Row | None] = []
                for at in range(len(points)):
                    self.budget.step()
                    members = bins.get(at)
                    totals.append(None if members is None else {hidden: fold(members) for hidden, fold in group.folds})
                series = {
                    one.name: [default if total is None else plain(one.get(total)) for total in totals]
                    for one, default in zip(folded, defaults, strict=True)
                }
                yield found | series | {last.name: list(points)}

        return Table(columns, rows())

    def hints_default(self) -> bool:
        """Take ``default=`` if it comes."""
        if self.is_next("default") and self.peek(1).text == "=":
            self.at += 2
            return True
        return False

    def render(self, table: Table, depth: int) -> Table:
        """How a chart would be drawn, which the API does not do."""
        self.name()
        if self.take("with"):
            self.need("(")
            while not self.take(")"):
                if self.next().kind == "end":
                    self.wrong()
        return table

    def evaluate(self, table: Table, depth: int) -> Table:
        """Plugins are refused, as Azure refuses those that are not enabled."""
        token = self.peek()
        self.semantic(f"Unknown or disabled plugin: '{self.name()[:40]}'.", "SEM0124", token)


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
OPERATORS: dict[str, Callable[[_Statements, Table, int], Table]] = {
    "where": _Statements.where,
    "filter": _Statements.where,
    "take": _Statements.taken,
    "limit": _Statements.taken,
    "sample": _Statements.taken,
    "count": _Statements.count,
    "project": _Statements.project,
    "project-away": _Statements.project_away,
    "project-keep": _Statements.project_keep,
    "project-rename": _Statements.project_rename,
    "project-reorder": _Statements.project_reorder,
    "extend": _Statements.extend,
    "summarize": _Statements.summarize,
    "distinct": _Statements.distinct,
    "sort": _Statements.sort,
    "order": _Statements.sort,
    "top": _Statements.top,
    "union": _Statements.and_union,
    "join": _Statements.join,
    "lookup": _Statements.lookup,
    "mv-expand": _Statements.mv_expand,
    "mvexpand": _Statements.mv_expand,
    "parse": _Statements.parse,
    "parse-where": _Statements.parse_where,
    "getschema": _Statements.getschema,
    "sample-distinct": _Statements.sample_distinct,
    "as": _Statements.as_,
    "serialize": _Statements.serialize,
    "make-series": _Statements.make_series,
    "render": _Statements.render,
    "evaluate": _Statements.evaluate,
}


SERIALIZING = ("sort", "order", "top", "serialize")
KEEPING = (
    *("where", "filter", "take", "limit", "extend", "project", "project-away", "project-keep", "project-rename"),
    *("project-reorder", "parse", "parse-where", "mv-expand", "as"),
)
"""Operators after which rows are in order, and those that keep an order."""


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


def _later(rows: Callable[[], Iterable[Row]]) -> Iterator[Row]:
    yield from rows()


def _marked(table: Table, column_: str, value: str) -> Table:
    """A table with a first column that is the same in every row."""
    return Table({column_: "string", **table.columns}, ({column_: value, **row} for row in table.rows))


def _texts(value: Expr) -> Callable[[Row], str]:
    return lambda row: text(value.get(row))


def _fits(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) if "*" in pattern else name == pattern


def _cast(value: Expr, kind: str) -> Expr:
    """A value as a parameter or a column of this type."""
    if value.type == kind:
        return value
    return Expr(kind, lambda row: convert(value.get(row), kind), value.name, value.constant)


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
