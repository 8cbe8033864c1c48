"""Stand-in Pulumi plugins for azuread and azure-native, for machines on which Pulumi cannot download the real ones.

They are ordinary resource plugins that speak to whatever Azure ``ARM_METADATA_HOSTNAME`` names. `install` puts them where Pulumi
looks for plugins; importing this module is cheap and needs neither Pulumi's SDK nor the plugins' code.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

MARKER = "ENTRANT-STAND-IN"
"""A file of this name in a plugin's directory says that the plugin is a stand-in."""

_PACKAGES = {"azuread": "pulumi-azuread", "azure-native": "pulumi-azure-native"}

NAMES = tuple(_PACKAGES)
"""The plugins there are stand-ins for."""


class InstallError(Exception):
    """The stand-ins cannot be put in place; the message says why and what to do."""


def sdk_version(name: str) -> str:
    """The plugin version that the installed Python SDK for plugin ``name`` asks for.

    Raises `InstallError` when the SDK is not installed.
    """
    package = _PACKAGES[name]
    try:
        found = distribution(package)
    except PackageNotFoundError:
        raise InstallError(f"the Python package {package} is not installed: pip install -r requirements.txt") from None
    text = found.read_text(f"../{package.replace('-', '_')}/pulumi-plugin.json")
    try:
        version = json.loads(text or "{}").get("version")
    except ValueError:
        version = None
    return str(version or found.version)


def directory(pulumi_home: Path, name: str, version: str) -> Path:
    """Where Pulumi looks for version ``version`` of the resource plugin ``name``."""
    return pulumi_home / "plugins" / f"resource-{name}-v{version}"


def is_stand_in(plugin: Path) -> bool:
    """Whether the plugin directory ``plugin`` holds a stand-in."""
    return (plugin / MARKER).is_file()


def install(pulumi_home: Path, python: str, project_root: Path, names: Iterable[str] = NAMES) -> list[str]:
    """Put the stand-ins below ``pulumi_home``, to be run by ``python`` from ``project_root``; their directories' names.

    A real plugin that is there already stays. Each stand-in appears whole or not at all, and installing again, or from
    two processes at once, is fine. Raises `InstallError` with the reason when the directory cannot be written.
    """
    installed = []
    for name in names:
        version = sdk_version(name)
        target = directory(pulumi_home, name, version)
        if target.is_dir() and not is_stand_in(target):
            continue
        try:
            _put(target, name, version, python, project_root)
        except OSError as error:
            raise InstallError(f"cannot write the {name} stand-in to {target}: {error.strerror or error}") from None
        installed.append(target.name)
    return installed


def uninstall(pulumi_home: Path, names: Iterable[str] = NAMES) -> list[str]:
    """Remove the stand-ins for ``names`` below ``pulumi_home`` (whatever its version); the names of their directories."""
    removed = []
    for name in names:
        for plugin in sorted((pulumi_home / "plugins").glob(f"resource-{name}-v*")):
            if plugin.is_dir() and is_stand_in(plugin):
                shutil.rmtree(plugin)
                removed.append(plugin.name)
    return removed


def _put(target: Path, name: str, version: str, python: str, project_root: Path) -> None:
    launcher = (
        "#!/bin/sh\n"
        f"PYTHONPATH={shlex.quote(str(project_root))}${{PYTHONPATH:+:$PYTHONPATH}}\n"
        "export PYTHONPATH\n"
        f'exec {shlex.quote(python)} -P -m local_azure.plugins {name} {version} "$@"\n'
    )
    executable = target / f"pulumi-resource-{name}"
    if is_stand_in(target) and executable.is_file() and executable.read_text(encoding="utf-8") == launcher:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        made.chmod(0o755)
        (made / MARKER).write_text(f"A stand-in for the {name} plugin; it works with a local Azure only.\n", "utf-8")
        script = made / executable.name
        script.write_text(launcher, encoding="utf-8")
        script.chmod(0o755)
        if target.is_dir():
            os.replace(script, executable)
        else:
            os.replace(made, target)
    except OSError:
        if not target.is_dir():
            raise
        os.replace(made / executable.name, executable)
    finally:
        shutil.rmtree(made, ignore_errors=True)
