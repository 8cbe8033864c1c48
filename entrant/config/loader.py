"""From a file name to a checked environment: `extends`, `defaults`, validation, and all problems at once."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from .broken import BROKEN
from .files import FileName, path_of
from .model import KEY
from .models import Environment
from .problems import ConfigError, Problem, Severity, did_you_mean, shorten
from .source import MAX_BYTES, MAX_VALUES, Entry, Node, contents, read, total
from .validation import breadcrumb, validate

MAX_EXTENDS: Final = 10
MAX_PROBLEMS: Final = 500
_FOLDER: Final = "is a folder; name a file in it, or a stack"


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a check: every problem in file order, and the environment when none of them is an error."""

    environment: Environment | None
    problems: tuple[Problem, ...]
    files: tuple[str, ...]
    """The files that were read, as messages name them: the environment's own first, then what it extends."""
    referred: tuple[Path, ...] = ()
    """The files that these name, there or not: certificates, logos, what they extend."""
    tree: Node | None = field(default=None, repr=False, compare=False)
    """The merged tree, if the files could be read."""
    sound: Environment | None = field(default=None, repr=False, compare=False)
    """The environment with `BROKEN` in the place of what is wrong; None when nothing can be made of the files."""

    def problem(self, path: tuple[Any, ...], message: str, severity: Severity = "error", rule: str = "") -> Problem:
        """A problem with the value at `path` (with `KEY` as its last step: with the key), where it stands in its file."""
        assert self.tree is not None
        node, key, taken = self.tree.walk(path)
        place = key if path[-1] is KEY else node.place
        return Problem(place.file, place.line, place.column, breadcrumb(taken) + message, severity, rule)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the environment from being used."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems that do not."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")


def load(stack_or_path: str | Path, *, root: Path | None = None) -> Environment:
    """The environment of a stack (`dev` is `config/dev.yaml`) or of a file.

    Args:
        stack_or_path: a stack's name, or a path that ends in `.yaml` or `.yml`; a relative one starts at `root`.
        root: the project's directory. Default: the working directory.

    Raises:
        ConfigError: with every problem of every file involved.
    """
    report = check(stack_or_path, root=root)
    if report.environment is None:
        raise ConfigError(report.problems)
    return report.environment


def check(stack_or_path: str | Path, *, root: Path | None = None) -> Report:
    """Like `load`, but returns what it found, warnings included, and raises nothing."""
    root = Path.cwd() if root is None else root
    problems: list[Problem] = []
    file = environment_file(stack_or_path, root)
    text = str(stack_or_path)
    # What `PULUMI_OPTION_CONFIG_FILE` leads to is named by whoever set it: a rehearsal's shell, of a file that may lie elsewhere.
    fault = other_path(text, root) if "/" in text or not os.path.exists(file) else None
    if fault is not None:
        return Report(None, (Problem(text, 0, 0, fault),), ())
    named = text.endswith((".yaml", ".yml")) or _settings_elsewhere(text, os.environ) is not None
    reader = _Reader(root, problems, _readable(root, file, named=named))
    tree = reader.tree(file)
    sound = validate(tree, problems, all_read=reader.all_read) if tree is not None else None
    ordered = sorted(set(problems))
    if len(ordered) > MAX_PROBLEMS:
        more = f"{len(ordered) - MAX_PROBLEMS} further problems are not listed"
        ordered = [*ordered[:MAX_PROBLEMS], Problem(ordered[MAX_PROBLEMS].file, 0, 0, more)]
    failed = any(problem.severity == "error" for problem in ordered)
    files, referred = tuple(reader.files), tuple(reader.referred)
    return Report(None if failed else sound, tuple(ordered), files, referred, tree, sound)


def other_path(text: str, folder: Path) -> str | None:
    """Why a path, a relative one from `folder`, is no environment's file; None where it may be, or is the name of a stack."""
    if text.endswith((".yaml", ".yml")):
        return None
    if os.path.isdir(folder / text):
        return _FOLDER
    if os.path.exists(folder / text):
        return "ends in neither .yaml nor .yml, as the file of an environment does"
    return "there is no such file" if text.startswith(("/", "./", "../")) else None


