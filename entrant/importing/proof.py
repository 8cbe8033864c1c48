"""Whether a plan holds imports alone: a preview of the stack, or of one that is made for it and thrown away."""

import contextlib
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from entrant import config, engine
from entrant.changes import Change, Reading
from entrant.errors import EngineError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a preview of the file would do."""

    imports: int
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What it would do besides, in words, by app; the key is empty for what is of none."""


def at_hand(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether there is a Pulumi that can be run."""
    try:
        engine.find(environ)
    except EngineError:
        return False
    return True


def preview(
    stack: str,
    file: str,
    root: Path,
    tell: Callable[[str], None],
    *,
    draft: str | None = None,
    apps: Collection[str] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Outcome:
    """Preview an environment file as a stack's; nothing is changed, in the cloud or in any state.

    Args:
        stack: the stack's name.
        file: the environment's file, as the program finds it.
        root: the project's folder.
        tell: called with what the engine is at.
        draft: another file, which is previewed in the place of that one.
        apps: where the file has others besides, those it is about: what a stack that is made for the preview would have to make
            of the others does not count.

    Raises:
        EngineError: Pulumi could not preview at all.
    """
    reading = Reading()

    def on_event(event: engine.Event) -> None:
        reading.on_event(event)
        if before := event.get("resourcePreEvent"):
            tell(before["metadata"]["urn"].rsplit("::", 1)[-1])

    failed: EngineError | None = None
    with _stack(stack, file, draft or file, root, environ) as (env, more, own):
        try:
            engine.operate(["preview", "--stack", stack, *more], cwd=root, environ=env, on_event=on_event)
        except EngineError as error:
            failed = error
    others: dict[str, list[str]] = {}
    for change in reading.planned:
        beside = not own and apps is not None and change.app not in apps and change.operation == "create"
        if change.changes and not beside and not _pure(change):
            others.setdefault(change.app or "", []).append(_in_words(change))
    for message in reading.errors:
        others.setdefault(_app_in(message), []).append(message)
    apart = others.keys().isdisjoint(change.app for change in reading.planned)
    planned = any(not change.type.startswith(("pulumi:", "entrant:")) for change in reading.planned)
    if failed is not None and (
        not others or (apart and not planned)
    ):  # of no app: there is no plugin, say, or no login
        raise failed
    imports = sum(change.imported for change in reading.planned)
    return Outcome(imports, {app: tuple(dict.fromkeys(words)) for app, words in others.items()})


def _pure(change: Change) -> bool:
    """Whether something is taken over as it is, or is no object of Azure: the stack, and what groups an app's objects."""
    if change.type.startswith(("pulumi:", "entrant:")):
        return True
    return change.imported and change.operation == "import" and not change.differences


def _in_words(change: Change) -> str:
    kind = change.type.rpartition(":")[2]
    differences = "; ".join(f"{each.path}: {each.old!r} becomes {each.new!r}"[:300] for each in change.differences[:5])
    return f"{change.operation} {kind} {change.name}" + (f" ({differences})" if differences else "")


def _app_in(error: str) -> str:
    found = re.search(r"\bapps\.([a-z][a-z0-9_-]*)", error) or re.match(r"([a-z][a-z0-9_-]*)(/[^:]*)?: ", error)
    return found[1] if found else ""


@contextlib.contextmanager
def _stack(
    stack: str, file: str, previewed: str, root: Path, environ: Mapping[str, str]
) -> Iterator[tuple[dict[str, str], list[str], bool]]:
    """The environment and the arguments for a preview, and whether it is of the stack itself: where that exists and the file is its
    own. Else it is of one in a folder that is removed again."""
    env = dict(environ)
    own = os.path.realpath(config.environment_file(stack, root)) == os.path.realpath(root / file)
    own = (
        own
        and not engine.run(["stack", "--stack", stack, "--show-name"], cwd=root, environ=env, check=False).returncode
    )
    if own and previewed == file:
        yield env, [], True
        return
    elsewhere = Path(env.get("PULUMI_OPTION_CONFIG_FILE") or "")
    project = elsewhere if elsewhere.name == f"Pulumi.{stack}.yaml" else root / f"Pulumi.{stack}.yaml"
    held = (yaml.safe_load(project.read_text("utf-8")) or {}) if project.exists() else {}
    with tempfile.TemporaryDirectory(prefix="entrant-import-") as name:
        folder = Path(name)
        settings = folder / f"Pulumi.{stack}.yaml"
        if not own:
            env = _made(stack, folder, root, env)
            held = {"config": held.get("config")} | (yaml.safe_load(settings.read_text("utf-8")) or {})
        held["config"] = (held.get("config") or {}) | {"entrant:environment": previewed}
        settings.write_text(yaml.safe_dump(held), "utf-8")
        yield env | {"PULUMI_OPTION_CONFIG_FILE": str(settings)}, ["--config-file", str(settings)], own


def _made(stack: str, folder: Path, root: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Make a stack whose state is in a folder; the environment for it."""
    (folder / "state").mkdir()
    project = yaml.safe_load((root / "Pulumi.yaml").read_text("utf-8"))
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": project["name"], "runtime": "python"}), "utf-8")
    others = ("PULUMI_OPTION_CONFIG_FILE", "PULUMI_CONFIG_PASSPHRASE_FILE")
    own = {key: value for key, value in env.items() if key not in others} | {
        "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": secrets.token_urlsafe(32),
    }
    engine.run(["stack", "init", stack, "--cwd", str(folder)], cwd=folder, environ=own)
    return own
