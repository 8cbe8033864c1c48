"""Errors explained: every code that is known, found however it is written, and every message of a body."""

import ast
import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from click.testing import CliRunner

import local_azure
from entrant.cli import cli
from entrant.explain import error_text, explain, next_step
from entrant.facts import errors
from local_azure.faults import STATUSES

COMMON = tuple(
    re.findall(
        r"\w+",
        """
        AADSTS7000215 AADSTS7000222 AADSTS700016 AADSTS90002 AADSTS700027 AADSTS700024 AADSTS7000218 AADSTS70021
        AADSTS700211 AADSTS700212 AADSTS700213 AADSTS7002138 AADSTS50034 AADSTS53003 AADSTS500011 AADSTS501051
        AADSTS65001 AADSTS650052 AADSTS650057 AADSTS7000112 AADSTS7000113 AADSTS7000114 AADSTS700223 AADSTS700229
        AADSTS90033 AADSTS90094 AADSTS1000502 SemanticError PartialError Authorization_IdentityNotFound
        DenyAssignmentAuthorizationFailed ForbiddenByFirewall
        """,
    )
)
REFUSING = {
    "refuse",
    "_no",
    "_bad",
    "bad_request",
    "KqlError",
    "fail",
    "no",
    "_no_match",
    "AssertionRefused",
    "_error",
    "semantic",
}
"""The functions of the local Azure that answer with an error."""


def answered() -> Iterator[str]:
    """Every code that the source of the local Azure answers with, plugins and passing failures included."""
    for file in Path(local_azure.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            codes: list[ast.expr] = []
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", "") or getattr(node.func, "attr", "")
                codes += node.args if name in REFUSING else []
                codes += [keyword.value for keyword in node.keywords if keyword.arg in ("code", "inner")]
            elif isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                codes += [value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "code"]
            for constant in (part for value in codes for part in ast.walk(value) if isinstance(part, ast.Constant)):
                if type(constant.value) is int and constant.value > 10_000:
                    yield f"AADSTS{constant.value}"
                elif isinstance(constant.value, str) and re.fullmatch(
                    r"[A-Z][A-Za-z]+(_[A-Za-z]+)*|(SYN|SEM)\d+", constant.value
                ):
                    yield constant.value
    yield from (HTTPStatus(status).phrase.title().replace(" ", "") for status in STATUSES)


def test_every_code_that_the_local_azure_answers_with_is_explained() -> None:
    found = set(answered())
    assert {"AADSTS7002138", "SEM0100", "ForbiddenByRbac", "ServiceUnavailable", "NoBackingApplicationObject"} <= found
    assert sorted(code for code in found if errors.find(code) is None) == []


def test_every_entry_of_the_table_is_read_and_whole() -> None:
    entries = list(errors._read(errors._TABLE))
    names = [name.lower() for name, _ in entries]
    assert len({id(entry) for _, entry in entries}) == errors._TABLE.count("\n  > ") > 150
    assert sorted({name for name in names if names.count(name) > 1}) == []
    for name, entry in entries:
        assert re.fullmatch(r"\w+", name)
        assert entry.cause and entry.remedy and "  " not in entry.cause + entry.remedy, name


@pytest.mark.parametrize(
    "code",
    COMMON,
)
@pytest.mark.parametrize(
    "written",
    [
        "{}",
        "ERROR: ({}) No. Trace ID: 255d1aef-8c98-452f-ac51-23d051240864",
        '{{"error": {{"code": "A", "details": [{{"innererror": {{"code": "{}"}}}}]}}}}',
        '{{"responses": [{{"status": 400, "body": "{{\\"error\\": {{\\"code\\": \\"{}\\"}}}}"}}]}}',
        "az: {{'error': {{'code': '{}'}}}}",
    ],
)
def test_a_code_is_found_in_any_case_wherever_it_stands(code: str, written: str) -> None:
    text = written.format(code)
    expected = [code]
    for form in (text, text.lower(), text.upper(), quote(text), quote_plus(text), quote_plus(quote_plus(text))):
        assert [finding.code for finding in explain(form)] == expected, form


def test_a_plain_word_is_a_code_only_alone_or_where_a_code_stands() -> None:
    assert explain("a conflict of words, forbidden by nobody; HTTP/1.1 403 Forbidden") == []
    assert [finding.code for finding in explain("conflict")] == ["Conflict"]
    assert [finding.code for finding in explain(quote_plus(quote_plus('{"code": "conflict"}')))] == ["Conflict"]
    assert [finding.code for finding in explain("(x) Code: Forbidden")] == ["Forbidden"]
    assert [finding.code for finding in explain('{"error": {"code": "unauthorized"}}')] == ["Unauthorized"]


@pytest.mark.parametrize(
    "text", ["", "{", '{"error_codes": 7}', '{"code": {"code": 3}}', "[" * 100_000, '{"a": null}', "%%%4"]
)
def test_a_text_that_is_no_error_is_not_explained(text: str) -> None:
    assert explain(text) == []


def nested(depth: int) -> dict[str, Any]:
    error: dict[str, Any] = {"code": f"Level{depth}", "message": f"message {depth}."}
    for level in range(depth - 1, 0, -1):
        key = ("innererror", "innerError", "details")[level % 3]
        error = {"code": f"Level{level}", "message": f"message {level}.", key: [error] if key == "details" else error}
    return {"error": error}


def test_an_error_body_is_told_to_its_deepest_level() -> None:
    code, message = error_text(nested(7))
    assert code == "Level1"
    assert message == ": ".join(f"Level{level}: message {level}" for level in range(1, 8)) + "."


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": {"code": "A", "message": "Same.", "details": [{"message": "one"}, {"code": "B", "message": "two"}]}},
         "A", "A: Same: one; B: two"),
        ({"error": {"code": "A", "message": "Same.", "innererror": {"message": "Same."}}}, "A", "A: Same."),
        ({"error": {"code": "Forbidden", "message": "No.", "innererror": {"code": "ForbiddenByRbac"}}},
         "Forbidden", "Forbidden: No: ForbiddenByRbac"),
        ({"error": {"code": "BadRequest", "message": "No.", "innerError": {"date": "2026", "request-id": "1"}}},
         "BadRequest", "BadRequest: No."),
        ({"error": {"code": "E", "message": '{"error": {"code": "F", "message": "inside"}}'}}, "E", "E: F: inside"),
        ({"error": "invalid_client", "error_description": "AADSTS7000215: no. Trace ID: 1"},
         "AADSTS7000215", "AADSTS7000215: no. Trace ID: 1"),
        ({"error": "slow_down"}, "slow_down", "slow_down"),
        ({"odata.error": {"code": "Old", "message": {"lang": "en", "value": "as it was"}}}, "Old", "Old: as it was"),
        ({"Message": "No resource"}, None, "No resource"),
        ({"message": "Failed", "errors": [{"message": "too long"}]}, None, "Failed: too long"),
        ({"error": {"code": "P", "message": "m", "additionalInfo": [{"type": "PolicyViolation"}]}},
         "P", 'P: m: {"type": "PolicyViolation"}'),
        ([1], None, ""), (None, None, ""), ({}, None, ""), ({"error": 7}, None, ""),
    ],
)  # fmt: skip
def test_what_a_body_says_is_told_whole_and_once(body: Any, code: str | None, message: str) -> None:
    assert error_text(body) == (code, message)


