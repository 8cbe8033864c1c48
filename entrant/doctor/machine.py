"""This machine: the engine, its backend and the resource plugins."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from entrant.doctor.findings import Finding
from entrant.engine import run
from entrant.setup.engine import OLDEST_PULUMI

PLUGINS = ("azuread", "azure-native")
"""The resource plugins that the program needs."""


def engine(cwd: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    found = run(["version"], cwd=cwd, environ=environ).stdout.strip()
    recent = tuple(int(part) for part in re.findall(r"\d+", found)[:3]) >= OLDEST_PULUMI
    oldest = ".".join(map(str, OLDEST_PULUMI))
    yield Finding("pulumi", "ok" if recent else "problem", found, None if recent else f"install {oldest} or later")
    whoami = run(["whoami", "--verbose"], cwd=cwd, environ=environ, check=False)
    backend = re.search(r"Backend URL: (\S+)", whoami.stdout)
    if backend is None:
        yield Finding(
            "backend", "problem", (whoami.stderr or "not logged in").strip().splitlines()[0], "run `pulumi login`"
        )
    else:
        yield Finding("backend", "ok", backend.group(1))
    yield from _plugins(cwd, environ)


def _plugins(cwd: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the resource plugins that the Python packages ask for are there; Pulumi downloads one that is not."""
    listed = json.loads(run(["plugin", "ls", "--json"], cwd=cwd, environ=environ).stdout)
    there = {(plugin["name"], plugin["version"]) for plugin in listed if plugin["kind"] == "resource"}
    for name in PLUGINS:
        wanted = version(f"pulumi-{name}")
        on_path = shutil.which(f"pulumi-resource-{name}", path=environ.get("PATH"))
        if (name, wanted) in there or on_path:
            yield Finding(f"plugin {name}", "ok", f"{wanted} ({on_path})" if on_path else wanted)
        else:
            manually = f"`pulumi plugin install resource {name} {wanted} --file …`"
            step = f"nothing, where Pulumi's downloads can be reached; else {manually}"
            yield Finding(f"plugin {name}", "unknown", f"{wanted} is to be downloaded", step)
