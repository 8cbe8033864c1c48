"""Whether a plan holds imports alone: a preview of the stack, or of one that is made for it and thrown away."""

import contextlib
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
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

    @property
    def clean(self) -> bool:
        """Whether everything is taken over as it is, and nothing else happens."""
        return not self.others


def at_hand(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether there is a Pulumi that can be run."""
    try:
        engine.find(environ)
    except EngineError:
        return False
    return True


def preview(
    stack: str, file: str, root: Path, tell: Callable[[str], None], environ: Mapping[str, str] = os.environ
) -> Outcome:
    """Preview an environment file as a stack's; nothing is changed, in the cloud or in any state.

    Args:
        stack: the stack's name.
        file: the environment's file, as the program finds it.
        root: the project's folder.
        tell: called with what the engine is at.

    Raises:
        EngineError: Pulumi could not preview at all.
    """
    reading = Reading()

    def on_event(event: engine.Event) -> None:
        reading.on_event(event)
        if before := event.get("resourcePreEvent"):
            tell(before["metadata"]["urn"].rsplit("::", 1)[-1])

    failed: EngineError | None = None
    with _stack(stack, file, root, environ) as (env, more):
        try:
            engine.operate(["preview", "--stack", stack, *more], cwd=root, environ=env, on_event=on_event)
        except EngineError as error:
            failed = error
    others: dict[str, list[str]] = {}
    for change in reading.planned:
        if change.changes and not _pure(change):
            others.setdefault(change.app or "", []).append(_in_words(change))
    for said in reading.errors:
        others.setdefault(_app_in(said), []).append(said)
    if failed is not None and not others:
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
    told = "; ".join(f"{each.path}: {each.old!r} becomes {each.new!r}"[:300] for each in change.differences[:5])
    return f"{change.operation} {kind} {change.name}" + (f" ({told})" if told else "")


def _app_in(error: str) -> str:
    found = re.search(r"\bapps\.([a-z][a-z0-9_-]*)", error) or re.match(r"([a-z][a-z0-9_-]*)(/[^:]*)?: ", error)
    return found[1] if found else ""


@contextlib.contextmanager
def _stack(stack: str, file: str, root: Path, environ: Mapping[str, str]) -> Iterator[tuple[dict[str, str], list[str]]]:
    """The environment and the arguments for a preview: the stack's own where it exists, else one in a folder of its own."""
    env = dict(environ)
    own_file = os.path.realpath(config.environment_file(stack, root)) == os.path.realpath(root / file)
    asked = ["stack", "--stack", stack, "--show-name"]
    if own_file and not engine.run(asked, cwd=root, environ=env, check=False).returncode:
        yield env, []
        return
    with tempfile.TemporaryDirectory(prefix="entrant-import-") as name:
        folder = Path(name)
        (folder / "state").mkdir()
        given = yaml.safe_load((root / "Pulumi.yaml").read_text("utf-8"))
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": given["name"], "runtime": "python"}), "utf-8")
        own = {key: value for key, value in env.items() if key != "PULUMI_OPTION_CONFIG_FILE"} | {
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": secrets.token_urlsafe(32),
        }
        own.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)
        engine.run(["stack", "init", stack, "--cwd", str(folder)], cwd=folder, environ=own)
        made = yaml.safe_load((folder / f"Pulumi.{stack}.yaml").read_text("utf-8")) or {}
        project = root / f"Pulumi.{stack}.yaml"
        held = (yaml.safe_load(project.read_text("utf-8")) or {}) if project.exists() else {}
        settings = (held.get("config") or {}) | {"entrant:environment": file}
        merged = folder / f"Pulumi.{stack}.yaml"
        merged.write_text(yaml.safe_dump(made | {"config": settings}), "utf-8")
        yield own | {"PULUMI_OPTION_CONFIG_FILE": str(merged)}, ["--config-file", str(merged)]
