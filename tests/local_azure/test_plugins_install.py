"""Putting the stand-ins where Pulumi looks for plugins, and taking them out again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest

from local_azure import plugins
from tests.local_azure.plugin_process import ROOT


def install(home: Path, root: Path = ROOT) -> list[str]:
    return plugins.install(home, sys.executable, root)


def test_the_versions_are_those_of_the_installed_sdks(tmp_path: Path) -> None:
    versions = {
        name: json.loads(files(f"pulumi_{name.replace('-', '_')}").joinpath("pulumi-plugin.json").read_text())[
            "version"
        ]
        for name in plugins.NAMES
    }
    assert install(tmp_path) == [f"resource-{name}-v{version}" for name, version in versions.items()]
    for name, version in versions.items():
        executable = plugins.directory(tmp_path, name, version) / f"pulumi-resource-{name}"
        assert os.access(executable, os.X_OK) and plugins.is_stand_in(executable.parent)


def test_installing_again_changes_nothing(tmp_path: Path) -> None:
    install(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert before and install(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_another_python_or_project_rewrites_the_launcher(tmp_path: Path) -> None:
    install(tmp_path)
    plugins.install(tmp_path, "/opt/it's here/python", Path("/srv/a project"))
    launchers = list(tmp_path.glob("plugins/*/pulumi-resource-*"))
    assert len(launchers) == 2
    for launcher in launchers:
        checked = subprocess.run(["sh", "-n", launcher], check=False)
        assert checked.returncode == 0 and "/srv/a project" in launcher.read_text()


def test_two_installs_at_once_leave_whole_plugins(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: install(tmp_path), range(16)))
    assert all(len(result) == 2 for result in results)
    names = sorted(path.name for path in (tmp_path / "plugins").iterdir())
    assert names == sorted(results[0])
    for plugin in (tmp_path / "plugins").iterdir():
        assert sorted(path.name.split("-")[0] for path in plugin.iterdir()) == ["ENTRANT", "pulumi"]


def test_a_real_plugin_stays(tmp_path: Path) -> None:
    real = plugins.directory(tmp_path, "azuread", plugins.sdk_version("azuread"))
    real.mkdir(parents=True)
    (real / "pulumi-resource-azuread").write_text("real")
    assert [name for name in install(tmp_path) if "azuread" in name] == []
    assert [name for name in plugins.uninstall(tmp_path) if "azuread" in name] == []
    assert (real / "pulumi-resource-azuread").read_text() == "real"


def test_uninstalling_removes_stand_ins_of_every_version(tmp_path: Path) -> None:
    install(tmp_path)
    old = plugins.directory(tmp_path, "azuread", "1.0.0")
    shutil.copytree(plugins.directory(tmp_path, "azuread", plugins.sdk_version("azuread")), old)
    assert len(plugins.uninstall(tmp_path)) == 3
    assert list((tmp_path / "plugins").iterdir()) == []
    assert plugins.uninstall(tmp_path) == []


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "plugins").write_text("in the way")
    with pytest.raises(plugins.InstallError, match="cannot write the azuread stand-in to"):
        install(tmp_path)


def test_importing_the_installer_loads_no_sdk() -> None:
    code = "import local_azure.plugins, sys; print(sorted({'pulumi', 'grpc', 'requests', 'azure'} & set(sys.modules)))"
    stdout = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert stdout.strip() == "[]"


def test_the_launcher_does_not_import_from_where_it_is_started(tmp_path: Path) -> None:
    """Pulumi starts plugins in the user's project, which may hold a `grpc.py` or a `config` of its own."""
    install(tmp_path)
    (tmp_path / "requests.py").write_text("raise SystemExit('imported from the current directory')")
    launcher = next(tmp_path.glob("plugins/resource-azuread-*/pulumi-resource-azuread"))
    process = subprocess.Popen([launcher], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline().strip().isdigit()
    process.kill()
    process.communicate()
