"""A rehearsed file: every command that the rehearsal proposes, and every command about its stack, in its shell."""

import json
import subprocess
import sys

import pytest

import local_azure
from tests.conftest import Project
from tests.test_whole_job import MACHINE, WORKSPACE

FILE = "cases/büro/my env.yaml"
TENANT = "7f3d2c1b-0a9e-4d8c-b7a6-5e4f3c2d1b0a"
TEXT = f"""\
tenant: {TENANT}
policy: {{missing-owner: error}}
apps:
  no-secret:
    display_name: No secret (file)
    federated: [{{github: {{repository: contoso/obs, environment: dev}}}}]
    roles:
      - {{role: Reader, scope: {WORKSPACE}}}
  log-reader:
    display_name: Log reader (file)
    secret: {{every: 90d, overlap: 7d}}
    permissions:
      - api: Microsoft Graph  # User.Read.All, User.Read
        application: [df021288-bdef-4463-88db-98f22de89214]
        delegated: [e1fe6dd8-ba31-4d61-89e7-88639da4683d]
        consent: true
      - {{api: Log Analytics API, application: [E8F6E161-84D0-4CD7-9441-2D46EC9EC3D5], consent: true}}  # Data.Read
    roles:
      - {{role: Reader, scope: {WORKSPACE}}}
  writer:
    display_name: Writer (file)
    secret: {{every: 90d, overlap: 7d}}
    roles:
      - {{role: Monitoring Metrics Publisher, scope: {MACHINE}}}
"""


@pytest.fixture(scope="module")
def rehearsed(project: Project) -> str:
    """The words of a rehearsal of the file."""
    path = project.root / FILE
    path.parent.mkdir(parents=True)
    path.write_text(TEXT, "utf-8")
    done = project.entrant("rehearse", FILE, "--json", "--propagation", "0")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stack"] == "my-env"
    return done.stderr


def shell(project: Project, lines: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run lines in one bash, where `python3` is this interpreter."""
    code = "\n".join(["set -e", f'python3() {{ {sys.executable} "$@"; }}', *lines])
    return subprocess.run(
        ["bash", "-c", code],
        cwd=project.root,
        env=project.environ(),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def proposed(output: str) -> list[str]:
    """The commands below "Try next", without the one that takes everything down."""
    return [line.strip() for line in output.partition("Try next:\n")[2].splitlines() if not line.endswith("--down")]


def test_the_local_azure_is_the_files_tenant(project: Project, rehearsed: str) -> None:
    done = shell(project, [proposed(rehearsed)[0], "echo $ARM_TENANT_ID", "pulumi stack output tenant_id -s my-env"])
    assert done.stdout.split() == [TENANT, TENANT], done.stderr


@pytest.mark.parametrize("number", range(4))
def test_each_proposed_command_works(project: Project, rehearsed: str, number: int) -> None:
    lines = [*proposed(rehearsed)[:1], proposed(rehearsed)[number]] if number < 3 else proposed(rehearsed)
    assert len(proposed(rehearsed)) == 3 and "token -s my-env log-reader logs" in proposed(rehearsed)[2]
    done = shell(project, lines)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("validate my-env", 5, "cases/büro/my env.yaml"),
        ("review -s my-env", 5, "missing-owner"),
        ("doctor -s my-env", 0, "create applications"),
        ("drift -s my-env --settle 0", 0, ""),
        ("expiry -s my-env", 0, "my-env: nothing ends within"),
        ("wait -s my-env log-reader", 0, ""),
        ("check -s my-env log-reader", 0, "log-reader"),
        ("local status -s my-env", 0, TENANT),
        ("wait writer --probe write --successes 2", 0, ""),
        ("check writer --probe write", 0, "writer"),
        ("drift -C . -s my-env --settle 0", 0, ""),
        ("doctor -C .", 0, "create applications"),
        ("metrics send writer queue_length 7", 0, ""),
        ("check log-reader", 0, "log-reader"),
        ("expiry", 0, "my-env: nothing ends within"),
        ("doctor", 0, "create applications"),
    ],
)
def test_a_command_about_the_stack_finds_the_file_and_its_policy(
    project: Project, rehearsed: str, command: str, code: int, says: str
) -> None:
    done = shell(project, [proposed(rehearsed)[0], f"python3 -m entrant {command}"])
    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stdout, done.stdout + done.stderr


def test_what_the_rehearsal_the_probes_and_the_helper_sent_has_arrived(project: Project, rehearsed: str) -> None:
    """A metric that is said to be accepted is there: the rehearsal's own, those of `wait` and `check`, and the user's."""
    for command in ("check writer --probe write", "metrics send writer queue_length 7 -d queue=mail"):
        done = shell(project, [proposed(rehearsed)[0], f"python3 -m entrant {command}"])
        assert done.returncode == 0, done.stdout + done.stderr
    azure = local_azure.find(project.rehearsal("my-env").azure)
    assert azure is not None
    found = azure.metrics(MACHINE)
    assert {"rehearsals", "proof", "queue_length"} <= {sample["metric"] for sample in found}, found


def test_the_last_proposed_command_takes_everything_away(project: Project, rehearsed: str) -> None:
    [line] = [line.strip() for line in rehearsed.splitlines() if line.endswith("--down")]
    done = shell(project, [line])
    assert done.returncode == 0, done.stderr
    assert not project.rehearsal("my-env").folder.exists()
