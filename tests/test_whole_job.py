"""The whole job through the real engine: from YAML to an answered call, and back to nothing."""

import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import local_azure
from entrant.access import monitor
from entrant.rehearsal import Rehearsal
from tests.conftest import Project

SUBSCRIPTION = "/subscriptions/0c8a3f5e-1111-4222-8333-444455556666"
WORKSPACE = f"{SUBSCRIPTION}/resourceGroups/rg-job/providers/Microsoft.OperationalInsights/workspaces/law-job"
MACHINE = f"{SUBSCRIPTION}/resourceGroups/rg-job/providers/Microsoft.Compute/virtualMachines/vm-job"
READER = f"""\
apps:
  log-reader:
    display_name: Log reader (job)
    secret: {{every: 90d, overlap: 7d}}
    roles:
      - {{role: Reader, scope: {WORKSPACE}}}
"""
WRITER = f"""\
  metrics-writer:
    display_name: Metrics writer (job)
    secret: {{every: 90d, overlap: 7d}}
    roles:
      - {{role: Monitoring Metrics Publisher, scope: {MACHINE}}}
"""


def changes(output: str) -> dict[str, int]:
    """The resource counts that `pulumi` prints at the end."""
    return {
        kind: int(count)
        for count, kind in re.findall(r"^\s+(?:[+~-]+ )?(\d+) ([a-z]+)", output.split("Resources:")[-1], re.M)
    }


def let_roles_work_after_a_refusal(rehearsal: Rehearsal, ended: threading.Event) -> None:
    """End the delays of secrets and roles once one of each was refused for it, however slow this machine is."""
    while not ended.wait(0.2):
        with contextlib.suppress(local_azure.LocalAzureError, OSError):
            azure = local_azure.find(rehearsal.azure)
            refused = {one["status"] for one in azure.requests()} if azure else set()
            if azure and 401 in refused:
                azure.admin("PATCH", "settings", {"propagation": {"secrets": 0}})
            if azure and 403 in refused:
                azure.set_propagation(0)
                return


@pytest.fixture(scope="module")
def up(project: Project) -> dict[str, Any]:
    """A rehearsal of both apps, and its summary."""
    project.write("job", READER + WRITER)
    ended = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(let_roles_work_after_a_refusal, project.rehearsal("job"), ended)
        try:
            done = project.entrant("rehearse", "job", "--json", "--propagation", "600")
        finally:
            ended.set()
        watching.result()
    assert done.returncode == 0, done.stderr
    assert "✓ pulumi up: 11 created" in done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    print(f"plugins: {summary['plugins']}")
    return summary


def test_one_command_ends_in_a_query_and_a_metric_that_are_answered(up: dict[str, Any]) -> None:
    assert up["changes"] == {"create": 11}
    assert up["apps"]["log-reader"]["grants"] == [{"role": "Reader", "scope": WORKSPACE}]
    assert up["apps"]["log-reader"]["queries"][0]["rows"] >= 1
    assert up["apps"]["metrics-writer"]["metrics"][0]["status"] == "accepted"
    assert set(up["plugins"]) == {"azuread", "azure-native"}
    assert all(step["seconds"] >= 0 for step in up["steps"])


def test_a_new_role_takes_its_time_and_the_rehearsal_waits_for_it(up: dict[str, Any]) -> None:
    tries = [use["tries"] for app in up["apps"].values() for use in (*app["queries"], *app["metrics"])]
    assert max(tries) > 1


def test_a_second_rehearsal_changes_nothing(project: Project, up: dict[str, Any]) -> None:
    done = project.entrant("rehearse", "job", "--json")
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert again["changes"] == {"same": 11}
    assert again["apps"] == {
        name: app | {kind: [use | {"tries": 1} for use in app[kind]] for kind in ("queries", "metrics")}
        for name, app in up["apps"].items()
    }


def test_pulumi_itself_sees_no_change(project: Project, up: dict[str, Any]) -> None:
    for arguments in (["preview", "--diff"], ["refresh", "--yes"], ["up", "--yes"]):
        done = project.pulumi("job", *arguments, "-s", "job")
        assert done.returncode == 0, done.stdout
        assert changes(done.stdout) == {"unchanged": 11}, (arguments, done.stdout)


