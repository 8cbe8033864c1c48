"""The command line: its help, its documentation, its exit codes, its completion."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from entrant import engine
from entrant.cli import COMMANDS, cli
from entrant.project import SOURCE

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "commands.md").read_text("utf-8")


def walk() -> dict[str, click.Command]:
    """Every command that does something, by its words."""
    found: dict[str, click.Command] = {}
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        if command.hidden:
            continue
        if isinstance(command, click.Group):
            found |= {f"{name} {sub}": each for sub, each in command.commands.items()}
        else:
            found[name] = command
    return found


def run(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    import os

    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "ARM_", "ENTRANT_"))}
    return subprocess.run(
        [sys.executable, "-m", "entrant", *arguments],
        cwd=ROOT,
        env=kept | more,
        capture_output=True,
        text=True,
        input="",
    )


def test_a_command_loads_nothing_that_only_others_need() -> None:
    code = "from entrant.cli import cli; import click, sys; cli.get_command(click.Context(cli), 'validate'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "entrant.commands.validate" in loaded
    assert loaded.isdisjoint({"entrant.rehearsal", "local_azure", "azure.identity", "msal", "pulumi", "requests"})


def test_the_page_of_commands_lists_each_and_no_other() -> None:
    """A row reads `entrant logs query [APP] QUERY`, or `entrant local start\\|stop` for several."""
    rows = re.findall(r"^\| `entrant ([a-z]+(?: [a-z]+(?:\\\|[a-z]+)*)?)", PAGE, re.M)
    listed = [" ".join([*words[:-1], last]) for words in map(str.split, rows) for last in words[-1].split("\\|")]
    assert sorted(listed) == sorted(walk())


def test_help_lists_commands_in_the_order_of_the_page_and_cuts_no_sentence() -> None:
    help_text = click.Context(cli, info_name="entrant", terminal_width=80).get_help()
    shown = re.findall(r"^  ([a-z]+)  +\S", help_text.partition("Commands:")[2], re.M)
    listed = dict.fromkeys(re.findall(r"^\| `entrant ([a-z]+)", PAGE, re.M))
    assert shown == list(listed) == [name for name in COMMANDS if name in listed]
    assert "..." not in help_text.partition("Commands:")[2]


@pytest.mark.parametrize("name", walk())
def test_help_of_a_command_says_what_it_does_and_shows_an_example(name: str) -> None:
    command = walk()[name]
    help_ = command.help or ""
    assert re.search(rf"(python3 -m entrant|\| python3 -m entrant) {name}\b", help_) or name == "test", help_
    for parameter in command.params:
        shown = isinstance(parameter, click.Option) and not parameter.hidden
        if shown and not {"--help", "--format"} & set(parameter.opts):
            assert parameter.help or parameter.metavar or parameter.name in {"namespace"}, parameter.opts


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["token", "logs"], 2, "no credential: AZURE_TENANT_ID, AZURE_CLIENT_ID"),
        (["token", "log-reader", "logs"], 2, '"log-reader" is an app of which stack?'),
        (["token", "--outputs", "/nowhere", "logs"], 2, "/nowhere cannot be read"),
        (["token", "--outputs", "-", "logs"], 2, "standard input is not JSON"),
        (["tokn"], 2, "No such command 'tokn'. Did you mean 'token'?"),
        (["local", "statsu"], 2, "No such command 'statsu'. (Did you mean one of: 'start', 'status'?)"),
        (["token", "--frmat", "raw"], 2, "No such option '--frmat'. Did you mean '--format'?"),
        (["validate", "nowhere"], 2, "1 environment checked, 1 with errors"),
        (["explain", "nothing"], 1, "nothing in it is known"),
        (["explain", "AADSTS99999"], 1, "https://login.microsoftonline.com/error?code=99999"),
    ],
)
def test_a_wrong_call_ends_in_a_sentence_and_its_exit_code(arguments: list[str], code: int, says: str) -> None:
    done = run(*arguments)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    if code == 2 and "token" in arguments:
        assert done.stdout == ""


def test_where_there_is_no_environment_to_check_nothing_is_called_checked(tmp_path: Path) -> None:
    """Such as in a job that runs in another folder than the project's."""
    (tmp_path / "Pulumi.yaml").write_text("name: empty\nruntime: python\n")
    command = [sys.executable, "-m", "entrant", "validate"]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"entrant: there is no environment to check in {tmp_path / 'config'}\n"
        "  What to do: run it in the folder of the project, which has `Pulumi.yaml` and `config/`, or name a file\n"
    )