def may_be_of_a_stack(file: Path, root: Path) -> bool:
    """Whether a stack's settings may name this file: it lies in the project's repository."""
    return _lies_in(file, _readable(root, file, named=False))


def _readable(root: Path, file: Path, *, named: bool) -> tuple[Path, ...]:
    """The folders whose files may be read: the project's repository, and that of a file which the user named and lies elsewhere.

    Without git, a repository is the folder itself.
    """

    def repository(folder: Path) -> Path:
        real = Path(os.path.realpath(folder))
        return next((each for each in (real, *real.parents) if os.path.lexists(each / ".git")), real)

    own = repository(root)
    inside = any(Path(os.path.abspath(file)).is_relative_to(folder) for folder in (own, os.path.abspath(root)))
    return (own, repository(file.parent)) if named and not inside else (own,)


def environment_file(stack_or_path: str | Path, root: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """The file of a stack, or the file itself when a path is given.

    It is `config/<stack>.yaml`, unless the stack's settings, `Pulumi.<stack>.yaml`, name another as `entrant:environment`. The
    settings are in the project's folder, or where `PULUMI_OPTION_CONFIG_FILE` says, as for Pulumi. Of `organization/project/stack`,
    as Pulumi names a stack in full, the last part counts.
    """
    text = str(stack_or_path)
    if text.endswith((".yaml", ".yml")):
        return root / text
    text = text.rpartition("/")[2]
    settings = _settings_elsewhere(text, environ) or root / f"Pulumi.{text}.yaml"
    return root / (_set_file(settings) or f"config/{text}.yaml")


def _settings_elsewhere(stack: str, environ: Mapping[str, str]) -> Path | None:
    """The stack's settings where `PULUMI_OPTION_CONFIG_FILE` says; None where it says nothing of this stack."""
    elsewhere = Path(environ.get("PULUMI_OPTION_CONFIG_FILE", ""))
    return elsewhere if elsewhere.name == f"Pulumi.{stack.rpartition('/')[2]}.yaml" else None


def _set_file(settings: Path) -> str | None:
    """What a stack's settings say about its environment's file; Pulumi itself says what is wrong with them."""
    try:
        found = yaml.safe_load(contents(settings, MAX_BYTES))["config"]["entrant:environment"]
    except (OSError, yaml.YAMLError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) and found else None


def environments(root: Path | None = None) -> tuple[str, ...]:
    """The stacks that have an environment, by name: a file in `config/`, or one that their settings name.

    A file that another one in `config/` extends is a base, and counts only if there is a `Pulumi.<name>.yaml` for it.
    """
    root = Path.cwd() if root is None else root
    files = sorted((root / "config").glob("*.yaml"))
    bases: set[Path] = set()
    for file in files:
        tree = read(file, file.name, [])
        entry = tree.value.get("extends") if tree is not None else None
        if entry is not None and isinstance(entry.node.value, str):
            bases.add(_real(file.parent / entry.node.value.replace("\0", "")))
    named = {file.name.removeprefix("Pulumi.").removesuffix(".yaml"): file for file in root.glob("Pulumi.*.yaml")}
    own = {file.stem for file in files if _real(file) not in bases or file.stem in named}
    return tuple(sorted(own | {name for name, file in named.items() if _set_file(file)}))


_STACK = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,99}")
"""A name that Pulumi takes, without a hyphen first, which commands would take for an option."""


def is_stack(name: str) -> bool:
    """Whether a text can be the name of a stack."""
    return _STACK.fullmatch(name) is not None


def _names(folder: Path) -> list[str]:
    """The names of the YAML files of a folder that can be looked into."""
    with suppress(OSError):
        return sorted(each.stem for each in folder.glob("*.yaml"))
    return []


_OUT: Final = "out of the project, whose files alone are read; keep a copy in it"


