"""The virtual environment that a checkout makes for itself, with the pinned requirements."""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from entrant.project import SOURCE, private
from entrant.setup.installers import WORDS, SetupError, need_space
from entrant.setup.locks import locked

REQUIREMENTS = SOURCE / "requirements.txt"
TEST_REQUIREMENTS = SOURCE / "tests" / "requirements.txt"
VENV = SOURCE / ".entrant" / "venv"
"""The environment that a checkout makes for itself."""


def venv_python() -> Path:
    """The checkout's own interpreter, below `.entrant/venv`."""
    return VENV / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _fingerprint(files: Sequence[Path]) -> str:
    digest = hashlib.sha256(f"{sys.version_info[:3]} {sys.base_prefix}\n".encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def venv_ready(*, tests: bool = False) -> bool:
    """Whether the project's virtual environment holds exactly what the requirement files ask for."""
    return _stamp_of(tests).is_file() and _stamp_of(tests).read_text() == _fingerprint(_files(tests))


def _files(tests: bool) -> list[Path]:
    return [REQUIREMENTS, TEST_REQUIREMENTS] if tests else [REQUIREMENTS]


def _stamp_of(tests: bool) -> Path:
    return VENV / (".tests-installed" if tests else ".installed")


def ensure_venv(*, tests: bool = False) -> Path:
    """Make `.entrant/venv` hold the pinned requirements (with `tests`, those of the tests too); its interpreter's path.

    Raises:
        SetupError: no venv module, no network, no disk space, a package that does not install.
    """
    if venv_ready(tests=tests):
        return venv_python()
    with locked(VENV.resolve().with_name("venv.lock")):  # one for all projects that link to it
        if venv_ready(tests=tests):
            return venv_python()
        need_space(VENV.parent, 2**30, "the virtual environment")
        log = VENV.parent / "log" / "venv.log"
        log.unlink(missing_ok=True)
        label = "installing the Python packages" + (" with those of the tests" if tests else "")
        with WORDS.step(label):
            interrupted = VENV.exists() and not _stamp_of(False).exists()
            _stamp_of(True).unlink(missing_ok=True)
            if not venv_ready():  # what only the tests need is put beside it, and no failure of theirs costs the rest
                _stamp_of(False).unlink(missing_ok=True)
            if interrupted or not venv_python().exists():
                _make_venv(log)
            _install(_files(tests), log)
            _stamp_of(False).write_text(_fingerprint(_files(False)))
            if tests:
                _stamp_of(True).write_text(_fingerprint(_files(True)))
    return venv_python()


def _make_venv(log: Path) -> None:
    import venv

    try:
        venv.EnvBuilder(with_pip=True, clear=True, symlinks=sys.platform != "win32").create(VENV.resolve())
    except subprocess.CalledProcessError as error:
        raise SetupError(
            f"Python's venv module could not make {VENV}: {error}",
            "on Debian and Ubuntu: apt install python3-venv; then run again",
        ) from error
    except OSError as error:
        raise SetupError(f"{VENV} could not be made: {error}", "check disk space and permissions") from error
    private(log.parent)


def _install(files: Sequence[Path], log: Path) -> None:
    from entrant.setup import packages

    wanted = [part for file in files for part in ("-r", str(file))]
    remedy = "check that this machine reaches a Python package index (pip's own settings are used), then run again"
    packages.install(venv_python(), *wanted, log=log, remedy=remedy, cwd=SOURCE)
