"""Rehearsals: what a second one finds of the first."""

import io
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

import local_azure
from entrant import config, engine, rehearsal
from entrant.commands import rehearse
from entrant.errors import ConfigurationError, NotReadyError
from entrant.facts.clouds import Cloud
from entrant.outputs import App
from entrant.progress import Steps
from entrant.project import SOURCE
from entrant.rehearsal import job, trying
from entrant.setup import pins
from local_azure import plugins
from tests.entrant.test_access import PUBLISHER, READER, Estate, cloud, environ

__all__ = ["cloud", "environ"]


def test_a_stand_in_is_never_taken_for_the_real_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `eval "$(… rehearse dev --env)"`, Pulumi's home is the rehearsal's own, and what is in it is its stand-ins."""
    here = rehearsal.Rehearsal("dev", tmp_path)
    plugins.install(here.home, sys.executable, SOURCE, ["azuread"])
    monkeypatch.setenv("PULUMI_HOME", str(here.home))
    monkeypatch.setattr(pins, "reachable", lambda url: False)
    served = rehearsal.providers.has_real(here, {"PATH": ""}, "azuread", plugins.sdk_version("azuread"))
    assert not served and plugins.is_stand_in(plugins.directory(here.home, "azuread", plugins.sdk_version("azuread")))


def test_a_plugin_that_was_removed_since_leaves_no_link_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = rehearsal.Rehearsal("dev", tmp_path)
    own = plugins.directory(here.home, "azuread", plugins.sdk_version("azuread"))
    own.parent.mkdir(parents=True)
    own.symlink_to(tmp_path / "gone")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "none"))
    monkeypatch.setattr(pins, "reachable", lambda url: False)
    assert not rehearsal.providers.has_real(here, {"PATH": ""}, "azuread", plugins.sdk_version("azuread"))
    plugins.install(here.home, sys.executable, SOURCE, ["azuread"])
    assert plugins.is_stand_in(own)


def test_a_rehearsal_goes_without_the_plugin_that_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real plugin that was on PATH when the rehearsal was made; with it, or a stand-in, the stack is destroyed first."""
    here = rehearsal.Rehearsal("dev", tmp_path)
    here.folder.mkdir(parents=True)
    here.stack_config.write_text("config: {}\n")
    plugins.install(here.home, sys.executable, SOURCE, ["azure-native"])
    (tmp_path / "bin").mkdir()
    real = tmp_path / "bin" / "pulumi-resource-azuread"
    real.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    destroyed: list[rehearsal.Rehearsal] = []
    monkeypatch.setattr(job, "_destroy", lambda here, steps: destroyed.append(here))
    out = io.StringIO()
    steps = Steps(out=Console(file=out, width=400))
    real.unlink()
    rehearsal.down(here, steps)
    assert (destroyed, here.folder.exists()) == ([], False)
    line = "pulumi-resource-azuread, which the rehearsal was made with, cannot be found on PATH any more; its state goes without"
    assert line in out.getvalue()
    here.folder.mkdir(parents=True, exist_ok=True)
    here.stack_config.write_text("config: {}\n")
    plugins.install(here.home, sys.executable, SOURCE, ["azure-native"])
    real.touch(0o755)
    rehearsal.down(here, steps)
    assert (destroyed, here.folder.exists()) == ([here], False)


def test_the_error_of_an_engine_that_failed_early_is_told_without_its_progress() -> None:
    lines = ["Previewing update (dev):\n", "    stack running\n", "error: could not load provider\n", "  for it\n"]
    assert engine._errors(lines) == "error: could not load provider\n  for it\n"
    assert engine._errors(["nothing of the kind\n"]) == "nothing of the kind\n"


def write(root: Path, file: str, text: str = "apps: {}\n") -> str:
    """Write a file below a root; its absolute path."""
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return str(path)


def made(here: rehearsal.Rehearsal) -> rehearsal.Rehearsal:
    """A rehearsal as if it had been run."""
    here.folder.mkdir(parents=True)
    settings = {"config": {"entrant:environment": here.file}} if here.file else {}
    here.stack_config.write_text(yaml.safe_dump(settings), "utf-8")
    return here


@pytest.mark.parametrize(
    ("file", "stack"),
    [
        ("cases/env.yaml", "env"),
        ("cases/my env.yaml", "my-env"),
        ("cases/-x.yml", "x"),
        ("cases/Zürich/büro 1.yaml", "b-ro-1"),
        ("cases/日本.yaml", "file"),
        ("cases/...yaml", "file"),
        (f"cases/{'long' * 50}.yaml", ("long" * 50)[:60]),
    ],
)
def test_a_file_of_any_name_has_a_stack_that_pulumi_takes(tmp_path: Path, file: str, stack: str) -> None:
    here = rehearsal.Rehearsal.of(write(tmp_path, file), tmp_path)
    assert (here.stack, here.file) == (stack, file)


def test_files_of_one_name_have_rehearsals_of_their_own(tmp_path: Path) -> None:
    """Whichever was first keeps the plain name, and each file finds its own again."""
    one, two = (write(tmp_path, f"{folder}/env.yaml") for folder in ("one", "two"))
    first = made(rehearsal.Rehearsal.of(one, tmp_path))
    second = made(rehearsal.Rehearsal.of(two, tmp_path))
    assert first.stack == "env" and second.stack.startswith("env-")
    assert [rehearsal.Rehearsal.of(file, tmp_path) for file in (one, two)] == [first, second]
    shutil.rmtree(first.folder)
    assert rehearsal.Rehearsal.of(two, tmp_path) == second
    assert rehearsal.Rehearsal.of("env", tmp_path).file is None


