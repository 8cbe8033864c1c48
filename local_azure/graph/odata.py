"""OData query options as Microsoft Graph has them: $filter, $search, $select, $orderby, paging.

Source: Microsoft Graph, "Use the $filter query parameter" and "Advanced query capabilities on Microsoft Entra ID objects". Strings
compare without regard to case.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from entrant.facts.scopes import GUID
from local_azure.directory import INDEXED
from local_azure.graph.errors import bad_request

Doc = dict[str, Any]
Test = Callable[[Doc], bool]
Index = tuple[str, str, list[str]]

TOKEN = re.compile(
    rf"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<guid>{GUID.pattern})"
    r"|(?P<time>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d))|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<name>[A-Za-z_$][\w$.@-]*(?:/[A-Za-z_$][\w$.-]*)*)|(?P<mark>[(),:]))"
)
DEEPEST = 50


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed $filter: `test` decides about an object; `index` narrows what has to be read; `advanced` when Graph demands
    ``ConsistencyLevel: eventual`` and ``$count=true`` for it; `names` are the properties it speaks of."""

    test: Test
    index: Index | None
    advanced: bool
    names: frozenset[str]


def parse_filter(text: str) -> Filter:
    """Read a $filter, or refuse it with a 400."""
    parser = _Parser(text)
    parsed = parser.either(0)
    parser.end()
    return parsed


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        at, text = 0, text.rstrip()
        while at < len(text):
            found = TOKEN.match(text, at)
            if found is None:
                self.fail(f"Syntax error at position {at} in '{text}'.")
            self.tokens.append((str(found.lastgroup), found.group(str(found.lastgroup))))
            at = found.end()
        self.at = 0

    def fail(self, reason: str) -> NoReturn:
        bad_request(f"Invalid filter clause: {reason}", code="BadRequest")

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def next(self) -> tuple[str, str]:
        token = self.peek()
        self.at += 1
        return token

    def take(self, mark: str) -> bool:
        if self.peek()[1].lower() == mark and self.peek()[0] in ("mark", "name"):
            self.at += 1
            return True
        return False

    def need(self, mark: str) -> None:
        if not self.take(mark):
            self.fail(f"'{mark}' expected at token {self.at} in '{self.text}'.")

    def end(self) -> None:
        if self.peek()[0] != "end":
            self.fail(f"Syntax error: '{self.peek()[1]}' was not expected in '{self.text}'.")

    def either(self, depth: int, var: str | None = None) -> Filter:
        if depth > DEEPEST:
            self.fail("the expression is nested too deeply.")
        parts = [self.both(depth, var)]
        while self.take("or"):
            parts.append(self.both(depth, var))
        return _any_of(parts)

    def both(self, depth: int, var: str | None) -> Filter:
        parts = [self.unary(depth, var)]
        while self.take("and"):
            parts.append(self.unary(depth, var))
        return _all_of(parts)

    def unary(self, depth: int, var: str | None) -> Filter:
        if depth > DEEPEST:
            self.fail("the expression is nested too deeply.")
        if self.take("not"):
            inner = self.unary(depth + 1, var)
            return Filter(lambda doc: not inner.test(doc), None, True, inner.names)
        if self.take("("):
            inner = self.either(depth + 1, var)
            self.need(")")
            return inner
        return self.comparison(depth, var)

    def comparison(self, depth: int, var: str | None) -> Filter:
        kind, name = self.next()
        if kind != "name":
            self.fail(f"Syntax error: a property was expected, not '{name}', in '{self.text}'.")
        if self.peek()[1] == "(":
            if name.endswith("/any") or name.endswith("/all"):
                return self.quantified(depth, name, var)
            return self.function(name, var)
        operator = self.next()[1].lower()
        if operator == "in":
            self.need("(")
            values = [self.value()]
            while self.take(","):
                values.append(self.value())
            self.need(")")
            folded = [_fold(value) for value in values]
            path = _path(name, var)
            return Filter(
                lambda doc: _fold(read_path(doc, path)) in folded,
                _index(name, var, "eq", values),
                False,
                _names(name, var),
            )
        if operator not in COMPARE:
            self.fail(f"Syntax error: '{operator}' is not an operator, in '{self.text}'.")
        value, path, compare = self.value(), _path(name, var), COMPARE[operator]
        index = _index(name, var, "eq", [value]) if operator == "eq" else None
        wanted = _fold(value)
        return Filter(
            lambda doc: compare(_fold(read_path(doc, path)), wanted), index, operator == "ne", _names(name, var)
        )

    def function(self, name: str, var: str | None) -> Filter:
        function = name.lower()
        if function not in ("startswith", "endswith"):
            self.fail(f"the function '{name}' is not supported.")
        self.need("(")
        kind, prop = self.next()
        if kind != "name":
            self.fail(f"a property was expected in '{name}'.")
        self.need(",")
        value = self.value()
        self.need(")")
        if not isinstance(value, str):
            self.fail(f"'{name}' takes a string.")
        wanted = self.value() if self.take("eq") else True
        path, part, starts = _path(prop, var), value.lower(), function == "startswith"

        def test(doc: Doc) -> bool:
            held = _fold(read_path(doc, path))
            found = isinstance(held, str) and (held.startswith(part) if starts else held.endswith(part))
            return found is wanted

        index = _index(prop, var, "startswith", [value]) if starts and wanted is True else None
        return Filter(test, index, not starts, _names(prop, var))

    def quantified(self, depth: int, name: str, outer: str | None) -> Filter:
        prop, _, quantifier = name.rpartition("/")
        every = quantifier == "all"
        path = _path(prop, outer)
        self.need("(")
        if self.take(")"):
            return Filter(lambda doc: bool(read_path(doc, path)), None, True, _names(prop, outer))
        kind, var = self.next()
        if kind != "name":
            self.fail(f"a range variable was expected in '{name}'.")
        self.need(":")
        inner = self.either(depth + 1, var)
        self.need(")")

        def test(doc: Doc) -> bool:
            held = read_path(doc, path)
            items = held if isinstance(held, list) else []
            verdicts = (inner.test({"": item}) for item in items)
            return all(verdicts) if every else any(verdicts)

        index = None
        if inner.index is not None and inner.index[0] == "" and not every and prop in INDEXED:
            index = (prop, inner.index[1], inner.index[2])
        return Filter(test, index, inner.advanced, _names(prop, outer))

    def value(self) -> Any:
        kind, text = self.next()
        if kind == "string":
            return text[1:-1].replace("''", "'")
        if kind in ("guid", "time"):
            return text
        if kind == "number":
            return float(text)
        if kind == "name" and text.lower() in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[text.lower()]
        self.fail(f"a value was expected, not '{text}', in '{self.text}'.")


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        if isinstance(left, bool) or isinstance(right, bool) or left is None or right is None:
            return False
        return isinstance(left, str) == isinstance(right, str) and test(left, right)

    return compare


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "gt": _compare(lambda left, right: left > right),
    "ge": _compare(lambda left, right: left >= right),
    "lt": _compare(lambda left, right: left < right),
    "le": _compare(lambda left, right: left <= right),
}


