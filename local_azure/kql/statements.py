"""A query: its statements, and pipelines of a source and operators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from local_azure.kql.budget import Budget
from local_azure.kql.definitions import DEEPEST_PIPELINE, Definitions
from local_azure.kql.errors import KqlError, wrong
from local_azure.kql.syntax import Token
from local_azure.kql.tables import Source, Table
from local_azure.kql.terms import Expr, Window
from local_azure.kql.values import Row

MOST_OPERATORS = 200
SERIALIZING = ("sort", "order", "top", "serialize")


KEEPING = (
    *("where", "filter", "take", "limit", "extend", "project", "project-away", "project-keep", "project-rename"),
    *("project-reorder", "parse", "parse-where", "mv-expand", "as"),
)
"""Operators after which rows are in order, and those that keep an order."""


Operator = Callable[["Statements", Table, int], Table]
"""Takes what follows an operator's word; gets the table before the ``|``, and how deep the pipeline is nested."""
Origin = Callable[["Statements", int], Table]
"""Takes what follows a word that a pipeline may begin with."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a pipeline may begin with, and what may follow a ``|``."""

    origins: Mapping[str, Origin]
    operators: Mapping[str, Operator]


class Statements(Definitions):
    """Reads a query."""

    def __init__(self, query: str, source: Source, now: datetime, budget: Budget, words: Words) -> None:
        super().__init__(query, source, now, budget)
        self.words = words
        self.operators = 0

    def query(self) -> Table:
        """The whole query."""
        self.lets()
        table = self.pipeline(0)
        self.take(";")
        if self.peek().kind != "end":
            self.wrong()
        return table

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
        if depth > DEEPEST_PIPELINE:
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
            origin = self.words.origins.get(token.text)
            if origin is not None:
                self.next()
                return origin(self, depth)
            if token.text in ("search", "find", "externaldata", "external_data"):
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
        known = ", ".join(self.words.operators)
        message = f"The operator '{token.text[:40]}' is not one that this local Azure knows; it knows: {known}."
        raise KqlError("SyntaxError", "SYN0001", message, token.at, token.text[:100])

    def operator(self, table: Table, depth: int) -> Table:
        """Take one operator; the table that it makes."""
        token = self.next()
        if token.kind != "name":
            wrong(token.text, token.at)
        run = self.words.operators.get(token.text)
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

    def whole(self) -> int:
        """Take a constant number of rows."""
        token = self.peek()
        value = self.expression({})
        number = value.get({}) if value.constant else None
        if not isinstance(number, int) or isinstance(number, bool):
            wrong(token.text, token.at)
        return max(number, 0)

    def scalar_keys(self, values: list[Expr]) -> None:
        """Refuse dynamic values where rows are told apart or put in order."""
        for value in values:
            if value.type == "dynamic":
                self.semantic(
                    f"'{value.name}' is of a dynamic type, which is not allowed here. Use an explicit cast.", "SEM0023"
                )