def test_a_file_never_takes_a_stacks_rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = write(tmp_path, "config/dev.yaml")
    other = rehearsal.Rehearsal.of(write(tmp_path, "cases/dev.yaml"), tmp_path)
    assert other.stack.startswith("dev-") and other.file == "cases/dev.yaml"
    monkeypatch.setenv("PULUMI_OPTION_CONFIG_FILE", str(made(other).stack_config))
    assert rehearsal.Rehearsal.of(str(tmp_path / "cases/dev.yaml"), tmp_path) == other
    assert (
        rehearsal.Rehearsal.of(own, tmp_path)
        == rehearsal.Rehearsal.of("dev", tmp_path)
        == rehearsal.Rehearsal("dev", tmp_path)
    )


def test_the_stack_of_a_rehearsed_file_names_its_rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rehearse env --down` is of the file that `env` was made of; so it is in a shell with the rehearsal's settings."""
    file = write(tmp_path, "cases/env.yaml")
    here = made(rehearsal.Rehearsal.of(file, tmp_path))
    monkeypatch.setenv("PULUMI_OPTION_CONFIG_FILE", str(here.stack_config))
    assert rehearsal.Rehearsal.of("env", tmp_path) == rehearsal.Rehearsal.of(file, tmp_path) == here
    assert config.environment_file("env", tmp_path) == Path(file)


@pytest.mark.parametrize("name", ["..", "../..", ".", "", "my env", "dev/", "-dev"])
def test_no_rehearsal_is_outside_its_folder(tmp_path: Path, name: str) -> None:
    """`--down` removes a rehearsal's folder, which must never be another."""
    with pytest.raises(ConfigurationError, match="is no name of a stack"):
        rehearsal.Rehearsal.of(name, tmp_path)


@pytest.mark.parametrize(
    ("named", "fault"),
    [("dev.json", "ends in neither .yaml nor .yml"), ("dev", "is a folder"), ("no", "there is no such file")],
)
def test_a_path_that_is_no_environments_file_has_no_rehearsal(tmp_path: Path, named: str, fault: str) -> None:
    (tmp_path / "dev.json").write_text("{}")
    (tmp_path / "dev").mkdir()
    with pytest.raises(ConfigurationError, match=f"{named}: {fault}"):
        rehearsal.Rehearsal.of(str(tmp_path / named), tmp_path)
    assert rehearsal.Rehearsal.of("dev", tmp_path).stack == "dev"


def test_a_command_names_the_file_as_a_shell_reads_it(tmp_path: Path) -> None:
    here = rehearsal.Rehearsal("my-env", tmp_path, "cases/my env.yaml")
    assert here.command("--down") == "python3 -m entrant rehearse 'cases/my env.yaml' --down"
    assert rehearsal.Rehearsal("x", tmp_path, "-x.yaml").command() == "python3 -m entrant rehearse ./-x.yaml"


def test_what_outputs_hold_is_counted_as_it_is() -> None:
    plain, secret = App("a", "t", "c"), App("b", "t", "c", secret="s3cret")
    handed_out = {1: job.handed_out([plain]), 2: job.handed_out([secret]), 3: job.handed_out([plain, plain, secret])}
    assert handed_out == {
        1: "client ids of 1 app, no secret",
        2: "client ids and secrets of 1 app",
        3: "client ids of 3 apps, secrets of 1",
    }
    assert job.handed_out([plain, App("c", "t", "c", issued={"signing": "…"})]) == (
        "client ids of 2 apps, no secret, certificates of 1"
    )


def test_an_app_that_gets_no_token_keeps_no_other_from_being_tried(azure: local_azure.LocalAzure, cloud: Cloud) -> None:
    """What waiting cannot change is not tried again; there is an hour for it here."""
    disabled, other = Estate(azure, "disabled"), Estate(azure, "other-one")
    disabled.client.graph("PATCH", f"/servicePrincipals/{disabled.identity.object_id}", {"accountEnabled": False})
    apps = [
        each.with_grants(
            each.grant(READER, "Reader", each.workspace),
            each.grant(PUBLISHER, "Monitoring Metrics Publisher", each.machine),
        )
        for each in (disabled, other)
    ]
    rows: dict[str, int] = {}
    written = io.StringIO()
    steps = Steps(out=Console(file=written, width=200))
    with pytest.raises(NotReadyError) as refused:
        trying.all_that_work(apps, lambda app: trying.trials_of(app, cloud, rows), time.monotonic() + 3600, steps)
    message = "disabled queries law-disabled: still refused: no token for disabled: AADSTS7000112: "
    assert str(refused.value).startswith(message)
    assert "enabled: true" in str(refused.value.next_step)
    assert [step.title for step in steps.done] == [
        "other-one queries law-other-one",
        "other-one reports on vm-other-one",
    ]
    assert "disabled gets no token; not tried: reports on vm-disabled\n" in written.getvalue()
    assert azure.metrics(other.machine), "it has arrived"


def test_a_token_is_proposed_for_the_first_app_that_has_what_gives_one(tmp_path: Path) -> None:
    place = rehearsal.Rehearsal.of("dev", tmp_path)
    apps = (
        App("none", "tenant", "client"),
        App("reader", "tenant", "client", issued={"signing": "PEM"}),
        App("writer", "tenant", "client", secret="s"),
    )
    summary: dict[str, Any] = {
        "apps": {app.name: trying.summary(app, [], {}) for app in apps},
        "local_azure": {"url": "https://localhost:1"},
        "pulumi": {"state": "state"},
    }
    assert summary["apps"]["reader"]["certificates"] == ["signing"]
    proposed = [line.strip() for line in rehearse._closing(place, summary) if " token " in line]
    assert proposed == ["python3 -m entrant token -s dev reader logs"]