def _lies_in(path: Path, folders: tuple[Path, ...]) -> bool:
    """Whether a path, links followed, is in one of these folders (absolute, without links)."""
    return any(_real(path).is_relative_to(folder) for folder in folders)


def _real(path: Path) -> Path:
    """A path with its links followed, as far as they lead anywhere."""
    return Path(os.path.realpath(path))


class _Reader:
    """Reads a file and what it extends into one tree."""

    def __init__(self, root: Path, problems: list[Problem], readable: tuple[Path, ...]) -> None:
        self.root = root
        self.readable = readable
        self.problems = problems
        self.files: list[str] = []
        self.referred: list[Path] = []
        self.all_read = True
        """Whether all files of the chain could be read; else the tree is what the nearer ones hold."""

    def tree(self, file: Path) -> Node | None:
        """The merged tree, or None when the first file cannot be read."""
        shown = self._shown(file)
        if os.path.isdir(file):
            self.problems.append(Problem(shown, 0, 0, _FOLDER))
            return None
        if not os.path.isfile(file):
            of_stacks = file.parent == self.root / "config"
            others = environments(self.root) if of_stacks else _names(file.parent)
            hint = did_you_mean(file.stem, others) or f"; there are: {', '.join(others) or 'none'}"
            self.problems.append(Problem(shown, 0, 0, f"there is no such file{hint}"))
            return None
        if not _lies_in(file, self.readable):
            self.problems.append(Problem(shown, 0, 0, f"leads {_OUT}"))
            return None
        if file.parent == self.root / "config" and not is_stack(file.stem):
            self.problems.append(
                Problem(shown, 0, 0, f'"{file.stem}" is no name of a stack: letters, digits, "_", "." and "-" make one')
            )
        chain: list[Node] = []
        seen: list[Path] = []
        while True:
            seen.append(_real(file))
            self.files.append(self._shown(file))
            node = read(file, self._shown(file), self.problems)
            if node is None and not chain:
                return None
            if node is None:
                self.all_read = False
                break
            self.referred += _anchor_paths(node, file.parent)
            chain.append(node)
            following = self._extended(file, node, seen)
            if following is None:
                break
            file = following
        merged = chain.pop()
        while chain:
            merged = merge(merged, chain.pop())
        return self._settle(merged)

    def _shown(self, file: Path) -> str:
        try:
            return _real(file).relative_to(_real(self.root)).as_posix()
        except ValueError:
            return str(file)

    def _extended(self, file: Path, node: Node, seen: list[Path]) -> Path | None:
        entry = node.value.get("extends")
        if entry is None or not isinstance(entry.node.value, str) or not entry.node.value:
            return None
        place, text = entry.node.place, entry.node.value
        target = file.parent / text
        message = None
        self.referred.append(target)
        if "\0" not in text and not _lies_in(target, self.readable):
            message = f'extends: "{shorten(text)}" leads {_OUT}'
        elif "\0" in text or not os.path.isfile(target):
            others = sorted(other.name for other in file.parent.glob("*.yaml") if _real(other) not in seen)
            hint = did_you_mean(text, others) or "; the path is relative to this file"
            message = f'extends: there is no file "{shorten(text)}"{hint}'
        elif _real(target) in seen:
            message = f'extends: "{shorten(text)}" leads back to a file that extends this one; remove one of the two'
        elif len(seen) >= MAX_EXTENDS:
            message = f"extends: more than {MAX_EXTENDS} files in a row; put them together"
        if message is None:
            return target
        self.problems.append(place.problem(message))
        self.all_read = False
        return None

    def _settle(self, root: Node) -> Node | None:
        """Lay `defaults` under every app; a null that is left then has removed nothing and is a problem."""
        apps = root.value.get("apps")
        others = {key: entry for key, entry in root.value.items() if key != "apps"}
        settled = self._without_nulls(Node(others, root.place), ())
        if apps is None or type(apps.node.value) is not dict:
            if apps is not None and apps.node.value is not None:
                settled.value["apps"] = apps
            return settled
        defaults = settled.value.get("defaults")
        under = defaults.node if defaults is not None and type(defaults.node.value) is dict else None
        finished = Node({}, apps.node.place)
        values = 0
        for name, entry in apps.node.value.items():
            node = entry.node
            if node.value is None and not self.all_read:
                finished.value[name] = Entry(entry.key, Node(BROKEN, node.place))
                continue
            if node.value is None:
                message = (
                    f"apps.{shorten(name)}: nothing stands here, nor anything it removes; write {{}} for all defaults"
                )
                self.problems.append(entry.key.problem(message))
                finished.value[name] = Entry(entry.key, Node(BROKEN, node.place))
                continue
            if type(node.value) is dict:
                node = node if under is None else merge(under, node)
                values += total(node)
                if values > MAX_VALUES:
                    message = f"more than {MAX_VALUES:,} values, defaults counted for each app; divide the environment"
                    self.problems.append(entry.key.problem(message))
                    return None
                node = self._without_nulls(node, ("apps", name))
            finished.value[name] = Entry(entry.key, node)
        settled.value["apps"] = Entry(apps.key, finished)
        return settled

    def _without_nulls(self, node: Node, path: tuple[str | int, ...]) -> Node:
        if type(node.value) is list:
            for index, item in enumerate(node.value):
                if item.value is None:
                    where = breadcrumb((*path, index))
                    self.problems.append(item.place.problem(f"{where}nothing stands after the dash; take the line out"))
            items = [
                self._without_nulls(item, (*path, index)) if type(item.value) in (dict, list) else _or_broken(item)
                for index, item in enumerate(node.value)
            ]
            return Node(items, node.place)
        kept: dict[str, Entry] = {}
        for key, entry in node.value.items():
            below = entry.node
            if below.value is None and not self.all_read:
                kept[key] = Entry(entry.key, _or_broken(below))
            elif below.value is None:
                where = breadcrumb((*path, key))
                message = f"{where}nothing stands here, nor anything it removes; give it a value or take the line out"
                self.problems.append(entry.key.problem(message))
                kept[key] = Entry(entry.key, _or_broken(below))
            elif type(below.value) in (dict, list):
                kept[key] = Entry(entry.key, self._without_nulls(below, (*path, key)))
            else:
                kept[key] = entry
        return Node(kept, node.place)