def test_the_next_step_is_the_innermost_cause_s() -> None:
    body = {"error": {"code": "Forbidden", "message": "No.", "innererror": {"code": "ForbiddenByRbac"}}}
    step = next_step(json.dumps(body))
    assert step is not None and step.startswith("no role with data actions") and "Key Vault Secrets User" in step


def test_explanations_are_json_for_a_script() -> None:
    """Each with its code, cause, whether to try again, and the next step; an empty list where nothing is known."""
    done = CliRunner().invoke(
        cli, ["explain", "--format", "json", "AADSTS7000215", "and", "AADSTS7000222", "-s", "dev"]
    )
    known = explain("AADSTS7000215 and AADSTS7000222", stack="dev")
    assert json.loads(done.stdout) == [finding._asdict() for finding in known] and len(known) == 2
    done = CliRunner().invoke(cli, ["explain", "--json", "nothing of the kind"], standalone_mode=False)
    assert (json.loads(done.stdout), done.return_value) == ([], 1)


def test_every_line_of_the_table_is_in_what_is_explained() -> None:
    """A line that is indented otherwise would be left out without a word."""
    texts = [f"{each.cause} {each.remedy}" for each in errors.EXPLANATIONS.values()]
    lines = [
        line.strip().removeprefix("> ")
        for line in errors._TABLE.splitlines()
        if re.match(r" +(?!.*\((no|later|once)\))", line)
    ]
    assert [line for line in lines if not any(line in text for text in texts)] == []