def _path(name: str, var: str | None) -> list[str]:
    parts = name.split("/")
    return ["", *parts[1:]] if var is not None and parts[0] == var else parts


def _names(name: str, var: str | None) -> frozenset[str]:
    first = name.split("/")[0]
    return frozenset() if var is not None and first == var else frozenset({first})


def _index(name: str, var: str | None, operator: str, values: list[Any]) -> Index | None:
    if not all(isinstance(value, str) for value in values):
        return None
    if var is not None and name == var:
        return ("", operator, values)
    return (
        (name, operator, values)
        if var is None and name in (*INDEXED, "id") and (name != "id" or operator == "eq")
        else None
    )


def _all_of(parts: list[Filter]) -> Filter:
    if len(parts) == 1:
        return parts[0]
    found = [one.index for one in parts if one.index is not None]
    index = min(found, key=lambda one: (one[1] != "eq", len(one[2])), default=None)
    return _joined(lambda doc: all(one.test(doc) for one in parts), index, parts)


def _any_of(parts: list[Filter]) -> Filter:
    if len(parts) == 1:
        return parts[0]
    found = [one.index for one in parts if one.index is not None]
    index = None
    if len(found) == len(parts) and len({one[:2] for one in found}) == 1:
        index = (*found[0][:2], [value for one in found for value in one[2]])
    return _joined(lambda doc: any(one.test(doc) for one in parts), index, parts)


