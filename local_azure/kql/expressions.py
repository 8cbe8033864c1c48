"""Typed scalar expressions: read once, then computed row by row."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NoReturn

from local_azure.kql.budget import Budget
from local_azure.kql.functions import (
    AGGREGATES,
    EARLY,
    FUNCTIONS,
    KINDS,
    ORDERED,
    SUMMABLE,
    fold_row,
    percentile,
    regex,
    result_type,
    words,
)
from local_azure.kql.syntax import KqlError, Reader, Token, semantic, unescaped, wrong
from local_azure.kql.values import (
    NUMERIC,
    TYPES,
    Columns,
    Row,
    common,
    convert,
    key,
    order,
    shift,
    text,
    timespan,
    whole,
)

Getter = Callable[[Row], Any]
DEEPEST = 40


@dataclass(frozen=True, slots=True)
class Expr:
    """A typed scalar expression; `name` is what an unnamed column of it is called, empty for ``Column1``."""

    type: str
    get: Getter
    name: str = ""
    constant: bool = False


@dataclass(slots=True)
class Group:
    """What a `summarize` computes over each of its groups: a hidden column for each aggregate in its expressions."""

    columns: Columns
    folds: list[tuple[str, Callable[[list[Row]], Any]]] = field(default_factory=list)
    starred: list[Expr] = field(default_factory=list)
    """What a ``*`` stands for: all columns but those that the groups are made by."""

    def add(self, kind: str, fold: Callable[[list[Row]], Any], name: str) -> Expr:
        """An expression that stands for an aggregate."""
        hidden = f"\0{len(self.folds)}"
        self.folds.append((hidden, fold))
        return Expr(kind, _hidden(hidden), name)


@dataclass(slots=True)
class Window:
    """What an operator computes over all its rows in their order: a hidden column for each window function."""

    serialized: bool
    columns: list[tuple[str, Callable[[list[Row]], list[Any]]]] = field(default_factory=list)

    def add(self, kind: str, compute: Callable[[list[Row]], list[Any]]) -> Expr:
        """An expression that stands for a window function."""
        hidden = f"\1{len(self.columns)}"
        self.columns.append((hidden, compute))
        return Expr(kind, _hidden(hidden))


def _hidden(name: str) -> Getter:
    """A hidden column; refused where a constant is wanted, which has no rows."""

    def read(row: Row) -> Any:
        if name not in row:
            semantic("A constant is expected here, not a value of several rows.", "SEM0001")
        return row[name]

    return read


def literal(kind: str, value: Any) -> Expr:
    """A constant."""
    return Expr(kind, lambda _: value, "", True)


def column(name: str, kind: str) -> Expr:
    """A column of the row."""
    return Expr(kind, lambda row: row.get(name), name)


# Tests of text


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


class Expressions(Reader):
    """Reads expressions; names are columns of the table at hand, then what `let` has given."""

    def __init__(self, query: str, now: datetime, budget: Budget) -> None:
        super().__init__(query, budget)
        self.now = now
        self.scalars: dict[str, Expr] = {}
        self.group: Group | None = None
        self.window: Window | None = None

    # What the statements know (see operators)

    def first_column(self, depth: int) -> list[Any] | None:
        """Take a table in parentheses' place if one comes; the values of its first column."""
        raise NotImplementedError

    def table_value(self, name: str, depth: int) -> Expr:
        """Take the arguments of `toscalar`."""
        raise NotImplementedError

    def user_call(self, name: str, columns: Columns, depth: int) -> Expr | None:
        """Take the arguments of a function that `let` has given, if `name` is one; its value."""
        raise NotImplementedError

    # Names of columns

    def called(self, columns: Columns) -> tuple[str | None, Expr]:
        """An expression and the name that it is given by ``name = …``."""
        given = self.named()
        return given, self.expression(columns)

    def call_list(self, columns: Columns) -> list[tuple[str | None, Expr]]:
        """Expressions between commas, each with its given name."""
        found = [self.called(columns)]
        while self.take(","):
            found.append(self.called(columns))
        return found

    def unique(self, given: list[tuple[str | None, Expr]]) -> list[Expr]:
        """Expressions under names of their own: given, of their column, or ``Column1``; the same name again gets a number."""
        used: set[str] = set()
        found, count = [], itertools.count(1)
        for name, value in given:
            chosen = name or value.name or f"Column{next(count)}"
            if name is not None and name in used:
                self.semantic(f"A column with the name '{name}' is already declared.", "SEM0030")
            if chosen in used:
                chosen = next(one for at in itertools.count(1) if (one := f"{chosen}{at}") not in used)
            used.add(chosen)
            found.append(replace(value, name=chosen))
        return found

    # Expressions

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

    def _test(self, columns: Columns, depth: int) -> Expr:
        left = self._sum(columns, depth)
        token = self.peek()
        if token.kind not in ("mark", "name"):
            return left
        name = {"notcontains": "!contains", "containscs": "contains_cs", "notcontainscs": "!contains_cs"}.get(
            token.text, token.text
        )
        if name in COMPARISONS:
            self.next()
            return self._compared(name, left, self._sum(columns, depth), token)
        if name in ("=~", "!~") or name in STRING_TESTS:
            self.next()
            return self._tested(name, left, self._sum(columns, depth), token)
        if name == "matches" and self.peek(1).text == "regex":
            self.at += 2
            return self._matches(left, self._sum(columns, depth))
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

    def _tested(self, name: str, left: Expr, right: Expr, token: Token) -> Expr:
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
        low = self._sum(columns, depth + 1)
        self.need("..")
        high = self._sum(columns, depth + 1)
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

    def _sum(self, columns: Columns, depth: int) -> Expr:
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
            value = _part(value, part)
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

    def unknown(self, name: str, token: Token | None = None) -> NoReturn:
        """Refuse a name that is no column."""
        self.semantic(f"Failed to resolve scalar expression named '{name[:100]}'", token=token)

    # Calls

    def _called(self, token: Token, columns: Columns, depth: int) -> Expr:
        name = token.text
        if name in TYPES and name != "string":
            return self.typed_literal(name)
        if name == "toscalar":
            return self.table_value(name, depth)
        if name in AGGREGATES or name in _FOLDS:
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
        return _plain(self._signed({}, DEEPEST).get({}))

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
            return Expr("dynamic", lambda row: {one: _plain(row.get(one)) for one in columns})
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

    def _miscounted(self, name: str, fewest: int, most: int, got: int, token: Token) -> NoReturn:
        wanted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        self.semantic(f"{name}(): function expects {wanted} argument(s), got {got}.", "SEM0219", token)

    # Aggregates

    def aggregate(self, name: str, token: Token) -> Expr:
        """Take the arguments of an aggregate that gives one column; what stands for it in the summarized row."""
        group = self.group
        assert group is not None, "the caller has looked"
        if name in _FOLDS:
            found = self.folds(name, token)
            if len(found) != 1:
                self.semantic(
                    f"{name}() gives {len(found)} columns and cannot be a part of an expression.", "SEM0219", token
                )
            return found[0][1]
        arguments = self._arguments(group)
        aggregate = AGGREGATES[name]
        if not aggregate.fewest <= len(arguments) <= aggregate.most:
            self._miscounted(name, aggregate.fewest, aggregate.most, len(arguments), token)
        for at, argument in enumerate(arguments):
            self._checked(name, at, aggregate.kind(at), argument, token)
        first = arguments[0] if arguments else None
        kind = aggregate.gives
        if first is not None and kind in ("same", "sum", "avg"):
            kind = {"same": first.type, "sum": "long" if first.type == "int" else first.type}.get(
                kind, first.type if first.type == "timespan" else "real"
            )
        test = arguments.pop(aggregate.takes.replace("?", "").index("b")).get if aggregate.conditional else None
        getters, run, weigh = [argument.get for argument in arguments], aggregate.run, self.budget.weigh

        def fold(rows: list[Row]) -> Any:
            held = rows if test is None else [row for row in rows if test(row) is True]
            if not getters:
                return run(held)
            return weigh(run(*[[get(row) for row in held] for get in getters]), name)

        title = first.name if first is not None else ""
        return group.add(kind, fold, f"{aggregate.prefix}_{title}" if aggregate.prefix else title)

    def _arguments(self, group: Group) -> list[Expr]:
        self.need("(")
        self.group = None  # an aggregate in an aggregate is refused
        arguments: list[Expr] = []
        while not self.is_next(")"):
            arguments.append(self.expression(group.columns, 1))
            if not self.take(","):
                break
        self.need(")")
        self.group = group
        return arguments

    def _checked(self, name: str, at: int, letter: str, argument: Expr, token: Token) -> None:
        wanted = {"o": (ORDERED, "orderable"), "u": (SUMMABLE, "summable"), **KINDS}.get(letter)
        if wanted is not None and argument.type not in wanted[0]:
            self.semantic(
                f"{name}(): argument #{at + 1} is expected to be {wanted[1]}, not {argument.type}.", "SEM0219", token
            )

    def folds(self, name: str, token: Token) -> list[tuple[str | None, Expr]]:
        """Take the arguments of an aggregate that gives several columns; each with its given name."""
        group = self.group
        assert group is not None, "only called in summarize"
        if name in ("percentile", "percentiles", "percentiles_array"):
            return self._percentiles(name, group, token)
        self.need("(")
        self.group = None
        given: list[tuple[str | None, Expr]] = []
        stars: list[bool] = []
        while not self.is_next(")"):
            if self.take("*"):
                taken = {value.name for _, value in given[:1]} if name.startswith("arg") else set()
                given += [(None, column(one, kind)) for one, kind in group.columns.items() if one not in taken]
            else:
                given.append(self.called(group.columns))
                stars += [False] * (len(given) - len(stars))
            stars += [True] * (len(given) - len(stars))
            if not self.take(","):
                break
        self.need(")")
        self.group = group
        if not given:
            self._miscounted(name, 1, 64, 0, token)
        made: list[tuple[str | None, Expr]] = []
        if name in ("any", "take_any"):
            for title, value in given:
                shown = f"any_{value.name}" if name == "any" and value.name else value.name
                made.append((title, group.add(value.type, _first(value.get), shown)))
        else:
            best = given[0][1]
            self._checked(name, 0, "o", best, token)
            largest = best.name or ("max_" if name == "arg_max" else "min_")
            for at, (title, value) in enumerate(given):
                shown = value.name or (f"{largest}_arg{at}" if at else largest)
                made.append((title, group.add(value.type, _picked(best.get, value.get, name == "arg_max"), shown)))
        group.starred += [value for (_, value), star in zip(made, stars, strict=True) if star]
        return made

    def _percentiles(self, name: str, group: Group, token: Token) -> list[tuple[str | None, Expr]]:
        arguments = self._arguments(group)
        if len(arguments) < 2 or (name == "percentile" and len(arguments) != 2):
            self._miscounted(name, 2, 2 if name == "percentile" else 64, len(arguments), token)
        value, shares = arguments[0], [argument.get({}) for argument in arguments[1:]]
        self._checked(name, 0, "q", value, token)
        if not all(argument.constant and argument.type in NUMERIC for argument in arguments[1:]):
            self.semantic(f"{name}(): the percentiles must be constant numbers.", "SEM0219", token)
        kind = "long" if value.type == "int" else value.type

        def at(share: Any) -> Callable[[list[Row]], Any]:
            return lambda rows: percentile([value.get(row) for row in rows], share)

        if name == "percentiles_array":

            def every(rows: list[Row]) -> Any:
                return [_plain(at(share)(rows)) for share in shares]

            return [(None, group.add("dynamic", every, f"percentiles_{value.name}"))]
        return [
            (None, group.add(kind, at(share), f"percentile_{value.name}_{text(share).replace('.', '_')}"))
            for share in shares
        ]