def test_explain_says_cause_and_next_step_on_standard_output() -> None:
    done = run("explain", "AADSTS7000222", "-s", "dev")
    assert done.returncode == 0
    assert done.stdout.startswith("AADSTS7000222: the client secret has expired\n")
    assert "pulumi up -s dev" in done.stdout


def test_explain_runs_a_command_and_keeps_its_exit_code() -> None:
    done = run("explain", "--", "sh", "-c", "echo AuthorizationFailed >&2; exit 3")
    assert done.returncode == 3
    assert "AuthorizationFailed: no role of the caller allows this" in done.stdout


def test_bash_completes_commands(tmp_path: Path) -> None:
    code = f"""
    eval "$({sys.executable} -m entrant completion bash)"
    COMP_WORDS=(entrant va) COMP_CWORD=1
    _entrant_completion entrant va entrant
    echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "validate", done.stderr


def test_a_failure_of_pulumi_keeps_its_exit_code(tmp_path: Path) -> None:
    program = tmp_path / "pulumi"
    program.write_text("#!/bin/sh\necho 'error: not logged in' >&2\nexit 3\n")
    program.chmod(0o755)
    done = run("expiry", "-s", "dev", PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 3
    assert "pulumi stack ended with exit code 3:\nerror: not logged in" in done.stderr


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("error: PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions", "`pulumi login`"),
        ("error: get stack secrets manager: passphrase must be set with …", "set PULUMI_CONFIG_PASSPHRASE"),
        ("error: no stack named 'dev' found", "`pulumi stack init`"),
        ("error: no Pulumi.yaml project file found (searching upwards from /)", "-C"),
    ],
)
def test_what_keeps_pulumi_from_beginning_has_a_remedy(message: str, remedy: str) -> None:
    error = engine.failure(["preview"], 1, message)
    assert error.next_step is not None and remedy in error.next_step


_EXPORT = """case "$*" in *"stack export"*) echo '{}'; exit ;; esac"""
"""What a `pulumi` of a test answers when it is asked for a state first."""


def test_a_cancelled_job_ends_the_engine_and_leaves_no_folder(tmp_path: Path) -> None:
    """SIGTERM, as CI systems send it, ends Pulumi, and the events it wrote go with it."""
    program, temporary, started = tmp_path / "pulumi", tmp_path / "tmp", tmp_path / "started"
    temporary.mkdir()
    program.write_text(
        f"#!/bin/sh\n{_EXPORT}\n"
        'case "$*" in *"stack tag"*) exit 1;; esac\n'
        f"trap 'echo >{tmp_path}/ended; exit 1' TERM\necho > {started}\nwhile :; do sleep 0.1; done\n"
    )
    program.chmod(0o755)
    (tmp_path / "Pulumi.yaml").write_text("name: x\nruntime: python\n")
    environ = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", "import sys; from entrant.cli import main; sys.exit(main())"]
    with subprocess.Popen([*command, "review", "-s", "dev", "-C", str(tmp_path)], cwd=ROOT, env=environ) as process:
        while not started.exists() and process.poll() is None:
            time.sleep(0.05)
        process.terminate()
        assert process.wait() == 143
    assert (tmp_path / "ended").exists() and not list(temporary.iterdir())


def test_asking_what_the_tests_are_sets_nothing_up_for_them() -> None:
    """`entrant test --help` needs no package of the tests, and is answered by the command, not by pytest."""
    done = subprocess.run(
        [sys.executable, "-m", "entrant", "test", "--help"], cwd=SOURCE, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("Usage: entrant test"), done
    assert "installing" not in done.stderr


def test_a_job_that_is_cancelled_while_the_engine_starts_ends_the_engine_too(tmp_path: Path) -> None:
    """The engine is there, and Python does not know it yet, when SIGTERM comes."""
    program = tmp_path / "pulumi"
    program.write_text(f"#!/bin/sh\n{_EXPORT}\necho $$ > {tmp_path}/started\nwhile :; do sleep 0.1; done\n")
    program.chmod(0o755)
    code = f"""
import os, pathlib, signal, subprocess, time
from entrant import engine
class Slow(subprocess.Popen):
    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        if "export" in arguments[0]:
            return
        while not (pathlib.Path({str(tmp_path)!r}) / "started").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
engine.subprocess.Popen = Slow
signal.signal(signal.SIGTERM, lambda *_: exit(143))
engine.operate(["preview"])
"""
    environ = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environ, timeout=120)
    assert done.returncode == 143
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "started").read_text()), 0)
