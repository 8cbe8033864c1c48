"""The files in which a folder, as Pulumi's backend, keeps the state of a stack, and what stands for them when they cannot be read.

`.pulumi/stacks/PROJECT/STACK.json` is the state; beside it `….json.bak` is what it was before it was last written.
`.pulumi/backups/PROJECT/STACK/` has it as it was before each operation, `.pulumi/history/PROJECT/STACK/` after each. A file may
have another, `….attrs`, which Pulumi needs for nothing and yet stops at when a crash left it empty; with `?metadata=skip` in the
backend's URL none is written. Source: Pulumi 3.259, pkg/backend/diy (state.go, store.go); gocloud.dev, blob/fileblob.
"""

import contextlib
import datetime as dt
import gzip
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from entrant import engine
from entrant.errors import EngineError


@dataclass(frozen=True, slots=True)
class Backup:
    """A state that can be read: where it is, of when, and of how many resources."""

    file: Path
    written: dt.datetime
    resources: int


def folder(cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The folder that is the backend in use; None when it is no folder.

    Raises:
        EngineError: Pulumi does not say which backend it uses.
    """
    url = environ.get("PULUMI_BACKEND_URL")
    if not url:
        stdout = engine.run(["whoami", "--json"], cwd=cwd, environ=environ).stdout
        url = str(json.loads(stdout)["url"])
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    return (cwd or Path.cwd()) / Path(unquote(parts.netloc + parts.path)).expanduser()


def state_file(backend: Path, project: str, stack: str) -> Path | None:
    """The file of a stack's state, also in the layout of old backends, which has no projects; None when there is none."""
    stacks, name = backend / ".pulumi" / "stacks", stack.rsplit("/", 1)[-1]
    places = [stacks / project / f"{name}.json", stacks / f"{name}.json"]
    return next((file for place in places for file in (place, Path(f"{place}.gz")) if file.exists()), None)


def broken_attributes(backend: Path) -> list[Path]:
    """Files `….attrs` that are no JSON, which stop Pulumi and which it does not need."""
    return [file for file in sorted((backend / ".pulumi").rglob("*.attrs")) if _json(file) is None]


def drop_broken_attributes(backend: Path, *, settle: float = 1.0) -> list[Path]:
    """Remove the files `….attrs` that a killed run left unfinished; which those were.

    One that somebody is writing is whole within `settle` seconds.
    """
    broken = broken_attributes(backend)
    if broken:
        time.sleep(settle)
        broken = [file for file in broken_attributes(backend) if file in broken]
    for file in broken:
        file.unlink(missing_ok=True)
    return broken


def unreadable(file: Path) -> str | None:
    """Why a state cannot be read, in words; None when it can be."""
    found = _json(file)
    if isinstance(found, dict) and isinstance(found.get("checkpoint"), dict):
        return None
    return f"{file.name} is {'no state of Pulumi' if file.exists() and file.stat().st_size else 'empty'}"


def backups(file: Path) -> list[Backup]:
    """The states of the same stack that can be read, newest first."""
    root = next(place for place in file.parents if place.name == ".pulumi")
    name = file.name.removesuffix(".gz").removesuffix(".json")
    inner = file.parent.relative_to(root / "stacks")
    places = [file.with_name(f"{file.name}.bak")]
    places += sorted((root / "backups" / inner / name).glob("*.json*"))
    places += sorted((root / "history" / inner / name).glob("*.checkpoint.json*"))
    found = []
    for place in places:
        if place.suffix == ".attrs" or unreadable(place):
            continue
        latest = (_json(place) or {})["checkpoint"].get("latest")
        with contextlib.suppress(KeyError, TypeError, ValueError):  # a state that nothing was ever written into
            written = dt.datetime.fromisoformat(latest["manifest"]["time"])
            found.append(Backup(place, written, len(latest.get("resources") or ())))
    return sorted(found, key=lambda backup: backup.written, reverse=True)


def restore(file: Path, backup: Backup) -> Path:
    """Put a backup in the place of a state; where the state that cannot be read is kept."""
    kept = file.with_name(f"{file.name}.unreadable-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}")
    shutil.copy2(file, kept)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    shutil.copy2(backup.file, draft)
    draft.replace(file)
    return kept


def trouble(error: EngineError) -> bool:
    """Whether Pulumi ended because it could not read a state."""
    words = str(error)
    return any(sign in words for sign in ("failed to load checkpoint", "end of JSON input", "EOF", "corrupt store"))


def _json(file: Path) -> Any:
    """What a file says, compressed or not; None when it is no JSON."""
    try:
        content = file.read_bytes()
        return json.loads(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    except (OSError, ValueError, EOFError):
        return None
