"""The messages for typical mistakes, whole: each says where, what was found, and the remedy."""

from pathlib import Path

import pytest

from entrant import config
from entrant.facts import limits

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
    (tmp_path / "config" / "base.yaml").write_text("apps: {a: {}}\n")
    (tmp_path / "config" / "staging.yaml").write_text("extends: base.yaml\n")
    [problem] = config.check("pord", root=tmp_path).problems
    assert str(problem).endswith("there are: dev, staging"), "what is only extended is no environment"
    [problem] = config.check("stagign", root=tmp_path).problems
    assert str(problem) == 'config/stagign.yaml: error: there is no such file; did you mean "staging"?'


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize(
    ("named", "fault"),
    [
        ("x.json", "ends in neither .yaml nor .yml, as the file of an environment does"),
        ("Dev.YAML", "ends in neither .yaml nor .yml, as the file of an environment does"),
        ("below/dev", "is a folder; name a file in it, or a stack"),
        ("below", "is a folder; name a file in it, or a stack"),
        ("below/dev.yaml", "is a folder; name a file in it, or a stack"),
        ("./none.json", "there is no such file"),
    ],
)
def test_a_path_that_is_no_environments_file_is_named_as_it_was(
    check: Check, tmp_path: Path, named: str, fault: str, absolute: bool
) -> None:
    """Also where a stack is called as the last part of the path, whose file would be another."""
    check("apps: {a: {}}\n")
    for folder in ("below/dev", "below/dev.yaml"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("x.json", "Dev.YAML"):
        (tmp_path / file).write_text("apps: {a: {}}\n")
    path = str(tmp_path / named) if absolute else named
    shown = named if named.endswith(".yaml") else path
    report = config.check(path, root=tmp_path)
    assert [str(problem) for problem in report.problems] == [f"{shown}: error: {fault}"]
    assert report.environment is None


def test_a_stack_is_not_taken_for_the_folder_of_its_name(check: Check, tmp_path: Path) -> None:
    check("apps: {a: {}}\n")
    (tmp_path / "dev").mkdir()
    assert config.check("dev", root=tmp_path).environment is not None


@pytest.mark.parametrize("name", ["de v", "-x", "a;b"])
def test_a_file_whose_name_no_stack_can_have_is_refused(check: Check, tmp_path: Path, name: str) -> None:
    check("apps: {a: {}}\n")
    (tmp_path / "config" / "dev.yaml").rename(tmp_path / "config" / f"{name}.yaml")
    [problem] = config.check(name, root=tmp_path).problems
    assert f'config/{name}.yaml: error: "{name}" is no name of a stack' in str(problem)


def test_a_stack_named_in_full_has_the_environment_of_its_last_part(check: Check, tmp_path: Path) -> None:
    check("apps: {a: {}}\n")
    assert config.load("organization/entrant/dev", root=tmp_path) == config.load("dev", root=tmp_path)


def test_a_stack_that_is_too_large_is_told_and_no_error(check: Check) -> None:
    apps = "".join(f"  app-{number}: {{}}\n" for number in range(limits.STACK_APPS))
    assert check(f"apps:\n{apps}").problems == ()
    report = check(f"apps:\n{apps}  one-more: {{}}\n")
    [problem] = report.problems
    assert str(problem) == (
        "config/dev.yaml:1:1: warning: 301 apps in one stack; past 300 each costs about twice what it does in a stack of "
        "100; `python3 -m entrant move` takes some to another stack (docs/stacks.md)"
    )
    assert report.environment is not None
