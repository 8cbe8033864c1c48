"""Conditions of role assignments (attribute-based access control, version 2.0): read, refused when malformed, evaluated.

An expression is comparisons and `ActionMatches{…}` joined by AND, OR, NOT and parentheses. An attribute that a request does not
have is absent, and a comparison with something absent is false. Known here are the attributes of role assignments
(`@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId]`, `PrincipalId`, `PrincipalType`, and the same of `@Resource`)
and `@Environment[UtcNow]`; any other is read and always absent, so what depends on it is not permitted.

Source: "Azure role assignment condition format and syntax", "Delegate Azure role assignment management to others with conditions".
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

from .roles import matches
from .scopes import GUID

Test = Callable[["Facts"], bool]

LONGEST = 8 * 1024
DEEPEST = 60


class ConditionError(ValueError):
    """A condition cannot be read; the message says where and what."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a condition is about: the action, and attributes by `(source, name)`, both lower-case, such as
    `("request", "microsoft.authorization/roleassignments:principalid")`."""

    action: str
    attributes: Mapping[tuple[str, str], Any] = field(default_factory=dict)


TOKEN = re.compile(
    rf"""\s*(?:
        (?P<attribute>@(?P<source>[A-Za-z]+)\s*\[(?P<name>[^\]\[]+)\])
      | (?P<text>'(?:[^']|'')*')
      | (?P<guid>{GUID.pattern})
      | (?P<number>-?\d+(?:\.\d+)?(?![\w.]))
      | (?P<word>[A-Za-z]+(?::[A-Za-z]+)?)
      | (?P<sign>&&|\|\||[!(){{}},])
      | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
SOURCES = ("request", "resource", "principal", "environment")
QUANTIFIERS: dict[str, tuple[Callable[..., bool], Callable[..., bool]]] = {
    "foranyofanyvalues": (any, any),
    "forallofanyvalues": (all, any),
    "foranyofallvalues": (any, all),
    "forallofallvalues": (all, all),
}


def _text(test: Callable[[str, str], bool], *, fold: bool) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        if not isinstance(left, str) or not isinstance(right, str):
            return False
        return test(left.lower(), right.lower()) if fold else test(left, right)

    return compare


def like(text: str, pattern: str) -> bool:
    """Whether a text fits a pattern in which `*` is any run of characters and `?` any one; the time grows with both, no faster."""
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def _number(test: Callable[[float, float], bool]) -> Callable[[Any, Any], bool]:
    return lambda left, right: isinstance(left, float) and isinstance(right, float) and test(left, right)


def _moment(test: Callable[[datetime, datetime], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        try:
            return test(datetime.fromisoformat(left), datetime.fromisoformat(right))
        except (TypeError, ValueError):
            return False

    return compare


ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": lambda left, right: left == right,
    "notequals": lambda left, right: left != right,
    "lessthan": lambda left, right: left < right,
    "lessthanequals": lambda left, right: left <= right,
    "greaterthan": lambda left, right: left > right,
    "greaterthanequals": lambda left, right: left >= right,
}
TEXTS: dict[str, Callable[[str, str], bool]] = {
    "equals": lambda left, right: left == right,
    "startswith": lambda left, right: left.startswith(right),
    "like": like,
}
OPERATORS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "guidequals": ("guid", _text(TEXTS["equals"], fold=True)),
    "guidnotequals": ("guid", _text(ORDERS["notequals"], fold=True)),
    "boolequals": ("bool", lambda left, right: isinstance(left, bool) and left is right),
    "boolnotequals": ("bool", lambda left, right: isinstance(left, bool) and left is not right),
    **{f"numeric{name}": ("number", _number(test)) for name, test in ORDERS.items()},
    **{f"datetime{name}": ("text", _moment(test)) for name, test in ORDERS.items()},
}
for _name, _test in TEXTS.items():
    for _negative in ("", "not"):
        _found = _test if not _negative else (lambda left, right, test=_test: not test(left, right))
        for _ending in ("", "ignorecase"):
            OPERATORS[f"string{_negative}{_name}{_ending}"] = ("text", _text(_found, fold=bool(_ending)))


@lru_cache(1024)
def parse(text: str) -> Test:
    """The test that a condition is.

    Raises:
        ConditionError: when the text is no condition; says where.
    """
    if len(text) > LONGEST:
        raise ConditionError(f"it is longer than {LONGEST} characters")
    reader = _Reader(text)
    test = reader.either(0)
    if reader.kind != "end":
        reader.fail("AND, OR or the end")
    return test


def fulfilled(text: str, facts: Facts) -> bool:
    """Whether a condition holds; one that cannot be read, from a state of before conditions were read, never does."""
    try:
        return parse(text)(facts)
    except ConditionError:
        return False


