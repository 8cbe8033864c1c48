"""The Pulumi engine of set-up: where it comes from, and where it is kept.

In this order: `pulumi` on PATH when it is recent enough and has its Python language host; one set up here before; the official
archive, where the network lets it through, if it has the checksum that is pinned; a build from Go modules.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from entrant import project
from entrant.project import CHECKOUT, cache, private
from entrant.setup import pins
from entrant.setup.build import TOOLCHAIN, build
from entrant.setup.environment import venv_python
from entrant.setup.installers import WORDS, SetupError
from entrant.setup.locks import locked

PULUMI_VERSION = "3.259.0"
OLDEST_PULUMI = (3, 230, 0)
"""Older engines do not read PULUMI_OPTION_CONFIG_FILE, which keeps a rehearsal out of `Pulumi.<stack>.yaml`."""
_HOST = """\
#!/bin/sh
# Pulumi's Python language host: Entrant's own, with its environment where there is one.
here=$(cd -P "${{0%/*}}" && pwd) || exit 1
python={python}
[ -x "$python" ] || python=python3
exec "$python" -P {host} --executor="$here/pulumi-language-python-exec" "$@"
"""
"""The launcher beside an engine that was built here."""


@dataclass(frozen=True)
class Pulumi:
    """A Pulumi engine: the executable's path, its version, and where it came from (`PATH`, `archive`, `built`)."""

    path: Path
    version: str
    origin: str


def _version(text: str) -> tuple[int, ...] | None:
    found = re.search(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})", text)
    return tuple(int(part) for part in found.groups()) if found else None


def find_pulumi() -> Pulumi | None:
    """A usable engine that is here already: on PATH, or set up below `.entrant/tools` before."""
    on_path = shutil.which("pulumi")
    if on_path:
        answer = subprocess.run([on_path, "version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        version = _version(answer.stdout)
        host = shutil.which("pulumi-language-python") or Path(on_path).resolve().parent / "pulumi-language-python"
        if version and version >= OLDEST_PULUMI and Path(host).exists():
            return Pulumi(Path(on_path), ".".join(map(str, version)), "PATH")
        why = (
            "is older than " + ".".join(map(str, OLDEST_PULUMI))
            if version and version < OLDEST_PULUMI
            else "is not whole"
        )
        WORDS.say(f"the pulumi on PATH ({on_path}) {why}; not using it")
    for origin in ("archive", "built"):
        path = _tools(origin) / "pulumi"
        if path.exists():
            return Pulumi(_for_project(path.parent) if origin == "built" else path, PULUMI_VERSION, origin)
    return None


def _for_project(built: Path) -> Path:
    """The engine that was built, below the project, beside the language host that runs with the project's interpreter."""
    folder = project.STATE / "tools" / built.name
    private(folder)
    for source in built.iterdir():
        target = folder / source.name
        if not target.exists():
            draft = folder / f".{source.name}-{os.getpid()}"
            try:
                draft.hardlink_to(source)
            except OSError:  # another file system
                shutil.copy2(source, draft)
            draft.replace(target)
    _put_host(folder)
    return folder / "pulumi"


def _put_host(folder: Path) -> None:
    """Put the language host's launcher beside an engine, unless today's is there."""
    text = _HOST.format(
        python=shlex.quote(str(venv_python() if CHECKOUT else sys.executable)),
        host=shlex.quote(str(TOOLCHAIN / "language_host.py")),
    )
    host = folder / "pulumi-language-python"
    if not host.is_file() or host.read_text("utf-8") != text:
        draft = folder / f".host-{os.getpid()}"
        draft.write_text(text, "utf-8")
        draft.chmod(0o755)
        draft.replace(host)


def _tools(origin: str) -> Path:
    import platform

    return cache() / f"pulumi-{PULUMI_VERSION}-{sys.platform}-{platform.machine()}-{origin}"


def ensure_pulumi() -> Pulumi:
    """A Pulumi engine with its Python language host, made if there is none.

    Raises:
        SetupError: no way led to one; the remedy names what to install.
    """
    found = find_pulumi()
    if found:
        return found
    try:
        private(cache())
    except OSError as error:
        raise SetupError(
            f"{cache()} could not be made: {error}", "set XDG_CACHE_HOME to a folder to write to"
        ) from error
    with locked(cache() / "pulumi.lock"):
        found = find_pulumi()
        if found:
            return found
        for leftover in cache().glob(".making-*"):
            _remove(leftover)
        log = project.STATE / "log" / "pulumi.log"
        log.unlink(missing_ok=True)
        import tempfile

        making = Path(tempfile.mkdtemp(prefix=".making-", dir=cache()))
        try:
            origin = _make(making, log)
            (making / "bin").replace(_tools(origin))
        finally:
            _remove(making)
    found = find_pulumi()
    assert found is not None
    return found


def _make(making: Path, log: Path) -> str:
    """Install or build the engine below `making`; which of them it was."""
    archive = f"pulumi-v{PULUMI_VERSION}-{pins.platform(plugin=False)}.tar.gz"
    checksum = pins.read(pins.ENGINE).get(archive)
    if checksum and pins.reachable(pins.RELEASES):
        try:
            with WORDS.step(f"installing Pulumi {PULUMI_VERSION} from its official archive"):
                _official(making, archive, checksum)
            return "archive"
        except SetupError as error:
            WORDS.say(f"{error}; building instead")
    build(PULUMI_VERSION, making, log)
    return "built"


def _remove(folder: Path) -> None:
    if folder.is_symlink():  # and what it leads to is somebody's
        folder.unlink()
        return
    for entry in [folder, *folder.rglob("*")]:  # Go's module cache is read-only
        if entry.is_dir() and not entry.is_symlink():
            entry.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)


def _official(making: Path, archive: str, checksum: str) -> None:
    """Pulumi's own archive, unpacked into `making/bin` if its SHA-256 is the one that is pinned."""
    import tarfile

    packed = making / archive
    try:
        found = pins.fetch(f"{pins.RELEASES}/sdk/{archive}", packed)
    except OSError as error:
        raise SetupError(f"{archive} could not be downloaded ({error})", "") from error
    if found != checksum:
        raise SetupError(f"{archive} has the SHA-256 {found}, not {checksum}, which is pinned", "")
    tools = making / "bin"
    tools.mkdir()
    try:
        with tarfile.open(packed) as content:
            for member in content:
                source = content.extractfile(member) if member.isfile() else None
                if source is not None:
                    target = tools / Path(member.name).name
                    with source, target.open("wb") as output:
                        shutil.copyfileobj(source, output)
                    target.chmod(0o755)
    except (tarfile.TarError, OSError) as error:
        _remove(tools)
        raise SetupError(f"{archive} could not be unpacked ({error})", "") from error
    packed.unlink()
    if not (tools / "pulumi-language-python").exists():
        _remove(tools)
        raise SetupError(f"{archive} holds no pulumi-language-python", "")
