"""Client secrets delivered from a deployed stack: into Key Vault by the deployment, elsewhere by `entrant deliver`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import yaml

import local_azure
from local_azure import LocalAzure
from tests.conftest import Project
from tests.local_azure.conftest import Client

STACK = "delivery"
GROUP = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/rg-obs"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv-obs"
TAKES = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"


@dataclass
class Stack:
    """A stack with one app, whose secret goes to a vault and to a program."""

    project: Project
    azure: LocalAzure

    def write(self, *places: Any) -> None:
        """The environment, with these places."""
        secret = {"every": "90d", "overlap": "7d", "starts": "2026-01-01", "deliver": list(places)}
        self.project.write(STACK, yaml.safe_dump({"apps": {"reader": {"owners": ["deployer"], "secret": secret}}}))

    def at(self, day: str) -> None:
        """Let the program read calendars on a day."""
        file = self.project.rehearsal(STACK).stack_config
        settings = yaml.safe_load(file.read_text()) or {}
        settings.setdefault("config", {})["entrant:now"] = f"{day}T12:00:00Z"
        file.write_text(yaml.safe_dump(settings))

    def up(self, *arguments: str, code: int = 0) -> str:
        """`pulumi up`; what it said."""
        done = self.project.pulumi(STACK, "up", "--yes", "--skip-preview", "--diff", "-s", STACK, *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, with secrets."""
        done = self.project.pulumi(STACK, "stack", "output", "--json", "--show-secrets", "-s", STACK)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def entrant(self, *arguments: str) -> Any:
        """A command, as after `rehearse --env`."""
        return self.project.entrant(*arguments, **self.project.rehearsal(STACK).settings(self.azure))

    def versions(self, name: str = "reader") -> list[dict[str, Any]]:
        """The versions of a secret in the vault, oldest first, with their values."""
        client = Client(self.azure)
        uri = client.arm("GET", VAULT, version="2023-07-01")["properties"]["vaultUri"]
        token = client.token("https://vault.azure.net/.default")
        headers, ca = {"Authorization": f"Bearer {token}"}, str(self.azure.ca_file)

        def get(path: str) -> Any:
            answer = requests.get(f"{uri}{path}?api-version=7.4", headers=headers, verify=ca, timeout=60)
            assert answer.status_code == 200, answer.text
            return answer.json()

        listed = get(f"secrets/{name}/versions")["value"]
        return [get(f"secrets/{name}/{entry['id'].rsplit('/', 1)[-1]}") for entry in listed]


@pytest.fixture(scope="module")
def stack(project: Project) -> Iterator[Stack]:
    """The stack after its rehearsal."""
    made = Stack(project, None)  # type: ignore[arg-type]
    made.write({"key_vault": {"vault": VAULT, "name": "reader"}})
    made.project.rehearsal(STACK)
    done = project.entrant("rehearse", STACK, "--propagation", "0")
    assert done.returncode == 0, done.stderr
    made = Stack(project, local_azure.start(project.rehearsal(STACK).azure))
    client = Client(made.azure)
    [deployer] = client.graph("GET", f"/servicePrincipals?$filter=appId eq '{client.client_id}'")["value"]
    client.grant("b86a8fe4-44ce-4948-aee5-eccb2c155cd7", VAULT, deployer["id"])  # Key Vault Secrets Officer
    yield made


def test_each_rotation_is_a_version_that_ends_with_its_secret_and_the_one_before_stays(stack: Stack) -> None:
    [first] = stack.versions()
    outputs = stack.outputs()
    assert first["value"] == outputs["reader_client_secret"]
    [entry] = outputs["identities"]["reader"]["credentials"]
    assert first["tags"]["key_id"] == entry["key_id"]
    assert first["contentType"] == "client secret of Microsoft Entra ID"
    assert stack.up("--expect-no-changes")
    stack.at("2027-03-29")
    output = stack.up()
    news = stack.outputs()
    old, new = stack.versions()
    assert (old["value"], new["value"]) == (first["value"], news["reader_client_secret"])
    assert old["attributes"]["enabled"] and old["attributes"]["exp"] == first["attributes"]["exp"]
    assert new["attributes"]["exp"] > old["attributes"]["exp"]
    for value in (old["value"], new["value"]):
        assert value not in output
        folder = stack.project.rehearsal(STACK).folder
        written = [path for path in folder.rglob("*") if path.is_file() and "azure" not in path.parts]
        assert [path for path in written if value.encode() in path.read_bytes()] == []


