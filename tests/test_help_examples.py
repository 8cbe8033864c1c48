"""Every example in the help texts is run, as it stands, in a shell with the settings of a rehearsal of `dev`."""

import json
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

import entrant
import local_azure
from tests.conftest import ROOT, Project
from tests.entrant import forges
from tests.entrant.test_cli import walk
from tests.local_azure.conftest import Client

ELSEWHERE = {"move", "rehearse", "revoke", "rotate", "setup", "test"}
"""Run by test_move, test_whole_job, test_rotate and test_bootstrap (its archives are on no machine of a test), and this
very command."""
PROGRAMS = {
    "python3": f'exec {sys.executable} "$@"',
    "curl": """echo '{"error": {"code": "InsufficientAccessError", "message": "no"}}'""",
    "az": "echo 'ERROR: (AuthorizationFailed) The client has no authorization' >&2; exit 1",
    "measure": """echo '{"name": "queue", "value": 3, "dimensions": {"queue": "mail"}}'""",
}
"""What the examples call besides us, in place of what a reader has there."""
EXIT_CODES = {"python3 -m entrant explain -- az role assignment list": 1}
IN_A_JOB = re.compile("entrant (comment|assertion) ")
"""The examples that make sense in a pipeline only."""


def examples() -> list[str]:
    """The example lines of all commands, in the order of the help."""
    return [
        line.strip()
        for name, command in walk().items()
        if name not in ELSEWHERE
        for line in (command.help or "").splitlines()
        if re.search(r"\bpython3 -m entrant\b", line)
    ]


@pytest.fixture(scope="module")
def shell(project: Project) -> dict[str, str]:
    """The variables of a shell in which `dev` is up."""
    done = project.entrant("rehearse", "dev", "--propagation", "0")
    assert done.returncode == 0, done.stderr
    folder = project.root / "bin"
    folder.mkdir()
    for name, script in PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    (project.root / "report.sh").write_text('#!/bin/sh\ntest -n "$TOKEN"\n')
    (project.root / "report.sh").chmod(0o755)
    program = """\
        import os
        assert os.environ["AZURE_CLIENT_ID"] and os.environ["AZURE_CLIENT_SECRET"]
        """
    (project.root / "my_azure_program.py").write_text(textwrap.dedent(program))
    for command in (["init", "-q"], ["add", "config"], ["commit", "-q", "-m", "Start"]):
        who = ["-c", "user.name=A", "-c", "user.email=a@contoso.com"]
        subprocess.run(["git", *who, *command], cwd=project.root, check=True)
    rehearsal = project.rehearsal("dev")
    azure = local_azure.start(rehearsal.azure)
    made = Client(azure).graph("POST", "/applications", {"displayName": "billing-web", "tags": ["prod"]})  # to import
    Client(azure).graph("POST", "/servicePrincipals", {"appId": made["appId"]})
    settings = rehearsal.settings(azure)
    outputs = json.loads(project.pulumi("dev", "stack", "output", "-s", "dev", "--json", "--show-secrets").stdout)
    env = project.environ() | settings
    return env | {
        "PATH": f"{folder}:{env['PATH']}",
        "PULUMI_SKIP_CONFIRMATIONS": "true",
        "AZURE_TENANT_ID": outputs["tenant_id"],
        "AZURE_CLIENT_ID": outputs["log_reader_client_id"],
        "AZURE_CLIENT_SECRET": outputs["log_reader_client_secret"],
    }


@pytest.fixture(scope="module")
def job(project: Project, shell: dict[str, str]) -> Iterator[dict[str, str]]:
    """What the shell of a GitHub Actions job about a pull request has besides."""
    azure = local_azure.start(project.rehearsal("dev").azure)
    with forges.forge() as pull:
        asking = azure.github_settings("repo:contoso/obs:pull_request")
        yield pull.github(project.root) | asking | {"RUNNER_TEMP": str(project.root)}


def test_there_are_examples_to_run() -> None:
    assert len(examples()) > 20


@pytest.mark.parametrize("line", examples())
def test_an_example_of_the_help_runs_as_it_stands(
    project: Project, shell: dict[str, str], job: dict[str, str], line: str
) -> None:
    kind = "fish" if "fish" in line else "bash"
    program = shutil.which(kind)
    if program is None:
        pytest.skip(f"there is no {kind} on this machine")
    before = "python3 -m entrant local start && " if "entrant local" in line else ""
    environ = shell | job if IN_A_JOB.search(line) else shell
    if before:  # else it would be about the rehearsal whose settings the shell has
        environ = {name: value for name, value in shell.items() if name not in local_azure.TRUSTING}
    done = subprocess.run(
        [program, "-c", before + line],
        cwd=project.root,
        env=environ,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if "entrant import" in line:  # else there is a stack that other examples do not think of
        subprocess.run(["git", "clean", "-fdq", "config"], cwd=project.root, check=True)
    assert done.returncode == EXIT_CODES.get(line, 0), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def blocks() -> list[str]:
    """The Python blocks of the README and of the helper's page."""
    pages = [ROOT / "README.md", ROOT / "docs" / "helper.md"]
    return [
        block for page in pages for block in re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    ]


@pytest.mark.parametrize("block", blocks(), ids=range(len(blocks())))
def test_a_python_block_of_the_documentation_runs(project: Project, shell: dict[str, str], block: str) -> None:
    command = [sys.executable, "-W", "error::SyntaxWarning", "-c", block]
    done = subprocess.run(
        command, cwd=project.root, env=shell, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    assert shell["AZURE_CLIENT_SECRET"] not in done.stdout + done.stderr


def test_every_public_function_is_in_the_documentation() -> None:
    page = (ROOT / "docs" / "helper.md").read_text("utf-8")
    functions = [name for name in entrant.__all__ if name[0].islower()]
    assert [name for name in functions if f"entrant.{name}(" not in page] == []
