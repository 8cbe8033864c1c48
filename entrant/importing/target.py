"""The file that an import makes, or puts something into."""

import contextlib
import datetime as dt
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from entrant import config
from entrant.errors import ConfigurationError

from . import writing
from .entries import Sheet, There


@dataclass(frozen=True)
class Target:
    """The file: `environment` and `text` are what it has already, if it is there."""

    root: Path
    path: Path
    shown: str
    cloud: str
    environment: config.Environment | None = None
    text: str = ""
    _own: set[Path] = field(default_factory=set)
    """The files beside it that this import has written."""

    @classmethod
    def new(cls, file: Path, root: Path, cloud: str | None) -> "Target":
        """A file that is to be made.

        Raises:
            ConfigurationError: it is there already, outside the project, or cannot be made.
        """
        path, shown = _named(file, root)
        if os.path.lexists(path):
            raise ConfigurationError(
                f"{shown} is there already", next_step=f"add to it with --into {shown}, or name another file"
            )
        if not path.parent.is_dir():
            raise ConfigurationError(f"there is no folder {path.parent}", next_step="make it first")
        return cls(root, path, shown, cloud or "public")

    @classmethod
    def into(cls, file: Path, root: Path, cloud: str | None) -> "Target":
        """A file that is there.

        Raises:
            ConfigurationError: it has errors, is outside the project, or of another cloud.
        """
        path, shown = _named(file, root)
        report = config.check(str(path), root=root)
        if report.environment is None:
            problems = "\n".join(str(problem) for problem in report.errors)
            raise ConfigurationError(problems, next_step="correct the file; `python3 -m entrant validate` checks it")
        if cloud not in (None, report.environment.cloud):
            raise ConfigurationError(
                f"{shown} is of the cloud {report.environment.cloud}", next_step="leave --cloud out"
            )
        return cls(root, path, shown, report.environment.cloud, report.environment, path.read_bytes().decode("utf-8"))

    @property
    def stack(self) -> str:
        """The stack of the file's name."""
        return self.path.stem

    @property
    def folder(self) -> Path:
        """Where the logos and certificates of its apps go: a folder of its own name, beside it."""
        return self.path.with_suffix("")

    def there(self) -> There:
        """What the file has."""
        environment = self.environment
        if environment is None:
            return There()
        definitions = environment.role_definitions
        adopted = {key: app.adopt for key, app in environment.apps.items() if app.adopt is not None}
        return There(
            frozenset(environment.apps),
            {adopt.application: key for key, adopt in adopted.items()},
            {adopt.service_principal: key for key, adopt in adopted.items() if adopt.service_principal is not None},
            {scope.id.lower(): name for name, scope in environment.scopes.items()},
            frozenset(environment.scopes),
            {definition.guid(key): key for key, definition in definitions.items()},
            frozenset(definitions),
            environment.subscription,
            environment.on_remove == "keep",
        )

    def written(self, sheet: Sheet, today: dt.date, *, compact: bool = True) -> str:
        """The file's text with what is to be written; `compact` lets a new one have what apps share in `defaults`."""
        if self.environment is not None:
            return writing.insert(self.path, self.shown, self.text, sheet, self._defaults())
        schema = self.root / "config" / "environment.schema.json"
        named = Path(os.path.relpath(schema, self.path.parent)).as_posix() if schema.exists() else None
        return writing.document(sheet, today, named, compact=compact)

    def _defaults(self) -> Mapping[str, Any]:
        """What the file lays under each app."""
        tree = config.check(str(self.path), root=self.root).tree
        found = tree.plain().get("defaults") if tree is not None else None
        return found if isinstance(found, dict) else {}

    def draft(self, text: str) -> Path:
        """A file beside it with another text, for a look at it; to be removed again."""
        path = self.path.with_name(f".{self.path.stem}.importing.yaml")
        path.write_text(text, "utf-8", newline="")
        return path

    def save(self, sheet: Sheet, today: dt.date) -> None:
        """Write it, and the files that it names: each whole or not at all."""
        self.save_files(sheet)
        writing.save(self.path, self.written(sheet, today).encode())

    def save_files(self, sheet: Sheet) -> None:
        """Write the logos and certificates that it names."""
        files = {name: data for entry in sheet.apps for name, data in entry.files.items()}
        if files:
            self.folder.mkdir(exist_ok=True)
        for name, data in files.items():
            path = self.folder / name
            if path not in self._own and path.exists() and path.read_bytes() != data:
                raise ConfigurationError(
                    f"{self.folder.name}/{name} beside {self.shown} is there already, and is another file",
                    next_step="move it away, or give the environment another name",
                )
            writing.save(path, data)
            self._own.add(path)

    def undo(self) -> None:
        """Leave everything as it was."""
        if self.environment is not None:
            writing.save(self.path, self.text.encode())
        else:
            self.path.unlink(missing_ok=True)
        for path in self._own:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something else is in it
            self.folder.rmdir()


def _named(file: Path, root: Path) -> tuple[Path, str]:
    path = Path(os.path.abspath(root / file))
    shown = os.path.relpath(path, root)
    shown = str(path) if shown.startswith("..") else Path(shown).as_posix()
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigurationError(f"{shown}: the file of an environment ends in .yaml", next_step="name it so")
    if not config.may_be_of_a_stack(path, root):
        raise ConfigurationError(
            f"{shown} is outside the project, whose stacks could not read it",
            next_step="name a file in the project, such as config/legacy.yaml",
        )
    return path, shown