def test_a_review_says_who_can_read_the_vaults_secret_and_where_secrets_go_from_now_on(stack: Stack) -> None:
    client = Client(stack.azure)
    web = client.new_identity("web")
    client.grant(
        "4633458b-17de-408a-b874-0445c86b69e6", f"{VAULT}/secrets/reader", web.object_id
    )  # Key Vault Secrets User
    client.grant(
        "21090545-7ca7-4776-b22c-e363652d74d2", VAULT, client.new_identity("looker").object_id
    )  # Key Vault Reader
    vault = {"key_vault": {"vault": VAULT, "name": "reader"}}
    stack.write(vault, {"github": {"repository": "contoso/obs", "name": "READER"}})
    done = stack.entrant("review", "-s", STACK, "--format", "json")
    assert done.returncode == 0, done.stderr
    review = json.loads(done.stdout)
    [note] = [note for note in review["notes"] if note.startswith("Who can read")]
    assert 'service principal "web" (Key Vault Secrets User)' in note
    assert f"(Key Vault Secrets Officer at {VAULT})" in note
    assert "looker" not in note
    [setting] = [entry for entry in review["settings"] if "deliver" in entry["path"]]
    assert setting["path"] == "secret.deliver[github contoso/obs READER]"
    assert (setting["old"], setting["new"]) == (None, "a place that it is delivered to")
    stack.write(vault)
    other = json.loads(stack.entrant("review", "-s", STACK, "--format", "json").stdout)
    assert other["digest"] != review["digest"], "another place is another plan"


def test_a_delivery_that_is_removed_leaves_the_secret_and_one_that_comes_back_goes_on_with_it(stack: Stack) -> None:
    count = len(stack.versions())
    stack.write()
    assert "retained" in stack.up() or len(stack.versions()) == count
    stack.write({"key_vault": {"vault": VAULT, "name": "reader"}})
    stack.up()
    assert len(stack.versions()) >= count
    assert stack.versions()[-1]["value"] == stack.outputs()["reader_client_secret"]
    assert stack.up("--expect-no-changes")


def test_somebody_elses_secret_in_the_vault_is_not_overwritten(stack: Stack) -> None:
    client = Client(stack.azure)
    client.arm("PUT", f"{VAULT}/secrets/theirs", {"properties": {"value": "of-somebody-else"}}, version="2023-07-01")
    theirs: dict[str, Any] = {"key_vault": {"vault": VAULT, "name": "theirs"}}
    stack.write({"key_vault": {"vault": VAULT, "name": "reader"}}, theirs)
    output = stack.up(code=1)
    assert "has a secret theirs that this stack did not make" in output
    assert [each["value"] for each in stack.versions("theirs")] == ["of-somebody-else"]
    theirs["key_vault"]["adopt"] = True
    stack.write({"key_vault": {"vault": VAULT, "name": "reader"}}, theirs)
    stack.up()
    assert [each["value"] for each in stack.versions("theirs")] == [
        "of-somebody-else",
        stack.outputs()["reader_client_secret"],
    ]
    assert stack.up("--expect-no-changes")


def test_deliver_reads_the_vault_back_and_brings_a_proved_secret_to_a_program(stack: Stack) -> None:
    got = stack.project.root / "got"
    takes = [sys.executable, "-c", TAKES, str(got)]
    stack.write({"key_vault": {"vault": VAULT, "name": "reader"}}, {"exec": {"command": takes}})
    before = stack.entrant("deliver", "-s", STACK, "--check", "--format", "json")
    assert before.returncode == 7, before.stderr
    assert [entry["state"] for entry in json.loads(before.stdout)] == ["held", "missing"]
    done = stack.entrant("deliver", "-s", STACK)
    assert done.returncode == 0, done.stdout + done.stderr
    value = stack.outputs()["reader_client_secret"]
    assert got.read_text() == value
    assert value not in done.stdout + done.stderr
    assert "✓ reader: key_vault kv-obs reader: holds the secret 2027-03-27" in done.stdout


def test_a_secret_that_was_removed_in_the_portal_is_not_delivered(stack: Stack) -> None:
    got = stack.project.root / "got"
    got.unlink(missing_ok=True)
    client = Client(stack.azure)
    [app] = client.graph("GET", "/applications?$filter=displayName eq 'reader'")["value"]
    for entry in app["passwordCredentials"]:
        client.graph("POST", f"/applications/{app['id']}/removePassword", {"keyId": entry["keyId"]}, 204)
    done = stack.entrant("deliver", "-s", STACK, "--patience", "0")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "AADSTS7000215" in done.stdout
    assert not got.exists()
