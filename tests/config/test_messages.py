"""The messages for typical mistakes, whole: each says where, what was found, and the remedy."""

from pathlib import Path

import pytest

import config

from .conftest import Check

FILE = Path(__file__).with_name("mistakes.txt")


def mistakes() -> dict[str, tuple[str, list[str]]]:
    """Name → the file's text and the messages, from `mistakes.txt`."""
    found = {}
    for part in FILE.read_text("utf-8").split("\n## ")[1:]:
        name, *lines = part.splitlines()
        messages = [line.removeprefix("=> ") for line in lines if line.startswith("=> ")]
        text = [line for line in lines if not line.startswith("=> ")]
        while text and not text[-1]:
            text.pop()
        # Braces keep scanners for keys from taking the example for one.
        found[name] = ("".join(f"{line}\n" for line in text).replace("{PRIVATE KEY}", "PRIVATE KEY"), messages)
    return found


MISTAKES = mistakes()


def test_there_are_enough_of_them() -> None:
    assert len(MISTAKES) >= 120


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_with_its_remedy(check: Check, mistake: str) -> None:
    text, messages = MISTAKES[mistake]
    assert messages
    report = check(text, base="apps: {a: {}}\n")
    assert [str(problem).removeprefix("config/dev.yaml:") for problem in report.problems] == messages
    assert (report.environment is None) == any(": error: " in message for message in messages)


def test_a_secret_in_a_file_is_not_repeated(check: Check) -> None:
    text = "apps:\n  a: {client_secret: hunter2, secret: {every: hunter2, starts: hunter2, generation: hunter2}}\n"
    assert "hunter2" not in "".join(map(str, check(text + "  b: {secret: hunter2}\n").problems))


def test_a_missing_file_names_those_there_are(check: Check, tmp_path: Path) -> None:
    check("apps: {a: {}}\n", staging="apps: {a: {}}\n")
    [problem] = config.check("pord", root=tmp_path).problems
    assert str(problem) == "config/pord.yaml: error: there is no such file; there are: dev, staging"
    [problem] = config.check("stagign", root=tmp_path).problems
    assert str(problem) == 'config/stagign.yaml: error: there is no such file; did you mean "staging"?'
