"""Rehearsals: what a second one finds of the first."""

import sys
from pathlib import Path

import pytest

from entrant import bootstrap, rehearsal
from local_azure import plugins


def test_a_stand_in_is_never_taken_for_the_real_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `eval "$(… rehearse dev --env)"`, Pulumi's home is the rehearsal's own, and what is in it is its stand-ins."""
    here = rehearsal.Rehearsal("dev", tmp_path)
    plugins.install(here.home, sys.executable, bootstrap.ROOT, ["azuread"])
    monkeypatch.setenv("PULUMI_HOME", str(here.home))
    monkeypatch.setattr(bootstrap, "reachable", lambda url: False)
    served = rehearsal._real_plugin(here, {"PATH": ""}, "azuread", plugins.sdk_version("azuread"))
    assert not served and plugins.is_stand_in(plugins.directory(here.home, "azuread", plugins.sdk_version("azuread")))
