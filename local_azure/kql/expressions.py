"""Scalar expressions: read once, then computed row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from local_azure.kql.calls import Calls
from local_azure.kql.comparisons import Comparisons
from local_azure.kql.errors import KqlError, wrong
from local_azure.kql.syntax import Token, unescaped
from local_azure.kql.terms import DEEPEST, Expr, arithmetic, column, literal, part_of
from local_azure.kql.values import NUMERIC, TYPES, Columns, Row, convert, plain, timespan, whole


class Expressions(Comparisons, Calls):
    """Reads expressions."""

    def expression(self, columns: Columns, depth: int = 0) -> Expr:
        """Take one expression."""
        if depth > DEEPEST:
            self.semantic("The expression is nested too deeply.")
        found = [self._all(columns, depth)]
        while self.take("or"):
            found.append(self._all(columns, depth))
        return found[0] if len(found) == 1 else self._logic(found, either=True)

    def _all(self, columns: Columns, depth: int) -> Expr:
        found = [self._test(columns, depth)]
        while self.take("and"):
            found.append(self._test(columns, depth))
        return found[0] if len(found) == 1 else self._logic(found, either=False)

    def _logic(self, sides: list[Expr], *, either: bool) -> Expr:
        for side in sides:
            if side.type not in ("bool", "dynamic"):
                self.semantic(
                    f"'{'or' if either else 'and'}': the operands must be of type bool, not {side.type}.", "SEM0020"
                )
        getters, decide = [side.get for side in sides], any if either else all
        return Expr(
            "bool", lambda row: decide(get(row) is True for get in getters), constant=all(one.constant for one in sides)
        )

    def operand(self, columns: Columns, depth: int) -> Expr:
        return self._chain(("+", "-"), self._product, columns, depth)

    def _product(self, columns: Columns, depth: int) -> Expr:
        return self._chain(("*", "/", "%"), self._signed, columns, depth)

    def _chain(
        self, operators: tuple[str, ...], part: Callable[[Columns, int], Expr], columns: Columns, depth: int
    ) -> Expr:
        first = part(columns, depth)
        kind, constant, rest = first.type, first.constant, []
        while operator := self.take(*operators):
            token = self.peek(-1)
            right = part(columns, depth)
            kind = self._arithmetic_type(operator, kind, right.type, token)
            constant = constant and right.constant
            rest.append((operator, right.get))
        if not rest:
            return first

        def compute(row: Row) -> Any:
            value = first.get(row)
            for operator, get in rest:
                value = arithmetic(operator, value, get(row))
            return value

        return Expr(kind, compute, constant=constant)

    def _arithmetic_type(self, operator: str, left: str, right: str, token: Token) -> str:
        kinds = (left, right)
        if set(kinds) <= set(NUMERIC):
            return "real" if "real" in kinds else "long"
        if "dynamic" in kinds:
            other = right if left == "dynamic" else left
            if other in ("dynamic", *NUMERIC, "timespan", "datetime"):
                return "long" if other == "int" else other
        elif kinds == ("datetime", "datetime") and operator == "-":
            return "timespan"
        elif (kinds == ("datetime", "timespan") and operator in "+-") or (
            kinds == ("timespan", "datetime") and operator == "+"
        ):
            return "datetime"
        elif kinds == ("timespan", "timespan") and operator in "+-/%":
            return "real" if operator == "/" else "timespan"
        elif (left == "timespan" and right in NUMERIC and operator in "*/") or (
            right == "timespan" and left in NUMERIC and operator == "*"
        ):
            return "timespan"
        self.semantic(f"Operator '{operator}': the operands cannot be of types {left} and {right}.", "SEM0065", token)

    def _signed(self, columns: Columns, depth: int) -> Expr:
        signs, token = [], self.peek()
        while sign := self.take("-", "+"):
            signs.append(sign)
        value = self._member(columns, depth)
        if not signs:
            return value
        if value.type not in (*NUMERIC, "timespan", "dynamic"):
            self.semantic(f"Operator '{signs[0]}': the operand cannot be of type {value.type}.", "SEM0065", token)
        if signs.count("-") % 2 == 0:
            return replace(value, name="")
        zero = timedelta(0) if value.type == "timespan" else 0
        return Expr(value.type, lambda row: arithmetic("-", zero, value.get(row)), constant=value.constant)

    def _member(self, columns: Columns, depth: int) -> Expr:
        value = self._atom(columns, depth)
        for _ in range(DEEPEST):
            if self.take("."):
                part = literal("string", self.name())
            elif value.type == "dynamic" and self.take("["):
                part = self.expression(columns, depth + 1)
                self.need("]")
            else:
                return value
            if value.type != "dynamic":
                self.semantic(f"Failed to resolve scalar expression named '{part.get({})}'")
            value = part_of(value, part)
        self.semantic("The expression is nested too deeply.")

    def _atom(self, columns: Columns, depth: int) -> Expr:
        token = self.next()
        match token.kind:
            case "string":
                return literal("string", unescaped(token.text))
            case "number":
                return self._number(token)
            case "timespan":
                return literal("timespan", timespan(token.text))
            case "name":
                if self.peek().text == "(" and self.peek().kind == "mark":
                    return self._called(token, columns, depth)
                if token.text in ("true", "false"):
                    return literal("bool", token.text == "true")
                return self._column(token.text, columns, token)
        if token.text == "(":
            value = self.expression(columns, depth + 1)
            self.need(")")
            return value
        if token.text == "[" and self.peek().kind == "string" and self.peek(1).text == "]":
            name = unescaped(self.next().text)
            self.next()
            return self._column(name, columns, token)
        wrong(token.text, token.at)

    def _number(self, token: Token) -> Expr:
        if token.text.isdigit() or token.text[:2] in ("0x", "0X"):
            number = (
                whole(token.text) if not token.text.isdigit() else int(token.text) if len(token.text) < 20 else None
            )
            if number is None or number >= 1 << 63:
                wrong(token.text, token.at)
            return literal("long", number)
        return literal("real", convert(token.text, "real"))

    def _column(self, name: str, columns: Columns, token: Token) -> Expr:
        if name in columns:
            return column(name, columns[name])
        if name in self.scalars:
            return self.scalars[name]
        self.unknown(name, token)

    # Literals

    def typed_literal(self, name: str) -> Expr:
        """``datetime(2026-01-01)``, ``timespan(1d)``, ``dynamic([1,2])`` …: what is in the parentheses is no expression."""
        begin = self.peek()
        start = begin.at + 1
        self.need("(")
        nesting = 1
        while nesting:
            token = self.next()
            if token.kind == "end":
                wrong("", token.at)
            nesting += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "mark" else 0
        inside = self.text[start : self.peek(-1).at].strip()
        kind = TYPES[name]
        if inside == "null":
            return literal(kind, None)
        if kind == "dynamic":
            return literal(kind, self._dynamic(inside, begin))
        bare = unescaped(inside) if inside[:1] in ("'", '"') else inside
        value = convert(bare, kind)
        if value is None and bare.lower() not in ("nan", "+inf", "-inf"):
            self.semantic(f"{name}({bare[:40]}) is not a valid {kind} literal.", "SEM0025", begin)
        return literal(kind, value)

    def _dynamic(self, inside: str, begin: Token) -> Any:
        """A dynamic literal: JSON, strings in either quotes, and typed literals for dates."""
        inner = Expressions(inside, self.now, self.budget)
        try:
            value = inner.json()
            if inner.peek().kind == "end":
                return value
        except KqlError as error:
            error.position = -1
        wrong(inside, begin.at)

    def json(self, depth: int = 0) -> Any:
        """Take a value as a dynamic literal writes it."""
        if depth > DEEPEST:
            self.semantic("The value is nested too deeply.")
        if self.take("["):
            items: list[Any] = []
            while not self.take("]"):
                items.append(self.json(depth + 1))
                if not self.is_next("]"):
                    self.need(",")
            return items
        if self.take("{"):
            bag: dict[str, Any] = {}
            while not self.take("}"):
                name = self.next()
                if name.kind != "string":
                    wrong(name.text, name.at)
                self.need(":")
                bag[unescaped(name.text)] = self.json(depth + 1)
                if not self.is_next("}"):
                    self.need(",")
            return bag
        if self.take("null"):
            return None
        token = self.peek(1 if self.is_next("-") else 0)
        typed = token.text in TYPES and token.text != "dynamic" and self.peek(1).text == "("
        if token.kind not in ("string", "number", "timespan") and token.text not in ("true", "false") and not typed:
            self.wrong()
        return plain(self._signed({}, DEEPEST).get({}))
