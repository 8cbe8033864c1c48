"""`entrant validate` shows what policy finds, in each format, and says by its exit code how much it matters."""

import json
from pathlib import Path

import pytest

from tests.entrant.test_cli import run

WARNED = "apps: {a: {}}\n"
BROKEN = "policy: {missing-owner: error}\n" + WARNED
MESSAGE = (
    "apps.a: the registration has no owner; name who answers for it under `owners`; `deployer` is whoever runs Pulumi"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "e.yaml"


def test_a_broken_rule_of_severity_error_is_exit_code_5(file: Path) -> None:
    file.write_text(BROKEN, "utf-8")
    done = run("validate", str(file))
    assert (done.returncode, done.stdout) == (5, f"{file}:2:8: error: {MESSAGE}\n")
    assert done.stderr.endswith("1 environment checked, 0 with errors, 1 problem, 1 of them of policy\n")


def test_one_of_severity_warning_is_shown_and_passes(file: Path) -> None:
    file.write_text(WARNED, "utf-8")
    done = run("validate", str(file))
    assert (done.returncode, done.stdout) == (0, f"{file}:1:8: warning: {MESSAGE}\n")


def test_one_that_is_off_is_not_shown(file: Path) -> None:
    file.write_text("policy: {missing-owner: off}\n" + WARNED, "utf-8")
    assert (run("validate", str(file)).stdout, run("validate", str(file)).returncode) == ("", 0)


def test_an_error_in_the_file_itself_is_exit_code_2_whatever_policy_says(file: Path, tmp_path: Path) -> None:
    file.write_text(BROKEN, "utf-8")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("apps: {a: {nonsense: 1}}\n", "utf-8")
    done = run("validate", str(file), str(wrong))
    assert done.returncode == 2
    assert MESSAGE in done.stdout and "unknown key" in done.stdout


def test_json_and_github_name_the_rule(file: Path) -> None:
    file.write_text(BROKEN, "utf-8")
    [problem] = json.loads(run("validate", str(file), "--format", "json").stdout)
    assert problem == {
        "file": str(file),
        "line": 2,
        "column": 8,
        "severity": "error",
        "message": MESSAGE,
        "rule": "missing-owner",
    }
    stdout = run("validate", str(file), "--format", "github").stdout
    assert stdout == f"::error file={file},line=2,col=8,title=missing-owner::{MESSAGE}\n"