def test_the_printed_settings_lead_a_plain_shell_to_the_rehearsal(project: Project, up: dict[str, Any]) -> None:
    """`eval "$(… --env)"`, then a token and nothing else."""
    script = f'eval "$({sys.executable} -m entrant rehearse job --env)" && {sys.executable} -m entrant token -s job log-reader logs'
    env = project.environ() | {"ARM_CLIENT_ID": "somebody-else", "PULUMI_BACKEND_URL": "file:///nowhere"}
    done = subprocess.run(["bash", "-c", script], cwd=project.root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", done.stdout)
    assert done.stderr == ""


def settings(project: Project) -> dict[str, str]:
    rehearsal = project.rehearsal("job")
    return rehearsal.settings(local_azure.start(rehearsal.azure))


def test_the_two_calls_of_the_helper_are_answered(project: Project, up: dict[str, Any]) -> None:
    query = project.entrant(
        "logs", "query", "-s", "job", "log-reader", "Heartbeat | count", "--format", "csv", **settings(project)
    )
    assert query.returncode == 0, query.stderr
    assert re.fullmatch(r"Count\n\d+\n", query.stdout)
    metric = project.entrant(
        "metrics", "send", "-s", "job", "metrics-writer", "queue", "7", "-d", "q=mail", **settings(project)
    )
    assert metric.returncode == 0, metric.stderr
    assert metric.stdout == ""


def test_an_app_without_the_role_is_refused_and_told_why(project: Project, up: dict[str, Any]) -> None:
    done = project.entrant(
        "logs", "query", "-s", "job", "metrics-writer", "Heartbeat", "-w", WORKSPACE, **settings(project)
    )
    assert done.returncode == 4
    assert "403 Forbidden: InsufficientAccessError" in done.stderr
    assert "What to do: no effective role lets the caller query this workspace" in done.stderr


def test_a_token_for_another_audience_is_refused_for_a_metric(project: Project, up: dict[str, Any]) -> None:
    import requests

    env = settings(project)
    token = project.entrant("token", "-s", "job", "metrics-writer", "arm", **env).stdout.strip()
    answer = requests.post(
        f"{env['ENTRANT_METRICS_ENDPOINT']}{MACHINE}/metrics",
        json=monitor.metric("queue", 7),
        headers={"Authorization": f"Bearer {token}"},
        verify=env["REQUESTS_CA_BUNDLE"],
    )
    assert answer.status_code in (401, 403)


def everywhere(project: Project, up: dict[str, Any]) -> list[Path]:
    return [path for path in (project.root / ".entrant").rglob("*") if path.is_file()] + [
        path for path in (project.root / "home").rglob("*") if path.is_file()
    ]


def test_no_secret_lies_in_any_file_in_clear(project: Project, up: dict[str, Any]) -> None:
    """Client secrets are in the state encrypted and nowhere else; what must be kept in clear is readable by its owner only."""
    found = json.loads(project.pulumi("job", "stack", "output", "--json", "--show-secrets", "-s", "job").stdout)
    values = [value.encode() for name, value in found.items() if name.endswith("_client_secret")]
    assert len(values) == 2
    files = everywhere(project, up)
    assert [path for path in files if path.name == "state.db"], "the local Azure's database is among them"
    assert [path for path in files if "stacks" in path.parts], "the state is among them"
    for path in files:
        content = path.read_bytes()
        assert not any(value in content for value in values), path
    azure = project.rehearsal("job").azure
    deployer = json.loads((azure / "deployer.json").read_text())["client_secret"].encode()
    for path in files:
        if deployer in path.read_bytes():
            assert path.name == "deployer.json"
    for path in (
        azure / "deployer.json",
        azure / "ca.key",
        azure / "admin.key",
        project.rehearsal("job").folder / "passphrase",
    ):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_nothing_outside_the_project_state_is_touched(project: Project, up: dict[str, Any]) -> None:
    assert not list((project.root / "home").iterdir())
    assert not (project.root / "Pulumi.job.yaml").exists()


def test_a_role_taken_out_of_the_yaml_is_gone_after_up(project: Project, up: dict[str, Any]) -> None:
    project.write(
        "job",
        READER.replace("    roles:\n", "").replace(f"      - {{role: Reader, scope: {WORKSPACE}}}\n", "") + WRITER,
    )
    done = project.pulumi("job", "up", "--yes", "-s", "job")
    assert done.returncode == 0, done.stdout
    assert changes(done.stdout)["deleted"] == 1
    refused = project.entrant(
        "logs", "query", "-s", "job", "log-reader", "Heartbeat", "-w", WORKSPACE, **settings(project)
    )
    assert refused.returncode == 4
    assert "InsufficientAccessError" in refused.stderr


def test_an_app_without_a_secret_is_tried_as_its_federated_credential(project: Project) -> None:
    secretless = "    secret: false\n    federated: [{github: {repository: contoso/obs, environment: dev}}]\n"
    text = READER.replace("    secret: {every: 90d, overlap: 7d}\n", secretless).replace("(job)", "(secretless)")
    project.write("secretless", text)
    done = project.entrant("rehearse", "secretless", "--json", "--propagation", "0")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["apps"]["log-reader"]["queries"][0]["rows"] >= 1
    shown = project.pulumi("secretless", "stack", "output", "-s", "secretless", "--json").stdout
    assert "log_reader_client_secret" not in shown


def test_an_environment_with_problems_makes_nothing(project: Project) -> None:
    project.write("wrong", "apps:\n  one:\n    display_nam: One\n    roles: [{role: Raeder, scope: nowhere}]\n")
    done = project.entrant("rehearse", "wrong")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "config/wrong.yaml:3:5: " in done.stderr
    assert "config/wrong.yaml:4:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not project.rehearsal("wrong").folder.exists()


def test_a_program_with_problems_ends_in_their_list(project: Project, up: dict[str, Any]) -> None:
    """`pulumi preview` runs the same checks and shows no traceback."""
    before = (project.root / "config" / "job.yaml").read_text()
    project.write("job", "apps:\n  one:\n    display_nam: One\n")
    done = project.pulumi("job", "preview", "-s", "job")
    project.write("job", before)
    assert done.returncode != 0
    assert "config/job.yaml:3:5: " in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def leftovers(rehearsal: Rehearsal) -> list[str]:
    """What the stack's apps left in the directory."""
    import requests

    azure = local_azure.start(rehearsal.azure)
    token = requests.post(
        f"{azure.url}/{azure.tenant_id}/oauth2/v2.0/token",
        data={
            "client_id": azure.client_id,
            "client_secret": azure.client_secret,
            "grant_type": "client_credentials",
            "scope": f"{azure.url}/.default",
        },
        verify=str(azure.ca_file),
    ).json()["access_token"]
    listed = requests.get(
        f"{azure.url}/v1.0/applications", headers={"Authorization": f"Bearer {token}"}, verify=str(azure.ca_file)
    ).json()["value"]
    return [app["displayName"] for app in listed if "(job)" in app["displayName"]]


def test_destroy_leaves_nothing(project: Project, up: dict[str, Any]) -> None:
    assert sorted(leftovers(project.rehearsal("job"))) == ["Log reader (job)", "Metrics writer (job)"]
    done = project.pulumi("job", "destroy", "--yes", "-s", "job")
    assert done.returncode == 0, done.stdout
    assert leftovers(project.rehearsal("job")) == []


@pytest.mark.parametrize("after", [0.3, 2.0])
def test_a_killed_rehearsal_goes_on_where_it_was(project: Project, after: float) -> None:
    """Killed with everything it started, a rehearsal ends well the next time."""
    project.write("killed", READER.replace("(job)", "(killed)"))
    command = [sys.executable, "-m", "entrant", "rehearse", "killed", "--propagation", "0"]
    process = subprocess.Popen(
        command, cwd=project.root, env=project.environ(), stderr=subprocess.PIPE, start_new_session=True
    )
    time.sleep(after)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = project.entrant("rehearse", "killed", "--json", "--propagation", "0")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["apps"]["log-reader"]["queries"][0]["rows"] >= 1


@pytest.mark.parametrize("request_", ["POST /addPassword", "PUT /roleAssignments/"])
def test_a_rehearsal_killed_amid_its_up_makes_nothing_twice(project: Project, request_: str) -> None:
    """It writes its state only in the end, and finds what it had made all the same."""
    stack = f"amid-{request_.split('/')[-1].lower()}".rstrip("-")
    project.write(stack, (READER + WRITER).replace("(job)", f"(job) {stack}"))
    rehearsal = project.rehearsal(stack)
    azure = local_azure.start(rehearsal.azure)
    command = [sys.executable, "-m", "entrant", "rehearse", stack, "--propagation", "0"]
    process = subprocess.Popen(
        command, cwd=project.root, env=project.environ(), stderr=subprocess.PIPE, start_new_session=True
    )
    method, path = request_.split()
    while process.poll() is None and not any(
        entry["method"] == method and path in entry["path"] for entry in azure.requests()
    ):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = project.entrant("rehearse", stack, "--propagation", "0")
    assert done.returncode == 0, done.stderr
    assert sorted(leftovers(rehearsal)) == [f"{name} (job) {stack}" for name in ("Log reader", "Metrics writer")]
    secrets = [
        each
        for app in azure.call("GET", "/v1.0/applications")["value"]
        if stack in app["displayName"]
        for each in app["passwordCredentials"]
    ]
    assert len(secrets) == 2
    done = project.entrant("rehearse", stack, "--down")
    assert done.returncode == 0, done.stderr


def test_a_protected_environment_goes_up_and_down_too(project: Project) -> None:
    """On a real tenant `protect` keeps a destroy from deleting; a rehearsal is taken down all the same, faults or not."""
    project.write("guarded", "protect: true\n" + READER.replace("(job)", "(guarded)"))
    done = project.entrant("rehearse", "guarded", "--propagation", "0")
    assert done.returncode == 0, done.stderr
    refused = project.pulumi("guarded", "destroy", "--yes", "-s", "guarded")
    assert refused.returncode != 0
    assert "protect" in refused.stdout + refused.stderr
    azure = local_azure.start(project.rehearsal("guarded").azure)
    azure.admin("PUT", "faults", {"rules": [{"kind": "status", "status": 500}], "seed": 1})
    done = project.entrant("rehearse", "guarded", "--down")
    assert done.returncode == 0, done.stderr
    assert "; 1 fault rule ended" in done.stderr
    assert not project.rehearsal("guarded").folder.exists()


def test_down_in_a_shell_that_has_its_settings_says_how_to_take_them_back(project: Project, up: dict[str, Any]) -> None:
    run = f"{sys.executable} -m entrant rehearse job"
    script = (
        f'set -e; eval "$({run} --env)"; {run} --down; eval "$({run} --env --unset)"\n'
        'echo "$PATH"; echo "$PULUMI_BACKEND_URL"; test -z "${ARM_CLIENT_ID+x}"'
    )
    env = project.environ() | {"PULUMI_BACKEND_URL": "file:///mine"}
    done = subprocess.run(["bash", "-c", script], cwd=project.root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{env['PATH']}\nfile:///mine\n"
    hint = 'This shell still has its settings; take them back: eval "$(python3 -m entrant rehearse job --env --unset)"'
    assert done.stderr.splitlines()[-1] == hint


def test_down_removes_the_rehearsal(project: Project) -> None:
    rehearsal = project.rehearsal("killed")
    assert rehearsal.exists()
    for stack in ("job", "killed"):
        done = project.entrant("rehearse", stack, "--down")
        assert done.returncode == 0, done.stderr
    assert not rehearsal.folder.exists()
    assert not rehearsal.azure.exists()
    assert not rehearsal.folder.with_name("killed.lock").exists()
    again = project.entrant("rehearse", "killed", "--down")
    assert (again.returncode, again.stderr.strip()) == (
        0,
        f"There is no rehearsal in {rehearsal.folder}; nothing was removed.",
    )