class _Reader:
    """Recursive descent over the tokens of a condition."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.next_at = text, 0, 0
        self.advance()

    def advance(self) -> None:
        self.at = self.next_at
        found = TOKEN.match(self.text, self.at)
        if found is None:
            self.at += len(self.text[self.at :]) - len(self.text[self.at :].lstrip())
            raise ConditionError(f"at character {self.at + 1} there is something that no condition has")
        self.kind, self.found = found.lastgroup or "end", found
        if found["attribute"] is not None:
            self.kind = "attribute"
        self.value = found[self.kind]
        self.at, self.next_at = found.start(self.kind), found.end()

    def fail(self, expected: str) -> NoReturn:
        found = repr(self.value[:40]) if self.value else "the end"
        raise ConditionError(f"at character {self.at + 1} {expected} is expected, not {found}")

    def taken(self, *words: str) -> bool:
        """Whether the next token is one of these, which is then left behind."""
        if self.kind in ("word", "sign") and self.value.upper() in words:
            self.advance()
            return True
        return False

    def either(self, depth: int) -> Test:
        tests = [self.both(depth)]
        while self.taken("OR", "||"):
            tests.append(self.both(depth))
        return tests[0] if len(tests) == 1 else lambda facts: any(test(facts) for test in tests)

    def both(self, depth: int) -> Test:
        tests = [self.single(depth)]
        while self.taken("AND", "&&"):
            tests.append(self.single(depth))
        return tests[0] if len(tests) == 1 else lambda facts: all(test(facts) for test in tests)

    def single(self, depth: int) -> Test:
        if depth > DEEPEST:
            raise ConditionError("it is nested too deeply")
        if self.taken("NOT", "!"):
            inner = self.single(depth + 1)
            return lambda facts: not inner(facts)
        if self.taken("("):
            test = self.either(depth + 1)
            if not self.taken(")"):
                self.fail("AND, OR or ')'")
            return test
        if self.kind == "word" and self.value.lower() in ("actionmatches", "suboperationmatches"):
            return self.function()
        if self.taken("EXISTS"):
            attribute = self.attribute()
            return lambda facts: attribute(facts) is not None
        return self.comparison()

    def function(self) -> Test:
        name = self.value.lower()
        self.advance()
        patterns = self.values("text")
        if name == "suboperationmatches":
            # Sub-operations are of blob storage, which is not here.
            return lambda facts: False
        return lambda facts: any(matches(pattern, facts.action) for pattern in patterns)

    def comparison(self) -> Test:
        left = self.attribute()
        if self.kind != "word":
            self.fail("an operator, such as StringEquals,")
        prefix, _, name = self.value.rpartition(":")
        known = OPERATORS.get(name.lower())
        if known is None or (prefix and prefix.lower() not in QUANTIFIERS):
            self.fail("an operator, such as StringEquals or ForAnyOfAnyValues:GuidEquals,")
        self.advance()
        kind, compare = known
        outer, inner = QUANTIFIERS[prefix.lower() or "forallofanyvalues"]
        right = self.right(kind, several=bool(prefix))

        def test(facts: Facts) -> bool:
            here, there = left(facts), right(facts)
            if here is None or there is None:
                return False
            ours = here if isinstance(here, list) else [here]
            return bool(ours) and outer(inner(compare(mine, one) for one in there) for mine in ours)

        return test

    def attribute(self) -> Callable[[Facts], Any]:
        if self.kind != "attribute" or self.found["source"].lower() not in SOURCES:
            self.fail("an attribute of @Request, @Resource, @Principal or @Environment")
        key = (self.found["source"].lower(), self.found["name"].strip().lower())
        self.advance()
        return lambda facts: facts.attributes.get(key)

    def right(self, kind: str, *, several: bool) -> Callable[[Facts], list[Any] | None]:
        if self.kind == "attribute":
            attribute = self.attribute()

            def values(facts: Facts) -> list[Any] | None:
                found = attribute(facts)
                return found if found is None or isinstance(found, list) else [found]

            return values
        literal = self.values(kind) if several or self.value == "{" else [self.literal(kind)]
        return lambda facts: literal

    def values(self, kind: str) -> list[Any]:
        """A set in braces, of at least one value."""
        if not self.taken("{"):
            self.fail("'{'")
        found = [self.literal(kind)]
        while self.taken(","):
            found.append(self.literal(kind))
        if not self.taken("}"):
            self.fail("',' or '}'")
        return found

    def literal(self, kind: str) -> Any:
        value, held = self.value, self.kind
        if held == "text":
            value = value[1:-1].replace("''", "'")
        right = {
            "guid": held in ("guid", "text") and re.fullmatch(r"[0-9a-fA-F-]{36}", value) is not None,
            "text": held == "text",
            "number": held == "number",
            "bool": held == "word" and value.lower() in ("true", "false"),
        }
        if not right[kind]:
            self.fail(
                {"guid": "a GUID", "text": "a text in single quotes", "number": "a number"}.get(kind, "true or false")
            )
        self.advance()
        return float(value) if kind == "number" else value.lower() == "true" if kind == "bool" else value
