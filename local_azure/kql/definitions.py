"""What `let` defines: values, tables, functions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from local_azure.kql.budget import Budget
from local_azure.kql.errors import wrong
from local_azure.kql.expressions import Expressions
from local_azure.kql.tables import Source, Table
from local_azure.kql.terms import Expr, cast, literal
from local_azure.kql.values import TYPES, Columns, Row

DEEPEST_PIPELINE = 15


@dataclass(frozen=True, slots=True)
class _Function:
    """A function that `let` gave: parameters, where its body begins, and what was known there."""

    parameters: tuple[tuple[str, str | Columns, Expr | None], ...]
    body: int
    scalars: dict[str, Expr]
    views: dict[str, Table]
    functions: dict[str, _Function]


class Definitions(Expressions):
    """Reads `let` statements, and calls of the functions that they define."""

    def __init__(self, query: str, source: Source, now: datetime, budget: Budget) -> None:
        super().__init__(query, now, budget)
        self.source = source
        self.views: dict[str, Table] = {}
        self.functions: dict[str, _Function] = {}
        self.calls = 0
        """How many functions' bodies are being read, one in another."""

    def starts_table(self, ahead: int = 0) -> bool:
        """Whether what comes is a table, not a value."""
        raise NotImplementedError

    def pipeline(self, depth: int) -> Table:
        """Take a source and its operators."""
        raise NotImplementedError

    def lets(self) -> None:
        """Take ``let …;`` statements, and `set` and `declare`, which change nothing here."""
        names: set[str] = set()
        while self.is_next("let", "set", "declare", "alias", "restrict"):
            if self.next().text != "let":
                while not self.take(";"):
                    if self.next().kind == "end":
                        self.wrong()
                continue
            token = self.peek()
            name = self.name()
            if name in names:
                self.semantic(f"A variable with the name '{name}' has already been declared.", "SEM0031", token)
            names.add(name)
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
        if depth > DEEPEST_PIPELINE * 2:
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
                scalars[parameter] = replace(self.metered(cast(value, kind)), name="")
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
