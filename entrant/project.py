"""Where things lie: this package, the project that is worked on, and what all projects of a user share. Standard library only."""

import os
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
    found = next((place for place in (here, *here.parents) if (place / "Pulumi.yaml").is_file()), None)
    return found or (SOURCE if CHECKOUT else here)


ROOT = find()
"""The project of this process."""
STATE = ROOT / ".entrant"
"""What Entrant keeps for the project: rehearsals, the local Azure, and what set-up made. Git ignores it."""


def state() -> Path:
    """`STATE`, made if it is not there, with a `.gitignore` for all that comes into it."""
    if not STATE.is_dir():
        STATE.mkdir(parents=True, exist_ok=True)
        (STATE / ".gitignore").write_text("*\n", "utf-8")
    return STATE


def cache() -> Path:
    """The folder for what all projects of this user share: `entrant` in `XDG_CACHE_HOME`, by default `~/.cache`."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if os.path.isabs(named) else Path.home() / ".cache") / "entrant"
