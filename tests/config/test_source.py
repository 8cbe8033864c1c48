"""YAML as this project reads it: the same meaning in every reader, positions kept, bounded whatever comes."""

import time
from typing import Any

import pytest

from entrant.config.source import MAX_BYTES, Unclear, scalar

from .conftest import Check


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", float("inf")),
        ("2026-11-01", "2026-11-01"),
        ("2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z"),
        ("7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631", "7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631"),
        ("1.2.3", "1.2.3"),
        ("/", "/"),
        ("noon", "noon"),
    ],
)
def test_plain_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: Any) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


@pytest.mark.parametrize(
    "text", ["no", "No", "ON", "off", "y", "N", "0755", "0o17", "0x1F", "0b11", "1_000", "1:30", "190:20:30"]
)
def test_what_yaml_1_1_reads_otherwise_is_no_value(text: str) -> None:
    assert isinstance(scalar(text), Unclear)


def test_the_same_in_quotes_is_text(check: Check) -> None:
    report = check("apps: {a: {display_name: 'no', description: \"0755\"}}\n")
    assert report.environment is not None
    assert (report.environment.apps["a"].display_name, report.environment.apps["a"].description) == ("no", "0755")


def test_anchors_and_aliases_share_values(check: Check) -> None:
    report = check("apps: {a: &x {description: nn, secret: &s {every: 30d}}, b: {secret: *s}, c: *x}\n")
    assert report.environment is not None
    assert report.environment.apps["c"] == report.environment.apps["a"]
    assert report.environment.apps["b"].secret == report.environment.apps["a"].secret


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"apps:\n  a: {description: caf\xe9}\n",
            "config/dev.yaml:2:23: error: byte 0xe9 is not UTF-8; save the file as UTF-8",
        ),
        ("apps: {a: {}}\n".encode("utf-16"), "config/dev.yaml:1:1: error: is UTF-16; save it as UTF-8"),
        (
            b"apps:\n a: {}\0\n",
            "config/dev.yaml:2:7: error: the control character U+0000 cannot stand in YAML; remove it",
        ),
        (
            b"apps: {a: {}}\n\x1b[31m",
            "config/dev.yaml:2:1: error: the control character U+001B cannot stand in YAML; remove it",
        ),
        (
            b"apps: &a [*a]\n",
            "config/dev.yaml:1:11: error: the alias stands inside what it stands for; write the value out",
        ),
        (b"? {a: b}\n: c\n", "config/dev.yaml:1:3: error: a key is text; found a mapping"),
        (b"? [a]\n: c\n", "config/dev.yaml:1:3: error: a key is text; found a list"),
        (b"apps: {a: &x {}, *x : {}}\n", "config/dev.yaml:1:18: error: an alias cannot be a key; write the key out"),
        (b"[" * 100, "config/dev.yaml:1:41: error: nested more than 40 levels deep; nothing here needs that"),
        (b"%YAML 3.0\n---\na: b\n", "config/dev.yaml:1:1: error: not valid YAML: found incompatible YAML document"),
        (b"x" * (MAX_BYTES + 1), "config/dev.yaml: error: is larger than 4 MiB; divide it into several environments"),
    ],
)
def test_what_is_no_yaml_of_ours_is_said_with_its_place(check: Check, data: bytes, message: str) -> None:
    assert [str(problem) for problem in check(data).problems] == [message]


def test_a_byte_order_mark_is_no_text(check: Check) -> None:
    assert check(b"\xef\xbb\xbfapps: {a: {}}\n").problems == ()


def test_columns_count_characters_and_not_bytes(check: Check) -> None:
    [problem] = check('apps: {a: {description: "ünïcödé", protect: 1}}\n').problems
    assert (problem.line, problem.column) == (1, 45)


def bomb() -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    "data",
    [
        bomb(),
        b"defaults: {roles: ["
        + b"{role: Reader, scope: /}, " * 2000
        + b"]}\napps: {"
        + b"".join(b"a%d: {}, " % n for n in range(2000))
        + b"}\n",
        b"apps: {" + b"".join(b"a%d: {x: 1}, " % n for n in range(20000)) + b"}\n",
        b"apps: {a: {roles: [" + b"{role: Reeder, scope: x}, " * 5000 + b"]}}\n",
        b"apps: [" + b"x, " * 300_000 + b"]\n",
        b"apps: " + b"{a: " * 39 + b"\n",
        b"apps: {a: {description: '" + b"x" * 4_000_000 + b"'}}\n",
        b"- " * 1000 + b"\n",
        b"a: [" + b"[" * 30 + b"]" * 30 + b", " + b"{" * 10,
        b"apps: {" + b"? " * 10_000,
    ],
    ids=[
        "alias bomb",
        "defaults times apps",
        "unknown keys",
        "unknown roles",
        "many values",
        "open",
        "huge scalar",
        "dashes",
        "brackets",
        "questions",
    ],
)
def test_anything_ends_in_listed_errors_within_a_second_or_so(check: Check, data: bytes) -> None:
    began = time.process_time()
    report = check(data)
    assert time.process_time() - began < 15, "a second on an idle machine; what grows with the square takes minutes"
    assert report.environment is None
    assert 1 <= len(report.problems) <= 501
