"""The settings of a rehearsal or a local Azure in somebody's shell: given to it, and taken back.

What the shell had before travels with them in `ENTRANT_SHELL_BEFORE`, so that it can be restored when the rehearsal is gone.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from entrant.errors import ConfigurationError
from entrant.tokens import formats

BEFORE = "ENTRANT_SHELL_BEFORE"
"""`{"variables": {name: value or null}, "path": [folders put on PATH]}`."""


def give(settings: Mapping[str, str], form: str, environ: Mapping[str, str], *, path: Sequence[str] = ()) -> str:
    """Lines for a shell (`bash`, `fish`, `powershell`) that sets variables, and puts folders first on its PATH (bash alone)."""
    held = _held(environ) or {"variables": {}, "path": []}
    on_path = environ.get("PATH", "").split(os.pathsep)
    new = [folder for folder in dict.fromkeys(path) if folder not in on_path]
    before = {
        "variables": {name: environ.get(name) for name in settings} | held["variables"],
        "path": [*held["path"], *new],
    }
    lines = [formats.assignment(form, name, value) for name, value in settings.items()]
    if new:
        # What the shell itself has, since it may know better than this process what its PATH is.
        lines.append(f"{formats.assignment(form, 'PATH', os.pathsep.join(new))}:$PATH")
    return "\n".join([*lines, formats.assignment(form, BEFORE, json.dumps(before))])


def take_back(form: str, environ: Mapping[str, str]) -> str:
    """Lines for a shell that restore what was there before `give`: each variable as it was, or unset, and PATH.

    Raises:
        ConfigurationError: the shell was given nothing.
    """
    held = _held(environ)
    if held is None:
        raise ConfigurationError(
            "this shell has no settings of a rehearsal or of a local Azure", next_step="there is nothing to take back"
        )
    lines = [
        formats.removal(form, name) if value is None else formats.assignment(form, name, value)
        for name, value in held["variables"].items()
    ]
    if held["path"]:
        rest = [folder for folder in environ.get("PATH", "").split(os.pathsep) if folder not in held["path"]]
        lines.append(formats.assignment(form, "PATH", os.pathsep.join(rest)))
    return "\n".join([*lines, formats.removal(form, BEFORE)])


def has_settings_of(folder: Path, environ: Mapping[str, str]) -> bool:
    """Whether a shell has the settings of the rehearsal or the local Azure in a folder."""
    inside = f"{folder.resolve()}{os.sep}"
    return any(environ.get(name, "").startswith(inside) for name in ("SSL_CERT_FILE", "PULUMI_HOME"))


def local_azure(environ: Mapping[str, str]) -> Path | None:
    """The state directory of the local Azure that a shell has the settings of; None where it has none, or that is gone."""
    folder = Path(environ.get("SSL_CERT_FILE", "")).parent
    return folder.resolve() if (folder / "state.db").is_file() else None


def hint(command: str) -> str:
    """What to say to somebody whose shell has settings of what is no longer there; `command` prints the lines that end it."""
    return f'This shell still has its settings; take them back: eval "$({command})"'


def _held(environ: Mapping[str, str]) -> dict[str, Any] | None:
    try:
        found = json.loads(environ.get(BEFORE, ""))
    except ValueError:
        return None
    whole = isinstance(found, dict) and isinstance(found.get("variables"), dict) and isinstance(found.get("path"), list)
    return found if whole else None
