"""Every regular expression of the project takes time in proportion to its text: none can be made to run for minutes.

Each is read from the source and given texts that drive it into its repeats: what comes before a repeat, what fits it a great many
times, and an end that does not fit. The limit is of processor time, which other processes on the machine do not use up.
"""

from __future__ import annotations

import ast
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from entrant.facts import unsafe_text

ROOT = Path(__file__).parents[1]
FOLDERS = ("entrant", "local_azure", "components", "policy")
LENGTH = 60_000
SECONDS = 0.5
"""A pattern that goes over its text again for every character takes many times this, one that goes over it once a thousandth."""
CALLS = ("match", "fullmatch", "search", "split", "sub", "findall", "finditer", "subn")
CANDIDATES = " a0.,/'\"-@:(\\\n"
ENDS = ("", "\0", " ")
OWN = ("entrant/facts/errors.py",)
"""Modules that read a file of the package itself."""


def patterns() -> dict[str, tuple[str, int, set[str]]]:
    """Every literal pattern of the source: where it is → the pattern, its flags, and what is called of it."""
    found: dict[str, tuple[str, int, set[str]]] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.relative_to(ROOT).as_posix() in OWN:
                continue
            text = path.read_text("utf-8")
            tree = ast.parse(text)
            for node in ast.walk(tree):
                if not isinstance(node, ast.Call) or not node.args or (call := _called(node.func)) is None:
                    continue
                pattern = node.args[0]
                if not isinstance(pattern, ast.Constant) or not isinstance(pattern.value, str):
                    continue
                flags = sum(
                    getattr(re, name)
                    for name in ("IGNORECASE", "DOTALL", "MULTILINE", "ASCII", "VERBOSE")
                    if f"re.{name}" in ast.unparse(node)
                )
                called = {call} - {"compile"}
                if not called:
                    name = next((_name(one) for one in ast.walk(tree) if getattr(one, "value", None) is node), "")
                    called = {attr for attr in CALLS if name and f"{name}.{attr}(" in text} or {"match"}
                found[f"{path.relative_to(ROOT)}:{node.lineno}"] = (pattern.value, flags, called)
    return found


def _called(function: ast.expr) -> str | None:
    """Which function of `re` is called, or `None`."""
    if isinstance(function, ast.Attribute) and ast.unparse(function.value) == "re":
        return function.attr if function.attr in (*CALLS, "compile") else None
    return None


def _name(node: ast.AST) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return target.id if isinstance(target, ast.Name) else ""


