"""The state's secrets under a key in Key Vault instead of a passphrase: the switch, and what needs the key from then on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import kills
from benchmarks.kills import Place
from entrant import engine
from tests import leaks
from tests.local_azure.conftest import Client, Identity
from tests.state_key import VAULT, KeyVault, key_vault, settings

STACK = "teams"
FILE = """\
apps:
  reader:
    owners: [deployer]
    secret: {every: 90d, overlap: 7d}
"""


@dataclass
class Stack:
    """A stack, a vault with a key, and somebody who may use that."""

    place: Place
    vault: KeyVault
    team: Identity

    def run(self, command: list[str], who: Identity | None = None, *, fails: bool = False, **more: str) -> str:
        """A command of somebody (of the team unless said otherwise) who has no passphrase; what it said."""
        who, environ = who or self.team, self.place.environ()
        del environ["PULUMI_CONFIG_PASSPHRASE"]
        bundle = self.place.azure().ca_bundle()
        environ |= settings(self.vault, bundle, self.place.root.parent, who.client_id, who.secret) | more
        done = subprocess.run(
            command, cwd=self.place.root, env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr if fails else done.stdout

    def pulumi(self, *arguments: str, who: Identity | None = None, fails: bool = False, **more: str) -> str:
        """The engine."""
        return self.run([str(engine.find()), *arguments, "-s", STACK], who, fails=fails, **more)

    def outputs(self) -> dict[str, Any]:
        """The outputs, with secrets."""
        found: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json", "--show-secrets"))
        return found


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The stack after its switch from the passphrase to the first version of the key."""
    with kills.place("file") as place:
        place.write(STACK, FILE)
        assert place.pulumi("stack", "init", STACK).returncode == 0
        up = place.pulumi("up", "--yes", "--skip-preview", "-s", STACK)
        assert up.returncode == 0, up.stdout + up.stderr
        azure = place.azure()
        with key_vault(azure.url, azure.tenant_id) as vault:
            made = Stack(place, vault, Client(azure).new_identity("team"))
            vault.users.add(made.team.client_id)
            url = f"azurekeyvault://{VAULT}/keys/pulumi/{next(iter(vault.versions))}"
            passphrase = place.environ()["PULUMI_CONFIG_PASSPHRASE"]
            made.pulumi("stack", "change-secrets-provider", url, PULUMI_CONFIG_PASSPHRASE=passphrase)
            yield made


def test_the_state_goes_from_the_passphrase_to_the_key(stack: Stack) -> None:
    config = yaml.safe_load((stack.place.root / f"Pulumi.{STACK}.yaml").read_text())
    assert config["secretsprovider"].startswith(f"azurekeyvault://{VAULT}/keys/pulumi/")
    assert config["encryptedkey"] and "encryptionsalt" not in config
    outputs = stack.outputs()
    value, scope = outputs["reader_client_secret"], "https://graph.microsoft.com/.default"
    app = Client(stack.place.azure(), outputs["reader_client_id"], value)
    assert app.ask_token(scope).status_code == 200
    backend = Path(stack.place.backend["PULUMI_BACKEND_URL"].removeprefix("file://").partition("?")[0])
    [state] = (backend / ".pulumi" / "stacks").rglob(f"{STACK}.json")
    assert json.loads(state.read_text())["checkpoint"]["latest"]["secrets_providers"]["type"] == "cloud"
    found, _ = leaks.search([backend, stack.place.root], {"secret": value.encode()})
    assert found == []


def test_a_preview_an_up_and_a_rotation_need_the_key_alone(stack: Stack) -> None:
    stack.pulumi("preview", "--expect-no-changes")
    before = stack.outputs()["reader_client_secret"]
    stack.place.write(STACK, FILE.replace("7d}", "7d, generation: 2}"))
    stack.pulumi("up", "--yes", "--skip-preview")
    assert stack.outputs()["reader_client_secret_previous"] == before
    rotate = [sys.executable, "-m", "entrant", "rotate", "-s", STACK, "--settle", "0", "--patience", "20"]
    assert f"✓ {STACK}: " in stack.run(rotate)
    assert {line.split()[2] for line in stack.vault.asked} == {stack.team.client_id}


def test_who_may_not_use_the_key_reads_no_secret_and_previews_nothing(stack: Stack) -> None:
    stranger = Client(stack.place.azure()).new_identity("stranger")
    for arguments in (("stack", "output", "--json", "--show-secrets"), ("preview",)):
        assert "Forbidden" in stack.pulumi(*arguments, who=stranger, fails=True)
    output = stack.run([sys.executable, "-m", "entrant", "token", "-s", STACK, "reader", "graph"], stranger, fails=True)
    assert "*Key Vault Crypto User*" in output
    assert f"decrypt {next(iter(stack.vault.versions))} {stranger.client_id}" in stack.vault.asked


def test_a_new_version_of_the_key_leaves_a_state_readable_that_names_its_version_and_no_other(stack: Stack) -> None:
    value = stack.outputs()["reader_client_secret"]
    stack.vault.rotate()
    assert stack.outputs()["reader_client_secret"] == value
    stack.pulumi("stack", "change-secrets-provider", f"azurekeyvault://{VAULT}/keys/pulumi")
    assert stack.outputs()["reader_client_secret"] == value
    stack.vault.rotate()
    output = stack.run([sys.executable, "-m", "entrant", "token", "-s", STACK, "reader", "graph"], fails=True)
    assert "the stack does not name the version of its key" in output
    version = list(stack.vault.versions)[-2]
    file, exported = stack.place.root / f"Pulumi.{STACK}.yaml", stack.place.root / "export.json"
    stack.pulumi("stack", "export", "--file", str(exported))
    for each in (file, exported):  # as the page says
        each.write_text(each.read_text().replace(f"{VAULT}/keys/pulumi", f"{VAULT}/keys/pulumi/{version}"))
    stack.pulumi("stack", "import", "--file", str(exported))
    assert stack.outputs()["reader_client_secret"] == value


def test_the_state_goes_back_to_a_passphrase_and_needs_no_vault_any_more(stack: Stack) -> None:
    value, passphrase = stack.outputs()["reader_client_secret"], "another one"
    stack.pulumi("stack", "change-secrets-provider", "passphrase", PULUMI_CONFIG_PASSPHRASE=passphrase)
    stack.vault.asked.clear()
    output = stack.pulumi("stack", "output", "--json", "--show-secrets", PULUMI_CONFIG_PASSPHRASE=passphrase)
    assert (json.loads(output)["reader_client_secret"], stack.vault.asked) == (value, [])
