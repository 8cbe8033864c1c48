"""`local`: the local Azure by itself, from the command line."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

import local_azure
from entrant.cli import cli
from entrant.errors import ConfigurationError, EntrantError
from tests.conftest import ROOT
from tests.local_azure.conftest import Client

PAGE = ROOT / "docs" / "local.md"


def local(azure: local_azure.LocalAzure | Path, *arguments: str, stdin: str | None = None, **env: str) -> Result:
    """Run `entrant local …` on a state; what it prints."""
    state = azure if isinstance(azure, Path) else azure.state
    command = ["local", *arguments, "--state", str(state)]
    return CliRunner().invoke(cli, command, input=stdin, env=env)


def output_of(azure: local_azure.LocalAzure, *arguments: str, **env: str) -> str:
    """What a command that ends well prints."""
    done = local(azure, *arguments, **env)
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.stdout


def test_identity_is_ready_for_other_clients(azure: local_azure.LocalAzure) -> None:
    """What `identity` prints lets a client be a service principal that has the roles asked for and no other."""
    scope = f"/subscriptions/{azure.subscription_id}/resourceGroups/rg-made"
    printed = json.loads(output_of(azure, "identity", "reporter", "--role", f"Reader={scope}", "--format", "json"))
    assert printed["AZURE_CLIENT_ID"] == printed["ARM_CLIENT_ID"] != azure.client_id
    client = Client(azure, printed["AZURE_CLIENT_ID"], printed["AZURE_CLIENT_SECRET"])
    assert client.arm("GET", scope, version="2024-03-01")["name"] == "rg-made"
    assert client.call("GET", f"{scope}/resources?api-version=2024-03-01").ok
    assert client.call("PUT", f"{scope}?api-version=2024-03-01", {"location": "westeurope"}).status_code == 403


def test_identity_with_a_role_that_is_none(azure: local_azure.LocalAzure) -> None:
    """A misspelt role is an error before anything is made."""
    done = local(azure, "identity", "x", "--role", "Raeder")
    assert isinstance(done.exception, local_azure.LocalAzureError) and "no built-in role 'Raeder'" in str(
        done.exception
    )
    names = {one["displayName"] for one in Client(azure).graph("GET", "/applications")["value"]}
    assert "x" not in names


@pytest.mark.parametrize("form", ["bash", "dotenv", "json", "powershell", "fish"])
def test_env_in_every_form(azure: local_azure.LocalAzure, form: str) -> None:
    """Each form holds all settings, with their values."""
    printed = output_of(azure, "env", "--format", form)
    for name, value in azure.environment().items():
        assert name in printed and value in printed


def test_env_for_github_is_masked(azure: local_azure.LocalAzure, tmp_path: Path) -> None:
    """In GitHub Actions the secret is masked and reaches the next steps by the file alone."""
    file = tmp_path / "env"
    printed = output_of(azure, "env", "--format", "github", GITHUB_ENV=str(file))
    assert set(printed.splitlines()) == {f"::add-mask::{azure.client_secret}"}
    assert f"AZURE_CLIENT_SECRET={azure.client_secret}\n" in file.read_text()
    with pytest.raises(ConfigurationError):
        raise local(azure, "env", "--format", "github", GITHUB_ENV="").exception or AssertionError


def test_page_prints_a_link(azure: local_azure.LocalAzure) -> None:
    """Each call prints another link to the page, without the key of the owner."""
    first, second = (output_of(azure, "page").strip() for _ in range(2))
    assert re.fullmatch(re.escape(azure.url) + r"/#visit=[\w-]{43}", first) and first != second
    assert (azure.state / "admin.key").read_text() not in first


def test_log_explains_refusals(azure: local_azure.LocalAzure) -> None:
    """The log says who asked what, and of a refusal the code, the cause and what to do; `--refused` leaves the rest out."""
    app = Client(azure).new_identity("asker")
    client = Client(azure, app.client_id, app.secret)
    scope = f"/subscriptions/{azure.subscription_id}"
    client.call("PUT", f"{scope}/resourceGroups/no?api-version=2024-03-01", {"location": "westeurope"})
    Client(azure, app.client_id, "wrong").ask_token("https://graph.microsoft.com/.default")
    printed = output_of(azure, "log", "-n", "2")
    assert "asker  PUT " in printed and "AuthorizationFailed: The client" in printed
    assert "no role of the caller allows this" in printed and "the client secret is not one of this app's" in printed
    entries = [json.loads(line) for line in output_of(azure, "log", "--refused", "--json", "-n", "2").splitlines()]
    assert [one["principal"]["client_id"] for one in entries] == [app.client_id, app.client_id]
    assert entries[0]["principal"] == {"client_id": app.client_id, "object_id": app.object_id, "name": "asker"}
    assert all(one["status"] >= 400 and one["explanation"] for one in entries)
    assert output_of(azure, "log", "-n", "0") == ""


def test_log_says_what_is_wrong_in_a_query(azure: local_azure.LocalAzure) -> None:
    """Of a query that was refused the log has the inner message, which names the place."""
    scope = f"/subscriptions/{azure.subscription_id}/resourceGroups/rg/providers/Microsoft.OperationalInsights/workspaces/law"
    azure.ensure([scope])
    answer = Client(azure).call("POST", f"/v1{scope}/query", {"query": "Heartbeat\n| project Nothing"})
    inner = answer.json()["error"]["innererror"]["innererror"]
    assert (answer.status_code, inner["code"], inner["line"], inner["pos"]) == (400, "SEM0100", 2, 10)
    assert "'project' operator: Failed to resolve scalar expression named 'Nothing'" in output_of(
        azure, "log", "-n", "1"
    )


def test_log_does_not_name_the_caller_of_another_request(azure: local_azure.LocalAzure) -> None:
    """A request without a token has no principal, whoever came before it."""
    client = Client(azure)
    client.graph("GET", "/organization")
    client.session.get(f"{azure.url}/v1.0/applications")
    before, after = azure.requests()[-2:]
    assert before["principal"]["name"] == "deployer" and "principal" not in after


def test_log_follows(azure: local_azure.LocalAzure) -> None:
    """With -f each new request is printed as it comes."""
    command = [sys.executable, "-m", "entrant", "local", "log", "-f", "-n", "0", "--json", "--state", str(azure.state)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            before = {one["number"] for one in azure.requests()}
            lines: list[str] = []
            while not lines:  # it begins with what comes after it has looked once
                Client(azure).session.get(f"{azure.url}/metadata/endpoints")
                os.set_blocking(process.stdout.fileno(), False)
                lines = process.stdout.readlines()
            assert json.loads(lines[0])["path"] == "/metadata/endpoints"
            assert json.loads(lines[0])["number"] not in before
        finally:
            process.terminate()


def faults_of(printed: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(printed)
    return content


def test_faults_are_added_kept_in_a_file_and_cleared(azure: local_azure.LocalAzure, tmp_path: Path) -> None:
    """Rules add up; what is printed can be put in force again; --clear ends all."""
    output_of(azure, "faults", "--clear")
    output_of(azure, "faults", "status", "--family", "graph", "--status", "429", "--rate", "0.5", "--seed", "7")
    printed = output_of(azure, "faults", "slow", "--route", "/nothing", "--seconds", "0.5")
    assert faults_of(printed) == {
        "seed": 7,
        "rules": [
            {"kind": "status", "family": "graph", "status": 429, "rate": 0.5},
            {"kind": "slow", "route": "/nothing", "seconds": 0.5},
        ],
    }
    file = tmp_path / "faults.yaml"
    file.write_text(printed)
    assert faults_of(output_of(azure, "faults", "--clear")) == {"seed": 0, "rules": []}
    assert faults_of(output_of(azure, "faults", "--from", str(file))) == faults_of(printed)
    assert faults_of(output_of(azure, "faults")) == faults_of(printed)
    output_of(azure, "faults", "--clear")


def test_faults_with_a_seed_repeat(azure: local_azure.LocalAzure) -> None:
    """The same seed and the same requests meet the same faults."""
    client = Client(azure)
    client.token()
    runs = []
    for seed in ("7", "7", "8"):
        output_of(azure, "faults", "--clear")
        output_of(azure, "faults", "status", "--family", "graph", "--rate", "0.5", "--seed", seed)
        runs.append([client.call("GET", "/v1.0/organization").status_code for _ in range(20)])
    output_of(azure, "faults", "--clear")
    assert runs[0] == runs[1] != runs[2] and set(runs[0]) == {200, 503}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["status", "--clear"], "three ways"),
        (["--rate", "0.3"], "--rate belongs to a rule"),
        (["status", "--status", "418"], "the value of 'status'"),
        (["--from", "WRONG"], "is not YAML"),
        (["--from", "EMPTY"], "holds no rules"),
        (["--from", "ODD"], "Rule 0"),
    ],
)
def test_wrong_faults_are_a_sentence(
    azure: local_azure.LocalAzure, tmp_path: Path, arguments: list[str], says: str
) -> None:
    """Rules that cannot be are refused, and those in force stay."""
    output_of(azure, "faults", "slow", "--route", "/nothing", "--seed", "3")
    for name, content in {"WRONG": "{", "EMPTY": "1", "ODD": "rules: [{kind: flood}]"}.items():
        (tmp_path / name).write_text(content)
    done = local(azure, "faults", *[str(tmp_path / one) if one.isupper() else one for one in arguments])
    assert isinstance(done.exception, EntrantError | local_azure.LocalAzureError) and says in str(done.exception)
    assert faults_of(output_of(azure, "faults", "--seed", "3"))["seed"] == 3
    output_of(azure, "faults", "--clear")


def test_settings_change_what_is_named_alone(azure: local_azure.LocalAzure) -> None:
    """Each setting is changed by itself; durations are understood; keys rotate."""
    client = Client(azure)
    keys = client.session.get(f"{azure.url}/{azure.tenant_id}/discovery/v2.0/keys").json()["keys"]
    output_of(azure, "settings", "--roles", "120")
    shown = json.loads(output_of(azure, "settings", "--secrets", "15", "--ahead", "90d", "--rotate-keys"))
    assert shown["propagation"] == {"roles": 120, "secrets": 15, "insights": 120}, "as all roles, unless it is set"
    newer = client.session.get(f"{azure.url}/{azure.tenant_id}/discovery/v2.0/keys").json()["keys"]
    assert newer[0]["kid"] != keys[0]["kid"] == newer[1]["kid"]
    ahead = Client(azure).session.get(f"{azure.url}/metadata/endpoints").headers["Date"]
    status = output_of(azure, "status")
    assert "roles 120 s, secrets 15 s" in status and "clock" in status and ahead
    output_of(azure, "settings", "--roles", "0", "--secrets", "0", "--ahead", "0")
    before = json.loads(output_of(azure, "settings"))["directory_quota"]
    assert json.loads(output_of(azure, "settings", "--quota", "1"))["directory_quota"] == 1
    error = Client(azure).graph("POST", "/applications", {"displayName": "one more"}, status=403)["error"]
    assert error["code"] == "Directory_QuotaExceeded"
    output_of(azure, "settings", "--quota", str(before))
    shown = json.loads(output_of(azure, "settings", "--latency", "5", "--quotas"))
    assert (shown["latency"], shown["quotas"]) == (5, True)
    shown = json.loads(output_of(azure, "settings", "--latency", "none"))
    assert (shown["latency"], shown["quotas"]) == (None, True)
    assert json.loads(output_of(azure, "settings", "--no-quotas"))["quotas"] is False


def test_reset_asks_and_goes_back_to_the_first_start(tmp_path: Path) -> None:
    """Without a yes nothing is forgotten; with one all that was made is, running or not; --purge takes the directory."""
    state = tmp_path / "state"
    azure = local_azure.start(state)
    try:
        Client(azure).new_identity("gone")
        assert local(azure, "reset", stdin="n\n").exit_code == 1
        assert len(Client(azure).graph("GET", "/applications")["value"]) == 2
        output_of(azure, "reset", "--yes")
        assert len(Client(azure).graph("GET", "/applications")["value"]) == 1
        Client(azure).new_identity("gone")
        output_of(azure, "stop")
        output_of(azure, "reset", "--yes")
        assert local_azure.find(state) is None
        again = local_azure.start(state)
        assert again.client_secret == azure.client_secret
        assert len(Client(again).graph("GET", "/applications")["value"]) == 1
        output_of(azure, "reset", "--yes", "--purge")
        assert not state.exists()
    finally:
        local_azure.stop(state)


def test_reset_of_another_directory_removes_nothing(tmp_path: Path) -> None:
    """A directory that holds no local Azure is left alone."""
    (tmp_path / "mine").write_text("mine")
    assert local(tmp_path, "reset", "--yes", "--purge").exit_code == 0
    assert (tmp_path / "mine").exists()


def test_not_running_is_said(tmp_path: Path) -> None:
    """Every command that needs one says so, and `status` tells by its exit code."""
    for command in (["env"], ["identity", "x"], ["log"], ["faults"], ["settings"]):
        refused = local(tmp_path / "none", *command).exception
        assert isinstance(refused, EntrantError) and "not running" in str(refused)
        assert f"local start --state {tmp_path / 'none'}" in str(refused.next_step)
    code = f"python3 -m entrant local status --state {shlex.quote(str(tmp_path / 'none'))}"
    done = subprocess.run(
        [sys.executable, *shlex.split(code)[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "not running\n")


@pytest.mark.parametrize("block", re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S))
def test_a_python_block_of_the_page_runs(azure: local_azure.LocalAzure, block: str) -> None:
    """The page's examples in Python run as they stand, with what `env` prints."""
    env = os.environ | azure.environment()
    done = subprocess.run([sys.executable, "-c", block], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_command_of_the_page_is_one() -> None:
    """Each `entrant local` line of the page parses: commands, options and choices exist."""
    lines = re.findall(r"python3 -m entrant (local [^#\n`>&)]*)", PAGE.read_text("utf-8"))
    assert len(lines) > 8
    for line in lines:
        words = shlex.split(line.strip().removesuffix('"'))
        group, command = cli.get_command(click.Context(cli), "local"), words[1]
        assert isinstance(group, click.Group)
        group.commands[command].make_context(command, words[2:], resilient_parsing=False)


def test_two_places_are_refused(tmp_path: Path) -> None:
    """--stack and --state exclude each other; a stack without a rehearsal is said."""
    assert "name two" in str(local(tmp_path, "env", "-s", "dev").exception)
    done = CliRunner().invoke(cli, ["local", "env", "-s", "nowhere-at-all"])
    assert "nowhere-at-all has no rehearsal" in str(done.exception)