def _joined(test: Test, index: Index | None, parts: list[Filter]) -> Filter:
    return Filter(test, index, any(one.advanced for one in parts), frozenset().union(*(one.names for one in parts)))


def read_path(doc: Any, path: list[str], *, fold: bool = False) -> Any:
    """What an object has at a path, or `None`; with `fold` without regard to the case of names."""
    for part in path:
        if fold and isinstance(doc, dict):
            part = next((name for name in doc if name.lower() == part.lower()), part)
        doc = doc.get(part) if isinstance(doc, dict) else None
    return doc


def _fold(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


SEARCH = re.compile(r'"(?P<name>[A-Za-z]+):(?P<words>(?:[^"\\]|\\.)*)"')


def parse_search(text: str) -> Test:
    """Read a $search such as ``"displayName:log"``, several joined by AND or OR, or refuse it with a 400."""
    tests: list[Test] = []
    joined = "AND"
    at = 0
    while at < len(text):
        found = SEARCH.match(text, at)
        if found is None:
            bad_request(
                "Syntax error: '$search' is expected as \"property:value\", joined by AND or OR.", code="BadRequest"
            )
        name, words = found["name"], found["words"].replace('\\"', '"').lower().split()
        tests.append(lambda doc, name=name, words=words: _has(doc.get(name), words))  # type: ignore[misc]
        at = found.end()
        link = re.compile(r"\s+(AND|OR)\s+|\s*\Z").match(text, at)
        if link is None:
            bad_request("Syntax error in '$search'.", code="BadRequest")
        joined, at = link[1] or joined, link.end()
    if joined == "OR":
        return lambda doc: any(test(doc) for test in tests)
    return lambda doc: all(test(doc) for test in tests)


def _has(value: Any, words: list[str]) -> bool:
    """Whether every word starts one of the value's words, as Graph's tokenised search finds it."""
    if not isinstance(value, str):
        return False
    held = re.split(r"[^0-9a-z]+", value.lower()) + value.lower().split()
    return all(any(one.startswith(word) for one in held) for word in words)


def top_of(text: str | None, *, most: int = 999, usual: int = 100) -> int:
    """The page size that $top asks for."""
    if text is None:
        return usual
    if not re.fullmatch(r"\d{1,6}", text) or not 1 <= int(text) <= most:
        bad_request(
            f"Invalid page size specified: '{text[:20]}'. Must be between 1 and {most} inclusive.",
            code="Request_BadRequest",
        )
    return int(text)


def skip_token(text: str | None) -> tuple[str, int]:
    """What a $skiptoken that we gave stands for: ("after", sequence number) or ("skip", how many)."""
    if text is None:
        return "after", 0
    try:
        word, _, number = base64.urlsafe_b64decode(text.encode()).decode().partition(":")
        if word in ("after", "skip") and 0 <= int(number) < 2**62:
            return word, int(number)
    except (binascii.Error, ValueError):
        pass
    bad_request("Invalid skip token.", code="Directory_ExpiredPageToken")


def make_skip_token(word: str, number: int) -> str:
    """The $skiptoken for the next page."""
    return base64.urlsafe_b64encode(f"{word}:{number}".encode()).decode()
