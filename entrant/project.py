"""Where things lie: this package, the project that is worked on, and what all projects of a user share. Standard library only."""

import contextlib
import errno
import os
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
"""The folder that holds the package: a checkout, or the site-packages of an environment it was installed into."""
CHECKOUT = (SOURCE / "Pulumi.yaml").is_file() and (SOURCE / "requirements.txt").is_file()
"""Whether this is a checkout, which sets itself up; an installed package has what its owner gave it."""


def find(folder: Path | None = None) -> Path:
    """The project's folder: the nearest with a `Pulumi.yaml`, from `folder` (the working directory) upwards.

    Where there is none: the checkout this package lies in, or the folder itself.
    """
    here = (folder or Path.cwd()).absolute()
    found = next((place for place in (here, *here.parents) if os.path.isfile(place / "Pulumi.yaml")), None)
    return found or (SOURCE if CHECKOUT else here)


ROOT = find()
"""The project of this process."""
STATE = ROOT / ".entrant"
"""What Entrant keeps for the project: rehearsals, the local Azure, and what set-up made. Git ignores it."""


def private(folder: Path) -> Path:
    """A folder and those above it, made where they are missing, for their owner alone; one below a project's `.entrant` is ignored
    by git. What is there already and lies in `.entrant` is closed to others' writing.

    Raises:
        OSError: it cannot be made, or something that is no folder has its name.
    """
    folder = Path(os.path.abspath(folder))
    own = next((each for each in (folder, *folder.parents) if each.name == STATE.name), None)
    for each in reversed((folder, *folder.parents)):
        with contextlib.suppress(FileExistsError):
            if not os.path.isdir(each):
                each.mkdir(0o700)
                if each == own:
                    (own / ".gitignore").write_text("*\n", "utf-8")
        if own is not None and each.is_relative_to(own) and sys.platform != "win32":
            mode = each.stat().st_mode
            if mode & 0o022:
                with contextlib.suppress(PermissionError):  # another user's
                    each.chmod(mode & 0o7755)
    if not os.path.isdir(folder):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    return folder


def cache() -> Path:
    """The folder for what all projects of this user share: `entrant` in `XDG_CACHE_HOME`, by default `~/.cache`."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if os.path.isabs(named) else Path.home() / ".cache") / "entrant"
