"""The resource plugins that a rehearsal uses: the real ones where Pulumi can have them, else stand-ins."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from entrant import engine, project
from entrant.errors import EngineError
from entrant.project import private
from entrant.rehearsal.place import Rehearsal
from entrant.setup import pins
from local_azure import plugins


def install(rehearsal: Rehearsal, env: Mapping[str, str], which: str) -> dict[str, str]:
    """Have a resource plugin for each provider: the real one where Pulumi can have it, else the stand-in.

    Returns `{"azuread": "real" | "stand-in", "azure-native": …}`.
    """
    private(rehearsal.home)
    served = {}
    for name in plugins.NAMES:
        version = plugins.sdk_version(name)
        real = which != "stand-in" and has_real(rehearsal, env, name, version)
        if real:
            plugins.uninstall(rehearsal.home, [name])
        elif which == "real":
            raise EngineError(
                f"the real plugin {name} {version} cannot be had here",
                next_step=f"put pulumi-resource-{name} on PATH, or leave out --plugins real to use the stand-in",
            )
        else:
            plugins.install(rehearsal.home, sys.executable, project.SOURCE, [name])
        served[name] = "real" if real else "stand-in"
    return served


def missing(rehearsal: Rehearsal, env: Mapping[str, str]) -> list[str]:
    """The plugins that are neither on PATH nor in the rehearsal's home: real ones, which were there when it was made."""
    return [
        name
        for name in plugins.NAMES
        if not shutil.which(f"pulumi-resource-{name}", path=env["PATH"])
        and not any(path.exists() for path in (rehearsal.home / "plugins").glob(f"resource-{name}-v*"))
    ]


def users_home() -> Path:
    """The Pulumi home of whoever runs this, where Pulumi keeps the plugins it has downloaded; only ever read."""
    return Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")


def has_real(rehearsal: Rehearsal, env: Mapping[str, str], name: str, version: str) -> bool:
    if shutil.which(f"pulumi-resource-{name}", path=env["PATH"]):
        return True
    own = plugins.directory(rehearsal.home, name, version)
    if own.is_symlink() and not own.exists():  # what it led to was removed since
        own.unlink()
    if own.exists() and not plugins.is_stand_in(own):
        return True
    users = plugins.directory(users_home(), name, version)
    if users.is_dir() and not plugins.is_stand_in(users):  # in a shell with `--env`, it is a rehearsal's home
        plugins.uninstall(rehearsal.home, [name])
        private(own.parent)
        own.symlink_to(users, target_is_directory=True)
        return True
    if not pins.reachable(pins.RELEASES):
        return False
    plugins.uninstall(rehearsal.home, [name])
    archive = f"pulumi-resource-{name}-v{version}-{pins.platform(plugin=True)}.tar.gz"
    checksum = pins.read(rehearsal.root / pins.PLUGINS).get(archive)
    command = ["plugin", "install", "resource", name, version, *(["--checksum", checksum] if checksum else [])]
    return engine.run(command, cwd=rehearsal.folder, environ=env, check=False).returncode == 0
