"""The git repository that the project is in: what changed since a revision, and the project as it was then."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from entrant.errors import ConfigurationError


def fork(root: Path, ref: str) -> str | None:
    """The commit where the history of the checkout and that of `ref` (a branch, tag or commit) part; None for a `ref` that is
    empty or all zeros, which CI systems give for a branch that is new.

    Raises:
        ConfigurationError: there is no git, no repository, no such revision, or not enough history.
    """
    if not ref.strip("0"):
        return None
    known = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", check=False)
    if known.returncode:
        inside = _git(root, "rev-parse", "--git-dir", check=False)
        if inside.returncode:
            raise ConfigurationError(
                f"{root}: {inside.stderr.strip().removeprefix('fatal: ')}",
                next_step="run it in a clone of the project's repository, or name one with -C",
            )
        raise ConfigurationError(
            f'there is no revision "{ref}" here',
            next_step="check the name; what is only at the remote has to be fetched: `git fetch origin`, "
            "and `git fetch --unshallow` in a shallow clone (in CI `fetch-depth: 0`)",
        )
    found = _git(root, "merge-base", known.stdout.strip(), "HEAD", check=False)
    if found.returncode:
        raise ConfigurationError(
            f'the history here does not reach back to where it left "{ref}"',
            next_step="fetch the whole history: `git fetch --unshallow`, in CI `fetch-depth: 0`",
        )
    return found.stdout.strip()


def changed(root: Path, commit: str) -> frozenset[Path]:
    """The files that differ between a commit and the working tree, deleted and new ones included, as absolute paths."""
    top = _top(root)
    stdout = _git(root, "diff", "--name-only", "--no-renames", "--no-ext-diff", "-z", commit, "--", ":/").stdout
    stdout += _git(top, "ls-files", "--others", "--exclude-standard", "-z").stdout
    return frozenset(top / name for name in stdout.split("\0") if name)


@contextlib.contextmanager
def checkout(root: Path, commit: str) -> Iterator[Path]:
    """The project as it was at a commit, in a folder that is removed at the end; the repository is not touched."""
    top = _top(root)
    with tempfile.TemporaryDirectory(prefix="entrant-") as folder:
        own_index = os.environ | {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        _git(top, "read-tree", commit, environ=own_index)
        _git(top, "checkout-index", "--all", f"--prefix={folder}/tree/", environ=own_index)
        Path(
            folder, "tree", ".git"
        ).touch()  # files that the repository shares lie in this, as they do in the repository
        yield Path(folder, "tree", root.resolve().relative_to(top))


def _top(root: Path) -> Path:
    return Path(_git(root, "rev-parse", "--show-toplevel").stdout.rstrip("\n")).resolve()


def _git(
    folder: Path, *arguments: str, check: bool = True, environ: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("git")
    if program is None:
        raise ConfigurationError("there is no git on PATH", next_step="install git")
    command = [program, "-c", "core.quotePath=false", "-C", str(folder), *arguments]
    done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if check and done.returncode:
        raise ConfigurationError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done
