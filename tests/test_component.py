"""`AppIdentity` in somebody else's program, in a folder of its own: in Python, and through the plugin in Pulumi YAML."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

import local_azure
from entrant import engine
from entrant.rehearsal import Rehearsal, environ, providers, stack
from tests.clients import installing
from tests.conftest import ROOT
from tests.distributions import Environment, wheels

GROUP = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/rg-obs"
YAML_HOST = ("pulumi-language-yaml", "v1.25.0", "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml")

PYTHON = f"""\
import pulumi
import pulumi_azuread as azuread
from entrant.components import AppIdentity

unit = azuread.Application("unrelated", display_name="Unrelated (python)")
reader = AppIdentity(
    "reader",
    {{
        "display_name": pulumi.Output.concat("Reader beside ", unit.display_name),
        "secret": {{"every": "90d", "overlap": "7d"}},
        "roles": {{"logs": {{"role": "Reader", "scope": "{GROUP}"}}}},
        "federated": {{
            "main": {{
                "issuer": "https://token.actions.githubusercontent.com",
                "subject": "repo:contoso/obs:ref:refs/heads/main",
                "audience": "api://AzureADTokenExchange",
            }}
        }},
    }},
)
pulumi.export("clientId", reader.client_id)
pulumi.export("clientSecret", reader.client_secret)
pulumi.export("grants", reader.grants)
pulumi.export("credentials", reader.credentials)
"""
PULUMI_YAML = f"""\
name: shop
runtime: yaml
packages:
  entrant: {ROOT / "components"}
resources:
  unrelated:
    type: azuread:Application
    properties: {{displayName: Unrelated (yaml)}}
  reader:
    type: entrant:AppIdentity
    properties:
      displayName: Reader beside ${{unrelated.displayName}}
      secret: {{every: 90d, overlap: 7d}}
      roles:
        logs: {{role: Reader, scope: {GROUP}}}
      federated:
        main:
          issuer: https://token.actions.githubusercontent.com
          subject: repo:contoso/obs:ref:refs/heads/main
          audience: api://AzureADTokenExchange
outputs:
  clientId: ${{reader.clientId}}
  clientSecret: ${{reader.clientSecret}}
  grants: ${{reader.grants}}
  credentials: ${{reader.credentials}}
"""


class Program:
    """A Pulumi program on a local Azure, run by `pulumi` as its author would."""

    def __init__(self, root: Path, *paths: Path) -> None:
        self.rehearsal = Rehearsal("dev", root)
        self.azure = local_azure.start(self.rehearsal.azure, propagation=0)
        self.azure.ensure([GROUP])
        self.env = environ(self.rehearsal.settings(self.azure))
        stack.prepare(self.rehearsal, self.env)
        providers.install(self.rehearsal, self.env, "auto")
        self.env["PATH"] = os.pathsep.join([*map(str, paths), self.env["PATH"]])
        self.env.pop("PYTHONPATH", None)  # the checkout's, where `entrant test` runs the tests

    def pulumi(self, *arguments: str) -> str:
        """Run `pulumi`, which has to succeed; what it wrote on standard output."""
        done = subprocess.run(
            [str(engine.find()), "--non-interactive", "--color=never", *arguments, "--stack", "dev"],
            cwd=self.rehearsal.root,
            env=self.env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def graph(self, path: str) -> Any:
        """What the local Azure's Graph has at a path."""
        return self.azure.call("GET", f"/v1.0/{path}")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder far from the checkout; its local Azure is stopped at the end."""
    root = tmp_path / "shop"
    root.mkdir()
    yield root
    local_azure.stop(root / ".entrant/rehearsal/dev/azure")


def uses(program: Program, unrelated: str) -> None:
    """From `up` to `destroy`: the outputs, a token with the secret, and that nothing is left."""
    program.pulumi("preview")
    program.pulumi("up", "--yes", "--skip-preview")
    masked = json.loads(program.pulumi("stack", "output", "--json"))
    shown = json.loads(program.pulumi("stack", "output", "--json", "--show-secrets"))
    assert masked["clientSecret"] == "[secret]"
    assert masked["clientId"] == shown["clientId"]
    assert [(one["key"], one["scope"]) for one in shown["grants"]] == [("logs", GROUP)]
    assert "roleassignments" in shown["grants"][0]["assignment_id"].lower()
    assert [(one["kind"], one["current"]) for one in shown["credentials"]] == [("secret", True), ("federated", True)]

    names = [one["displayName"] for one in program.graph("applications")["value"]]
    assert f"Reader beside {unrelated}" in names
    settings = {
        "AZURE_TENANT_ID": program.azure.tenant_id,
        "AZURE_CLIENT_ID": shown["clientId"],
        "AZURE_CLIENT_SECRET": shown["clientSecret"],
    }
    command = [sys.executable, "-m", "entrant", "token", "arm"]
    done = subprocess.run(command, cwd=ROOT, env=program.env | settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer = requests.get(
        f"{program.azure.url}{GROUP}?api-version=2021-04-01",
        headers={"Authorization": f"Bearer {done.stdout.strip()}"},
        verify=program.env["REQUESTS_CA_BUNDLE"],
        timeout=60,
    )
    assert answer.status_code == 200, answer.text

    assert "unchanged" in program.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    program.pulumi("destroy", "--yes", "--skip-preview")
    left = [one["displayName"] for one in program.graph("applications")["value"]]
    assert not {unrelated, f"Reader beside {unrelated}"} & set(left)


def test_a_python_program_declares_an_app_identity(folder: Path, tmp_path: Path) -> None:
    """With the installed package, in a project that has resources of its own."""
    (tmp_path / "wheels").mkdir()
    made = Environment(tmp_path / "venv", wheels(tmp_path / "wheels")[0])
    made.borrow()
    (folder / "Pulumi.yaml").write_text(
        f"name: shop\nruntime: {{name: python, options: {{virtualenv: {made.python.parent.parent}}}}}\n", "utf-8"
    )
    (folder / "__main__.py").write_text(PYTHON, "utf-8")
    uses(Program(folder), "Unrelated (python)")


def test_a_pulumi_yaml_program_declares_an_app_identity(folder: Path) -> None:
    """Through the plugin in `components/`, which its `packages` names."""
    if shutil.which("pulumi-language-yaml") is None and shutil.which("go") is None:
        pytest.skip("there is neither Pulumi's YAML language host nor Go to build it with")
    host = Path(shutil.which("pulumi-language-yaml") or installing.go(*YAML_HOST))
    (folder / "Pulumi.yaml").write_text(PULUMI_YAML, "utf-8")
    uses(Program(folder, host.parent), "Unrelated (yaml)")
