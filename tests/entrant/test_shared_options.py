"""What every command takes: --version, --debug, --quiet, --color, JSON, a stack that is selected, and completion."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from entrant import engine
from tests.conftest import ROOT
from tests.entrant.test_cli import run, walk

SECRET = "a-secret-of-the-test"


@pytest.fixture
def pulumi(tmp_path: Path) -> dict[str, str]:
    """A `pulumi` that has the stack `dev` selected, and notes what it was asked."""
    program = tmp_path / "pulumi"
    program.write_text(
        f"""#!/bin/sh
echo "$*" >> {tmp_path}/asked
case "$*" in
  *--show-name*) echo dev ;;
  *) echo 'error: no passphrase {SECRET}' >&2; exit 3 ;;
esac
"""
    )
    program.chmod(0o755)
    return {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PULUMI_CONFIG_PASSPHRASE": SECRET}


@pytest.fixture
def without() -> dict[str, str]:
    """No stack is selected: there is no login."""
    return {"PULUMI_BACKEND_URL": "", "PULUMI_ACCESS_TOKEN": "", "PULUMI_HOME": "/nowhere"}


def test_version_is_said_without_set_up() -> None:
    done = run("--version")
    assert re.fullmatch(r"entrant \d+\.\d+\.\d+\n", done.stdout) and not done.stderr
    assert run("-v", "--version").stdout == done.stdout


@pytest.mark.parametrize("name", [name for name in walk() if name != "test"])
def test_every_command_takes_the_shared_options_behind_its_name(name: str) -> None:
    taken = {option for parameter in walk()[name].params for option in parameter.opts}
    assert {"-v", "--debug", "-q", "--quiet", "--color"} <= taken


@pytest.mark.parametrize("name", walk())
def test_json_is_asked_for_in_one_way(name: str) -> None:
    """Whatever gives JSON gives it for `--format json`; `--json` is kept beside it, and not shown."""
    options = [parameter for parameter in walk()[name].params if isinstance(parameter, click.Option)]
    forms = [option for option in options if "--format" in option.opts]
    flags = [option for option in options if "--json" in option.opts]
    assert len(forms) <= 1 and all(flag.hidden and flag.name == "form" for flag in flags)
    gives = any("json" in option.type.choices for option in forms if isinstance(option.type, click.Choice))
    assert gives == bool(flags)


@pytest.mark.parametrize("arguments", [["--json"], ["--format", "json"], ["--format=json", "--json"]])
def test_both_ways_to_ask_for_json_are_one(arguments: list[str]) -> None:
    done = run("validate", *arguments, "dev")
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("arguments", [["-q", "validate", "dev"], ["validate", "dev", "--quiet"]])
def test_quiet_leaves_remarks_out_and_keeps_errors(arguments: list[str]) -> None:
    assert (run(*arguments).stderr, run("validate", "dev").stderr != "") == ("", True)
    done = run(*arguments, "nowhere")
    assert done.returncode == 2 and "there is no such file" in done.stdout


@pytest.mark.parametrize("arguments", [["-v", "expiry"], ["expiry", "--debug"], ["-v", "expiry", "-v"]])
def test_debug_says_what_was_called_once_and_masks_secrets(pulumi: dict[str, str], arguments: list[str]) -> None:
    done = run(*arguments, **pulumi)
    calls = [re.sub(r"\d+ ms", "… ms", line) for line in done.stderr.splitlines() if line.startswith("debug: ")]
    assert calls == [
        "debug: … ms: pulumi stack --show-name",
        "debug: … ms: pulumi stack ended with exit code 0",
        "debug: … ms: pulumi stack output --json --stack dev",
        "debug: … ms: pulumi stack ended with exit code 3",
    ]
    assert done.returncode == 3 and "debug:" not in done.stdout


def test_debug_shows_requests_and_no_token() -> None:
    """A request that nobody answers is shown with its address; what it would carry is not."""
    settings = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": SECRET}
    done = run("token", "logs", "-v", AZURE_AUTHORITY_HOST="https://localhost:9", **settings)
    assert done.returncode != 0 and "localhost:9" in done.stderr
    assert SECRET not in done.stderr


@pytest.mark.parametrize(
    "command", [["expiry"], ["check"], ["wait"], ["drift"], ["review"], ["logs", "query", "a", "b"]]
)
def test_a_command_without_a_stack_uses_the_selected_one_and_says_so(
    pulumi: dict[str, str], tmp_path: Path, command: list[str]
) -> None:
    done = run(*command, **pulumi)
    assert "stack dev, as it is selected; -s names another\n" in done.stderr
    arguments = (tmp_path / "asked").read_text()
    assert "--stack dev" in arguments
    assert "as it is selected" not in run("-q", *command, **pulumi).stderr


def test_a_stack_that_is_named_or_the_variables_of_an_app_come_first(pulumi: dict[str, str], tmp_path: Path) -> None:
    run("expiry", "-s", "prod", **pulumi)
    run("token", "logs", AZURE_CLIENT_ID="c", **pulumi)
    arguments = (tmp_path / "asked").read_text() if (tmp_path / "asked").exists() else ""
    assert "--show-name" not in arguments


@pytest.mark.parametrize("command", [["doctor"], ["expiry"], ["check"], ["hold", "--", "true"]])
def test_without_any_stack_the_remedy_is_said(without: dict[str, str], command: list[str]) -> None:
    done = run(*command, **without)
    assert done.returncode == 2
    assert done.stderr.startswith("entrant: which stack?\n  What to do: name it with -s STACK")


@pytest.mark.parametrize(
    ("arguments", "environ", "coloured"),
    [
        ([], {}, False),
        (["--color", "always"], {}, True),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "auto"], {"FORCE_COLOR": "1"}, True),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_written_when_asked_for(arguments: list[str], environ: dict[str, str], coloured: bool) -> None:
    """A review of the YAML alone."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    done = subprocess.run(
        [sys.executable, "-m", "entrant", "review", "-s", "dev", "--no-cloud", "--base", "HEAD", *arguments],
        cwd=ROOT,
        env=kept | environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert ("\x1b[" in done.stdout) == coloured


def completed(*words: str, shell: str = "bash") -> list[str]:
    """What a shell is offered for the last word."""
    environ = {"_ENTRANT_COMPLETE": f"{shell}_complete", "COMP_WORDS": " ".join(["entrant", *words])}
    environ["COMP_CWORD"] = words[-1] if shell == "fish" else str(len(words))
    done = run(**environ)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["review", "-s", "d"], "plain,dev"),
        (["expiry", "--stack", "d"], "plain,dev"),
        (["token", "-s", "d"], "plain,dev"),
        (["validate", "d"], "plain,dev"),
        (["check", "-s", "dev", "log"], "plain,log-reader"),
        (["logs", "query", "log"], "plain,log-reader"),
        (["token", "-s", "dev", "log"], "plain,log-reader"),
        (["token", "-s", "dev", "log-reader", "log"], "plain,logs"),
        (["run", "metr"], "plain,metrics-writer"),
        (["validate", "examples/"], "file,examples/"),
        (["review", "--format", "ma"], "plain,markdown"),
    ],
)
def test_stacks_apps_and_audiences_are_completed(words: list[str], offered: str) -> None:
    assert offered in completed(*words)


def test_an_app_is_not_offered_twice() -> None:
    assert not [word for word in completed("token", "-s", "dev", "log-reader", "log") if word.endswith("log-reader")]


def test_the_selected_stack_is_pulumis_own(pulumi: dict[str, str]) -> None:
    assert engine.selected(environ=pulumi) == "dev"
