"""Rehearsals: what a second one finds of the first."""

import sys
from pathlib import Path

import pytest

from entrant import bootstrap, engine, rehearsal
from local_azure import plugins


def test_a_stand_in_is_never_taken_for_the_real_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `eval "$(… rehearse dev --env)"`, Pulumi's home is the rehearsal's own, and what is in it is its stand-ins."""
    here = rehearsal.Rehearsal("dev", tmp_path)
    plugins.install(here.home, sys.executable, bootstrap.ROOT, ["azuread"])
    monkeypatch.setenv("PULUMI_HOME", str(here.home))
    monkeypatch.setattr(bootstrap, "reachable", lambda url: False)
    served = rehearsal._real_plugin(here, {"PATH": ""}, "azuread", plugins.sdk_version("azuread"))
    assert not served and plugins.is_stand_in(plugins.directory(here.home, "azuread", plugins.sdk_version("azuread")))


def test_a_plugin_that_was_removed_since_leaves_no_link_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = rehearsal.Rehearsal("dev", tmp_path)
    own = plugins.directory(here.home, "azuread", plugins.sdk_version("azuread"))
    own.parent.mkdir(parents=True)
    own.symlink_to(tmp_path / "gone")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "none"))
    monkeypatch.setattr(bootstrap, "reachable", lambda url: False)
    assert not rehearsal._real_plugin(here, {"PATH": ""}, "azuread", plugins.sdk_version("azuread"))
    plugins.install(here.home, sys.executable, bootstrap.ROOT, ["azuread"])
    assert plugins.is_stand_in(own)


def test_the_error_of_an_engine_that_failed_early_is_told_without_its_progress() -> None:
    said = ["Previewing update (dev):\n", "    stack running\n", "error: could not load provider\n", "  for it\n"]
    assert engine._errors(said) == "error: could not load provider\n  for it\n"
    assert engine._errors(["nothing of the kind\n"]) == "nothing of the kind\n"
