"""Comparisons and tests of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from local_azure.kql.functions.regexes import regex
from local_azure.kql.functions.texts import words
from local_azure.kql.syntax import Token
from local_azure.kql.terms import Expr, Terms, literal
from local_azure.kql.values import NUMERIC, Columns, Row, common, key, order, shift, text


def _has(string: str, term: str) -> bool:
    wanted, string, term = words(term.lower()), string.lower(), term.lower()
    if term not in string:
        return False
    if not wanted:
        return True
    held = words(string)
    return any(held[at : at + len(wanted)] == wanted for at in range(len(held) - len(wanted) + 1))


def _has_cs(string: str, term: str) -> bool:
    wanted = words(term)
    held = words(string)
    if not wanted:
        return term in string
    return term in string and any(held[at : at + len(wanted)] == wanted for at in range(len(held)))


def _folding(test: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
    return lambda string, part: test(string.lower(), part.lower())


def _any_word(test: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
    return lambda string, part: any(test(word, part) for word in words(string))


_PLAIN: dict[str, Callable[[str, str], bool]] = {
    "contains": _folding(lambda string, part: part in string),
    "contains_cs": lambda string, part: part in string,
    "startswith": _folding(str.startswith),
    "startswith_cs": str.startswith,
    "endswith": _folding(str.endswith),
    "endswith_cs": str.endswith,
    "has": _has,
    "has_cs": _has_cs,
    "hasprefix": _folding(_any_word(str.startswith)),
    "hasprefix_cs": _any_word(str.startswith),
    "hassuffix": _folding(_any_word(str.endswith)),
    "hassuffix_cs": _any_word(str.endswith),
}


def _negated(test: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
    return lambda string, part: not test(string, part)


STRING_TESTS = _PLAIN | {f"!{name}": _negated(test) for name, test in _PLAIN.items()}


COMPARISONS = {"==": (0,), "!=": (-1, 1, None), "<>": (-1, 1, None), "<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (1, 0)}


LISTS = ("in", "in~", "!in", "!in~", "has_any", "has_all")


class Comparisons(Terms):
    """Reads what stands between `and` and `or`."""

    def _test(self, columns: Columns, depth: int) -> Expr:
        left = self.operand(columns, depth)
        token = self.peek()
        if token.kind not in ("mark", "name"):
            return left
        name = {"notcontains": "!contains", "containscs": "contains_cs", "notcontainscs": "!contains_cs"}.get(
            token.text, token.text
        )
        if name in COMPARISONS:
            self.next()
            return self._compared(name, left, self.operand(columns, depth), token)
        if name in ("=~", "!~") or name in STRING_TESTS:
            self.next()
            return self.tested(name, left, self.operand(columns, depth), token)
        if name == "matches" and self.peek(1).text == "regex":
            self.at += 2
            return self._matches(left, self.operand(columns, depth))
        if name in LISTS:
            self.next()
            return self._among(name, left, columns, depth)
        if name in ("between", "!between"):
            self.next()
            return self._between(left, columns, depth, wanted=name == "between")
        return left

    def _compared(self, operator: str, left: Expr, right: Expr, token: Token) -> Expr:
        both = {left.type, right.type}
        unlike = len(both) == 2 and not both <= set(NUMERIC) and both != {"bool", "long"} and both != {"string", "guid"}
        if "dynamic" not in both and unlike:
            text_ = f"Cannot compare values of types {left.type} and {right.type}. Try adding explicit casts."
            self.semantic(text_, "SEM0064", token)
        if operator[0] in "<>" and operator != "<>" and both & {"string", "guid"}:
            self.semantic(
                f"Cannot compare values of types {left.type} and {right.type} with '{operator}'.", "SEM0064", token
            )
        wanted = COMPARISONS[operator]
        a, b = left.get, right.get
        if both <= {"string"}:
            return Expr(
                "bool",
                lambda row: order(a(row) or "", b(row) or "") in wanted,
                constant=left.constant and right.constant,
            )
        return Expr("bool", lambda row: order(a(row), b(row)) in wanted, constant=left.constant and right.constant)

    def tested(self, name: str, left: Expr, right: Expr, token: Token) -> Expr:
        for side in (left, right):
            if side.type not in ("string", "dynamic", "guid"):
                self.semantic(f"Operator '{name}': an operand cannot be of type {side.type}.", "SEM0064", token)
        a, b = left.get, right.get
        if name in ("=~", "!~"):
            wanted = name == "=~"
            return Expr("bool", lambda row: (text(a(row)).lower() == text(b(row)).lower()) is wanted)
        test = STRING_TESTS[name]
        return Expr("bool", lambda row: test(text(a(row)), text(b(row))), constant=left.constant and right.constant)

    def _matches(self, left: Expr, right: Expr) -> Expr:
        if right.constant:
            regex(text(right.get({})))
        a, b = left.get, right.get
        return Expr("bool", lambda row: regex(text(b(row))).search(text(a(row))) is not None)

    def _among(self, name: str, left: Expr, columns: Columns, depth: int) -> Expr:
        self.need("(")
        inner = self.first_column(depth)
        values = [literal("dynamic", inner)] if inner is not None else [self.expression(columns, depth + 1)]
        while inner is None and self.take(","):
            values.append(self.expression(columns, depth + 1))
        self.need(")")

        def listed(row: Row) -> Iterator[Any]:
            for value in values:
                held = value.get(row)
                if isinstance(held, list):
                    yield from held
                else:
                    yield held

        if name in ("has_any", "has_all"):
            decide = any if name == "has_any" else all

            def words_in(row: Row) -> bool:
                string = text(left.get(row))
                return decide(self._stepped(_has(string, text(term))) for term in listed(row))

            return Expr("bool", words_in)
        fold, wanted = name.endswith("~"), not name.startswith("!")

        def keyed(value: Any) -> Any:
            return key(value.lower() if fold and isinstance(value, str) else value)

        fixed = {keyed(one) for one in listed({})} if all(value.constant for value in values) else None

        def member(row: Row) -> bool:
            held = fixed if fixed is not None else {keyed(one) for one in listed(row)}
            value = left.get(row)
            return (keyed("" if value is None and left.type == "string" else value) in held) is wanted

        return Expr("bool", member)

    def _stepped(self, value: bool) -> bool:
        self.budget.step()
        return value

    def _between(self, left: Expr, columns: Columns, depth: int, *, wanted: bool) -> Expr:
        self.need("(")
        low = self.operand(columns, depth + 1)
        self.need("..")
        high = self.operand(columns, depth + 1)
        self.need(")")
        if not {left.type, low.type, high.type} & {"dynamic"}:
            ends = {low.type, "datetime" if (low.type, high.type) == ("datetime", "timespan") else high.type}
            if common({left.type, *ends}) is None or left.type in ("string", "bool"):
                kinds = f"{left.type}, {low.type} and {high.type}"
                self.semantic(f"Operator 'between': the operands cannot be of types {kinds}.", "SEM0064")

        def within(row: Row) -> bool:
            value, start, end = left.get(row), low.get(row), high.get(row)
            if isinstance(end, timedelta) and isinstance(start, datetime):
                end = shift(start, end)
            return (order(value, start) in (0, 1) and order(value, end) in (0, -1)) is wanted

        return Expr("bool", within)