_FOLDS = ("arg_max", "arg_min", "any", "take_any", "percentile", "percentiles", "percentiles_array")


_WINDOWS = {"row_number": (0, 2), "row_cumsum": (1, 2), "prev": (1, 3), "next": (1, 3)}
"""Window function → the fewest and the most arguments it takes."""


def _running(rows: list[Row], get: Getter, again: Getter) -> list[Any]:
    total, found = None, []
    for row in rows:
        value = get(row)
        total = value if total is None or again(row) is True else arithmetic("+", total, value)
        found.append(total)
    return found


def is_fold(name: str) -> bool:
    """Whether an aggregate may give several columns."""
    return name in _FOLDS


def _plain(value: Any) -> Any:
    return text(value) if isinstance(value, datetime | timedelta) else value


def _picked(best: Getter, get: Getter, largest: bool) -> Callable[[list[Row]], Any]:
    def fold(rows: list[Row]) -> Any:
        row = fold_row(rows, best, largest)
        return None if row is None else get(row)

    return fold


def _first(get: Getter) -> Callable[[list[Row]], Any]:
    return lambda rows: next((value for row in rows if (value := get(row)) is not None), None)


def arithmetic(operator: str, a: Any, b: Any) -> Any:
    """``a operator b``; null where it has no value. Whole numbers are divided towards zero, a remainder is never negative."""
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
                if isinstance(a, int) and isinstance(b, int):
                    result = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
                else:
                    result = a / b
            case _:
                result = a % abs(b)
    except (TypeError, ZeroDivisionError, OverflowError):
        return None
    if isinstance(result, bool | str | list | dict):
        return None
    if isinstance(result, float):
        return convert(result, "real")
    return result if not isinstance(result, int) or -(1 << 63) <= result < 1 << 63 else None


def _part(value: Expr, part: Expr) -> Expr:
    def read(row: Row) -> Any:
        held, name = value.get(row), part.get(row)
        if isinstance(held, dict) and isinstance(name, str):
            return held.get(name)
        if isinstance(held, list) and isinstance(name, int) and -len(held) <= name < len(held):
            return held[name]
        return None

    title = f"{value.name}_{text(part.get({}))}" if part.constant and value.name else ""
    return Expr("dynamic", read, title, value.constant and part.constant)