def _or_broken(node: Node) -> Node:
    """The node, or what stands for one that says nothing and is reported for it."""
    return node if node.value is not None else Node(BROKEN, node.place)


def _anchor_paths(root: Node, directory: Path) -> list[Path]:
    """Let the paths that a file holds start at its own directory, whichever file they end up in; returns where they lead."""

    def below(node: Node | None, name: str) -> Iterator[Node]:
        if node is not None and type(node.value) is dict:
            yield from (entry.node for key, entry in node.value.items() if name in ("*", key))

    holders = [*below(root, "defaults"), *(app for apps in below(root, "apps") for app in below(apps, "*"))]
    found = [logo for holder in holders for logo in below(holder, "logo")]
    for certificates in (node for holder in holders for node in below(holder, "certificates")):
        found += [path for certificate in below(certificates, "*") for path in below(certificate, "path")]
    named = [node for node in found if type(node.value) is str]
    for node in named:
        node.value = FileName.at(node.value, directory)
    return [path_of(node.value) for node in named]


def merge(base: Node, near: Node) -> Node:
    """`near` over `base`: mappings merge key by key, null removes, anything else replaces."""
    merged = Node(dict(base.value), near.place)
    for key, entry in near.value.items():
        below = base.value.get(key)
        if entry.node.value is None and below is not None:
            del merged.value[key]
        elif below is not None and type(below.node.value) is dict and type(entry.node.value) is dict:
            merged.value[key] = Entry(entry.key, merge(below.node, entry.node))
        else:
            merged.value[key] = entry
    return merged