def hostile(pattern: str, flags: int) -> Iterator[str]:
    """Texts that drive a pattern into each of its repeats."""
    for before, unit in _repeats(re._parser.parse(pattern, flags), "", {}):  # type: ignore[attr-defined]
        yield from (before + unit * (LENGTH // len(unit)) + end for end in ENDS)
        yield (before + unit) * (LENGTH // len(before + unit))


def _repeats(tree: Any, before: str, groups: dict[int, str]) -> Iterator[tuple[str, str]]:
    """For each long repeat of a parsed pattern: a text that leads there, and one that fits it once, in several ways."""
    for kind, value in tree:
        name = str(kind)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            least, most, inner = value
            if int(most) > 100:
                units = {one for one in CANDIDATES if re_fits(inner, one)} or {_example(inner, groups) or "a"}
                yield from ((before, unit) for unit in sorted(units))
            yield from _repeats(inner, before, groups)
            before += _example(inner, groups) * int(least)
            continue
        if name == "SUBPATTERN":
            yield from _repeats(value[-1], before, groups)
        elif name == "BRANCH":
            for one in value[1]:
                yield from _repeats(one, before, groups)
        elif name in ("ASSERT", "ASSERT_NOT"):
            yield from _repeats(value[1], before, groups)
        elif name == "ATOMIC_GROUP":
            yield from _repeats(value, before, groups)
        before += _example([(kind, value)], groups)


def re_fits(inner: Any, character: str) -> bool:
    """Whether a repeat's inside is one character, and this one fits it."""
    if len(inner) != 1:
        return False
    kind, value = inner[0]
    if str(kind) == "SUBPATTERN":
        return re_fits(value[-1], character)
    if str(kind) == "BRANCH":
        return any(re_fits(one, character) for one in value[1])
    return str(kind) in ("IN", "LITERAL", "NOT_LITERAL", "ANY") and _holds(kind, value, character)


def _holds(kind: Any, value: Any, character: str) -> bool:
    name = str(kind)
    if name == "LITERAL":
        return chr(value) == character
    if name == "NOT_LITERAL":
        return chr(value) != character
    if name == "ANY":
        return character != "\n"
    if name == "RANGE":
        return bool(value[0] <= ord(character) <= value[1])
    if name == "CATEGORY":
        short = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}
        category = str(value).removeprefix("CATEGORY_")
        fits = re.match(short[category.removeprefix("NOT_")], character) is not None
        return fits is not category.startswith("NOT_")
    negated = value and str(value[0][0]) == "NEGATE"
    return any(_holds(one[0], one[1], character) for one in value if str(one[0]) != "NEGATE") is not bool(negated)


def _example(tree: Any, groups: dict[int, str]) -> str:
    """A short text that fits a parsed pattern."""
    found = ""
    for kind, value in tree:
        name = str(kind)
        if name == "LITERAL":
            found += chr(value)
        elif name in ("IN", "ANY", "NOT_LITERAL"):
            found += next((one for one in "a0A" + CANDIDATES if _holds(kind, value, one)), "a")
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            found += _example(value[2], groups) * int(value[0])
        elif name == "SUBPATTERN":
            inner = _example(value[-1], groups)
            groups[value[0] or 0] = inner
            found += inner
        elif name == "BRANCH":
            found += _example(value[1][0], groups)
        elif name == "GROUPREF":
            found += groups.get(value, "")
        elif name == "ATOMIC_GROUP":
            found += _example(value, groups)
    return found


class TooSlow(Exception):
    """The time is used up."""


def slow(pattern: str, flags: int, called: set[str]) -> list[str]:
    """What makes a pattern slow: the call, and the text's begin and end."""
    compiled, found = re.compile(pattern, flags), []

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, end)
    try:
        for call in sorted(called):
            for text in dict.fromkeys(hostile(pattern, flags)):
                arguments = ("", text) if call in ("sub", "subn") else (text,)
                signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
                try:
                    result = getattr(compiled, call)(*arguments)
                    list(result) if call == "finditer" else None
                except TooSlow:
                    found.append(f"{call}: {text[:30]!r}…{text[-4:]!r}")
                    break
                finally:
                    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    finally:
        signal.signal(signal.SIGVTALRM, before)
    return found


PATTERNS = patterns() | {
    f"entrant/facts/unsafe_text.py:{name}": (each.pattern, each.flags & ~re.UNICODE, {"sub"})
    for name, each in vars(unsafe_text).items()
    if isinstance(each, re.Pattern)  # they are put together from parts
}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="processor time cannot be limited here")
@pytest.mark.parametrize("where", PATTERNS)
def test_a_pattern_takes_time_in_proportion_to_its_text(where: str) -> None:
    assert slow(*PATTERNS[where]) == [], PATTERNS[where][0]


@pytest.mark.parametrize(
    ("pattern", "call"),
    [
        (r"\s+and\s+", "split"),
        (r"(a+)+b", "match"),
        (r",(?![^(]*\))", "split"),
        (r"[^@\s]+@[^@\s]+\.[^@\s]+", "fullmatch"),
        (r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", "finditer"),
    ],
)
def test_a_slow_pattern_is_found(pattern: str, call: str) -> None:
    """The texts that are tried above find what was slow here once."""
    assert slow(pattern, re.DOTALL, {call})
