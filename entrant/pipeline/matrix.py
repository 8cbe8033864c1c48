"""The stacks that a change concerns, for a CI system to work on side by side."""

import fnmatch
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from entrant import config
from entrant.ci import logging_command
from entrant.errors import ConfigurationError
from entrant.pipeline import repository

PROGRAM = (
    "__main__.py",
    "components",
    "entrant/config",
    "entrant/facts",
    "entrant/policy",
    "policy",
    "requirements.txt",
    "pulumi-plugins.sha256",
    "Pulumi.yaml",
)
"""What every stack runs, as files and folders: a change of it concerns them all."""
_PLAIN = re.compile(r"[\w.][\w./@+ -]*")
"""Paths that pipelines can hand to shells and to variables."""
MOST_JOBS = 256
"""Jobs that a matrix of GitHub Actions generates at most for a run (GitHub, "Running variations of jobs in a workflow")."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack that is concerned. `stage` counts from 1; stages follow one another, stacks of one go side by side."""

    stack: str
    file: str
    stage: int
    changed: tuple[str, ...]
    """The files that make it so; empty without a base."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """All that concerns a change. `base` is the commit compared with, None when everything is to be done."""

    base: str | None
    stages: int
    """How many there are; 0 when nobody asked for an order."""
    stacks: tuple[Stack, ...]
    unchanged: tuple[str, ...]
    deleted: tuple[str, ...]
    """Stacks that had an environment at the base and have none any more; what they declare is still there."""


def build(root: Path, ref: str | None = None, order: Sequence[str] = ()) -> Matrix:
    """The stacks whose files or program changed since `ref`; all of them without one.

    A stack's files are its environment's, those it extends, the certificates and logos they name, and `Pulumi.<stack>.yaml`.

    Args:
        root: the project's directory.
        ref: a revision; what counts is what changed since the history parted from it, the working tree included.
        order: patterns of stack names, such as `dev*`, one for each stage; the first that fits counts.

    Raises:
        ConfigurationError: a stack that no pattern fits; see `repository.fork` too.
    """
    names = config.environments(root)
    for name in names:
        if not config.is_stack(name):
            raise ConfigurationError(
                f'"{name}" is no name of a stack: letters, digits, "_", "." and "-" make one',
                next_step="rename its file",
            )
    for name in names if order else ():
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in order):
            raise ConfigurationError(
                f"no stage for {name} in the order {','.join(order)}",
                next_step="add a pattern that fits it; `*` fits all",
            )
    base = repository.fork(root, ref) if ref is not None else None
    differing = repository.changed(root, base) if base is not None else frozenset()
    program = sorted(_shown(root, path) for path in differing if _of_program(root, path))
    concerned, unchanged = [], []
    for name in names:
        stage = next((at for at, pattern in enumerate(order, 1) if fnmatch.fnmatchcase(name, pattern)), 1)
        own = sorted(_shown(root, path) for path in _files(root, name) & differing)
        if base is None or program or own:
            file = _shown(root, config.environment_file(name, root.resolve()))
            if not _PLAIN.fullmatch(file):
                raise ConfigurationError(
                    f'the file "{file}" of the stack {name} has characters in its name that shells or CI systems take for more',
                    next_step='rename it: letters, digits, "_", "-", ".", "/" and spaces are text everywhere',
                )
            concerned.append(Stack(name, file, stage, (*own, *program)))
        else:
            unchanged.append(name)
    before: tuple[str, ...] = ()
    if base is not None and differing:
        with repository.checkout(root, base) as old:
            before = config.environments(old)
    deleted = tuple(name for name in before if name not in names and config.is_stack(name))
    concerned.sort(key=lambda stack: (stack.stage, stack.stack))
    return Matrix(base, len(order), tuple(concerned), tuple(unchanged), deleted)


def _files(root: Path, name: str) -> frozenset[Path]:
    """The files of a stack, there or not, as absolute paths; a link and what it leads to are two."""
    report = config.check(name, root=root)
    named: list[str | Path] = [
        *report.files,
        config.environment_file(name, root),
        f"Pulumi.{name}.yaml",
        *report.referred,
    ]
    paths = [str(root.resolve() / path) for path in named if "\0" not in str(path)]
    return frozenset(Path(settle(path)) for path in paths for settle in (os.path.abspath, os.path.realpath))


def _of_program(root: Path, path: Path) -> bool:
    try:
        relative = path.relative_to(root.resolve())
    except ValueError:
        return False
    return any(relative.is_relative_to(part) for part in PROGRAM)


def _shown(root: Path, path: Path) -> str:
    return Path(os.path.relpath(path, root.resolve())).as_posix()


# -------------------------------------------------------------------------------------------------------------- renderers


def as_json(matrix: Matrix) -> str:
    """All of it: `base`, `stacks` with `stack`, `file`, `stage` and `changed`, `unchanged`, `deleted`."""
    document = {
        "base": matrix.base,
        "stacks": [_row(stack) | {"changed": list(stack.changed)} for stack in matrix.stacks],
        "unchanged": list(matrix.unchanged),
        "deleted": list(matrix.deleted),
    }
    return json.dumps(document, indent=2)


def github(matrix: Matrix) -> str:
    """Lines for `$GITHUB_OUTPUT`: `matrix` (for `strategy.matrix`), `any` (for `if`, since GitHub refuses an empty matrix),
    `matrix_1`, `any_1` and so on for each stage, `deleted`.
    """
    lines = []
    for suffix, stacks in _parts(matrix):
        lines.append(f"matrix{suffix}={_compact({'include': [_row(stack) for stack in stacks]})}")
        lines.append(f"any{suffix}={str(bool(stacks)).lower()}")
    return "\n".join([*lines, f"deleted={_compact(list(matrix.deleted))}"])


def azure_devops(matrix: Matrix) -> str:
    """Output variables with the names of `github`; a `matrix` is what `strategy.matrix: $[ … ]` takes.

    A leg's name has letters, digits and underscores only, a letter first (Azure DevOps, "jobs.job.strategy").
    """
    lines = []
    for suffix, stacks in _parts(matrix):
        legs = {_leg(stack, stacks): {key: str(value) for key, value in _row(stack).items()} for stack in stacks}
        lines.append(_variable(f"matrix{suffix}", _compact(legs)))
        lines.append(_variable(f"any{suffix}", str(bool(stacks)).lower()))
    return "\n".join([*lines, _variable("deleted", _compact(list(matrix.deleted)))])


def gitlab(matrix: Matrix) -> str:
    """The jobs of a child pipeline, one for each stack, that extend `.entrant`, in stages that follow one another.

    The pipeline that starts it includes the file that says what `.entrant` does beside this one. Without a stack there is a job
    that does nothing, since GitLab refuses a pipeline without any.
    """
    document: dict[str, Any] = {"stages": [f"stage-{number}" for number in range(1, (matrix.stages or 1) + 1)]}
    for stack in matrix.stacks:
        document[f"stack:{stack.stack}"] = {
            "extends": ".entrant",
            "stage": f"stage-{stack.stage}",
            "variables": {"STACK": stack.stack, "ENVIRONMENT_FILE": stack.file},
        }
    if not matrix.stacks:
        document["nothing-changed"] = {"stage": "stage-1", "script": ["echo 'No environment changed.'"]}
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return text.rstrip("\n")


FORMATS = {"json": as_json, "github": github, "azure-devops": azure_devops, "gitlab": gitlab}
"""Renderers by the name that `--format` takes."""


def _row(stack: Stack) -> dict[str, Any]:
    return {"stack": stack.stack, "file": stack.file, "stage": stack.stage}


def _parts(matrix: Matrix) -> list[tuple[str, list[Stack]]]:
    """All stacks, then those of each stage, empty ones too, when an order was asked for."""
    parts = [("", list(matrix.stacks))]
    for number in range(1, matrix.stages + 1):
        parts.append((f"_{number}", [stack for stack in matrix.stacks if stack.stage == number]))
    return parts


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _leg(stack: Stack, stacks: list[Stack]) -> str:
    def plain(name: str) -> str:
        text = re.sub(r"\W", "_", name, flags=re.ASCII)
        return text if text[0].isalpha() else f"stack_{text}"

    alike = [other for other in stacks if plain(other.stack) == plain(stack.stack)]
    return plain(stack.stack) if len(alike) == 1 else f"{plain(stack.stack)}_{alike.index(stack) + 1}"


def _variable(name: str, value: str) -> str:
    return logging_command("task.setvariable", value, variable=name, isOutput="true")
