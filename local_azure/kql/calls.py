"""Calls of functions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from local_azure.kql.aggregates import Aggregates, is_fold
from local_azure.kql.functions import AGGREGATES, EARLY, FUNCTIONS
from local_azure.kql.signatures import KINDS, result_type
from local_azure.kql.syntax import Token
from local_azure.kql.terms import Expr, Getter, arithmetic, column
from local_azure.kql.values import TYPES, Columns, Row, plain, shift, text

_WINDOWS = {"row_number": (0, 2), "row_cumsum": (1, 2), "prev": (1, 3), "next": (1, 3)}
"""Window function → the fewest and the most arguments it takes."""


def _running(rows: list[Row], get: Getter, again: Getter) -> list[Any]:
    total, found = None, []
    for row in rows:
        value = get(row)
        total = value if total is None or again(row) is True else arithmetic("+", total, value)
        found.append(total)
    return found


class Calls(Aggregates):
    """Reads calls: of aggregates, of functions of a row, and of functions of the rows around."""

    def _called(self, token: Token, columns: Columns, depth: int) -> Expr:
        name = token.text
        if name in TYPES and name != "string":
            return self.typed_literal(name)
        if name == "toscalar":
            return self.table_value(name, depth)
        if name in AGGREGATES or is_fold(name):
            if self.group is None:
                self.semantic(f"Aggregate function '{name}' can only be used in 'summarize'.", "SEM0267", token)
            return self.aggregate(name, token)
        own = self.user_call(name, columns, depth)
        if own is not None:
            return own
        self.need("(")
        if name in ("column_ifexists", "columnifexists"):
            return self._if_exists(columns, depth)
        arguments: list[Expr] = []
        while not self.is_next(")"):
            if self.peek().text == "*" and name == "pack_all":
                self.next()
            else:
                arguments.append(self.expression(columns, depth + 1))
            if not self.take(","):
                break
        self.need(")")
        return self._call(name, arguments, columns, token)

    def _if_exists(self, columns: Columns, depth: int) -> Expr:
        wanted = self.expression({}, depth + 1)
        self.need(",")
        other = self.expression(columns, depth + 1)
        self.need(")")
        name = text(wanted.get({}))
        return column(name, columns[name]) if name in columns else other

    def _call(self, name: str, arguments: list[Expr], columns: Columns, token: Token) -> Expr:
        now = self.now
        if name == "now" and len(arguments) <= 1:
            by = arguments[0].get if arguments else lambda _: timedelta(0)
            return Expr("datetime", lambda row: shift(now, by(row)), constant=True)
        if name == "ago":
            if len(arguments) != 1 or arguments[0].type != "timespan":
                self.semantic("ago(): argument #1 must be a timespan such as 1h.", "SEM0219", token)
            back = arguments[0].get
            return Expr("datetime", lambda row: shift(now, arithmetic("-", timedelta(0), back(row))), constant=True)
        if name == "ingestion_time" and not arguments:
            return Expr("datetime", lambda row: row.get("TimeGenerated"))
        if name == "pack_all" and not arguments:
            return Expr("dynamic", lambda row: {one: plain(row.get(one)) for one in columns})
        if name in _WINDOWS:
            return self._windowed(name, arguments, token)
        function = FUNCTIONS.get(name)
        if function is None:
            self.semantic(f"Unknown function: '{name}'.", "SEM0260", token)
        if not function.fewest <= len(arguments) <= function.most or (name == "case" and len(arguments) % 2 == 0):
            self._miscounted(name, function.fewest, function.most, len(arguments), token)
        kinds = [argument.type for argument in arguments]
        for at, kind in enumerate(kinds):
            letter = (
                "b"
                if name == "case" and at % 2 == 0 and at < len(kinds) - 1
                else "x"
                if name == "case"
                else function.kind(at)
            )
            if letter != "x" and kind not in KINDS[letter][0]:
                text_ = f"{name}(): argument #{at + 1} is expected to be {KINDS[letter][1]}, not {kind}."
                self.semantic(text_, "SEM0219", token)
        type_ = result_type(function, kinds)
        if type_ is None:
            self.semantic(f"{name}(): the arguments cannot be of types {', '.join(kinds)}.", "SEM0219", token)
        getters, run, weigh = [argument.get for argument in arguments], function.run, self.budget.weigh
        if type_ in ("string", "dynamic"):

            def get(row: Row) -> Any:
                return weigh(run(*[one(row) for one in getters]), name)

        else:

            def get(row: Row) -> Any:
                return run(*[one(row) for one in getters])

        if name in EARLY and arguments[EARLY[name][0]].constant:
            at, check = EARLY[name]
            check(text(arguments[at].get({})))
        constant = all(argument.constant for argument in arguments) and name not in ("rand", "new_guid")
        named = arguments[0].name if function.keeps and arguments else ""
        named = f"strlen_{arguments[0].name}" if name == "strlen" and arguments[0].name else named
        return Expr(type_, get, named, constant)

    def _windowed(self, name: str, arguments: list[Expr], token: Token) -> Expr:
        """A function of the rows around, which are in order after `sort` or `serialize` only."""
        fewest, most = _WINDOWS[name]
        if not fewest <= len(arguments) <= most:
            self._miscounted(name, fewest, most, len(arguments), token)
        if self.window is None or not self.window.serialized:
            text_ = f"Function '{name}' cannot be invoked in the current context: the row set must be serialized."
            self.semantic(text_, "SEM0001", token)
        if name == "row_number":
            start = arguments[0].get({}) if arguments else 1
            if not isinstance(start, int):
                self.semantic("row_number(): argument #1 must be a constant number.", "SEM0219", token)
            return self.window.add("long", lambda rows: list(range(start, start + len(rows))))
        value = arguments[0]
        if name == "row_cumsum":
            self._checked(name, 0, "u", value, token)
            again = arguments[1].get if len(arguments) > 1 else lambda _: False
            return self.window.add(value.type, lambda rows: _running(rows, value.get, again))
        by = arguments[1].get({}) if len(arguments) > 1 else 1
        default = arguments[2].get({}) if len(arguments) > 2 else None
        if not isinstance(by, int):
            self.semantic(f"{name}(): argument #2 must be a constant number.", "SEM0219", token)
        step = -by if name == "prev" else by

        def moved(rows: list[Row]) -> list[Any]:
            return [value.get(rows[at + step]) if 0 <= at + step < len(rows) else default for at in range(len(rows))]

        return self.window.add(value.type, moved)
