"""Where a rehearsal keeps its things, and the settings that lead there."""

import dataclasses
import hashlib
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

import local_azure
from entrant import config, engine, project, shells
from entrant.errors import ConfigurationError

_STACK = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Rehearsal:
    """Where one environment's rehearsal keeps its things. `file` is its file below `root` where that is not the stack's."""

    stack: str
    root: Path = project.ROOT
    file: str | None = None
    part: str = ""
    """The folder in the rehearsal's of a stack that stands for something else in it; see `_make_existing`."""

    @classmethod
    def of(cls, name: str, root: Path = project.ROOT) -> "Rehearsal":
        """The rehearsal of a stack, or of a file.

        A file's stack is called as the file is, as far as Pulumi takes the name; where a stack or the rehearsal of another file
        has that name, a few digits make it the file's own.

        Raises:
            ConfigurationError: Pulumi takes no stack of this name, or it is a path and no environment's file.
        """
        if not name.endswith((".yaml", ".yml")):
            stack = name.rpartition("/")[2]
            if not _STACK.fullmatch(stack) or not stack.strip("."):
                raise ConfigurationError(
                    f'"{name}" is no name of a stack', next_step="name a stack, or a file by its path"
                )
            if "/" in name and (fault := config.other_path(name, Path.cwd())):
                raise ConfigurationError(f"{name}: {fault}")
            found = cls(stack, root)
            return dataclasses.replace(found, file=found.made_of())
        path = Path(name).absolute()
        file = Path(os.path.relpath(path, root)).as_posix()
        stack = re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem).strip("-.")[:60] or "file"
        if os.path.realpath(config.environment_file(stack, root, {})) == os.path.realpath(path):
            return cls(stack, root)
        digits = hashlib.sha256(file.encode()).hexdigest()[:6]
        plain, own = cls(stack, root, file), cls(f"{stack}-{digits}", root, file)
        if own.folder.exists() or os.path.exists(config.environment_file(stack, root, {})):
            return own
        return plain if plain.made_of() == file or not plain.exists() else own

    def made_of(self) -> str | None:
        """The file that the rehearsal that is there was made of; None where that is its stack's own, or there is none."""
        if not self.exists():
            return None
        made = yaml.safe_load(self.stack_config.read_text("utf-8")) or {}
        file = (made.get("config") or {}).get("entrant:environment")
        return file if isinstance(file, str) else None

    def command(self, *more: str) -> str:
        """The `rehearse` command for this, as a shell reads it."""
        of = self.file or self.stack
        return shlex.join(["python3", "-m", "entrant", "rehearse", f"./{of}" if of.startswith("-") else of, *more])

    @property
    def folder(self) -> Path:
        """Everything of this rehearsal."""
        return self.root / ".entrant" / "rehearsal" / self.stack / self.part

    @property
    def azure(self) -> Path:
        """The local Azure's state."""
        return self.root / ".entrant" / "rehearsal" / self.stack / "azure"

    @property
    def home(self) -> Path:
        """Pulumi's home, with the plugins in use."""
        return self.root / ".entrant" / "rehearsal" / self.stack / "pulumi"

    @property
    def stack_config(self) -> Path:
        """The stack's configuration: a copy of the project's, with this rehearsal's own encryption."""
        return self.folder / f"Pulumi.{self.stack}.yaml"

    def exists(self) -> bool:
        """Whether there is anything to look at or to take down."""
        return self.stack_config.exists()

    def settings(self, azure: local_azure.LocalAzure) -> dict[str, str]:
        """The environment variables that make `pulumi` and Azure's clients use this rehearsal, secrets included."""
        return {
            **azure.settings(),
            **azure.trust(),
            "ENTRANT_METRICS_ENDPOINT": azure.url,
            **self.backend(),
        }

    def backend(self) -> dict[str, str]:
        """The environment variables that make `pulumi` use this rehearsal's state."""
        return {
            "PULUMI_HOME": str(self.home),
            # without a file beside each of the state's, which may be empty after a crash; nothing needs them
            "PULUMI_BACKEND_URL": f"{(self.folder / 'state').as_uri()}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.folder / "passphrase"),
            "PULUMI_OPTION_CONFIG_FILE": str(self.stack_config),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            **engine.PARALLEL,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",  # the language host lists packages with pip, which would look for a newer pip
        }


def environ(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with a rehearsal's settings, and without what would lead back to a real cloud or backend."""
    foreign = ("ARM_", "AZURE_", "PULUMI_", "ACTIONS_ID_TOKEN_", shells.BEFORE)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return engine.environment(kept | dict(settings))


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 so that it is never seen half written or readable by others."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
