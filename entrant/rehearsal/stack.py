"""A rehearsal's stack: made, changed, and gone on with after a run that was killed."""

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping

import yaml

from entrant import engine
from entrant.pipeline import locks
from entrant.progress import Step, Steps
from entrant.project import private
from entrant.recovery import checkpoints, unfinished
from entrant.rehearsal.place import Rehearsal, write_private


def prepare(rehearsal: Rehearsal, env: Mapping[str, str]) -> None:
    """Make the backend, the passphrase, the stack's configuration and the stack, whichever is missing."""
    folder = rehearsal.folder
    private(folder)
    folder.chmod(0o700)
    private(folder / "state")
    passphrase = folder / "passphrase"
    if not passphrase.exists():
        write_private(passphrase, secrets.token_urlsafe(32))
    made = yaml.safe_load(rehearsal.stack_config.read_text()) if rehearsal.stack_config.exists() else {}
    if "encryptionsalt" not in (made or {}):
        # `stack init` writes the salt beside a Pulumi.yaml; one of the rehearsal's own keeps it out of the project.
        name = yaml.safe_load((rehearsal.root / "Pulumi.yaml").read_text())["name"]
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": name, "runtime": "python"}))
        plain = {key: value for key, value in env.items() if key != "PULUMI_OPTION_CONFIG_FILE"}
        done = engine.run(
            ["stack", "init", rehearsal.stack, "--cwd", str(folder)], cwd=folder, environ=plain, check=False
        )
        if done.returncode and "already exists" in done.stderr:  # a run was killed between the stack and its salt
            engine.run(
                ["stack", "rm", rehearsal.stack, "--yes", "--force", "--cwd", str(folder)], cwd=folder, environ=plain
            )
            engine.run(["stack", "init", rehearsal.stack, "--cwd", str(folder)], cwd=folder, environ=plain)
        elif done.returncode:
            raise engine.failure(["stack", "init"], done.returncode, done.stderr)
        # Selected, so that commands in the rehearsal's shell need no -s.
        engine.run(["stack", "select", rehearsal.stack], cwd=rehearsal.root, environ=env)
        made = yaml.safe_load(rehearsal.stack_config.read_text())
    project = rehearsal.root / f"Pulumi.{rehearsal.stack}.yaml"
    own = (yaml.safe_load(project.read_text()) or {}) if project.exists() else {}
    for key in ("encryptionsalt", "secretsprovider", "encryptedkey"):
        own.pop(key, None)
    if rehearsal.file is not None:
        own["config"] = (own.get("config") or {}) | {"entrant:environment": rehearsal.file}
    write_private(rehearsal.stack_config, yaml.safe_dump(own | {"encryptionsalt": made["encryptionsalt"]}))


@contextlib.contextmanager
def at_work(rehearsal: Rehearsal) -> Iterator[None]:
    """Leave a mark while Pulumi changes things; one that is found later tells of a run that was killed or failed."""
    mark = rehearsal.folder / "at-work"
    mark.touch()
    yield
    mark.unlink()


def left_unfinished(rehearsal: Rehearsal, steps: Steps) -> bool:
    """Whether a run left something half made; waits for one that is at work, and removes the locks of dead ones."""
    killed = False
    for lock in (rehearsal.folder / "state" / ".pulumi" / "locks").rglob("*.json"):
        try:
            pid = int(json.loads(lock.read_text())["pid"])
        except (ValueError, KeyError, OSError):  # it was killed while it wrote its lock, or ended
            pid = 0
        if pid and locks.alive(pid):  # somebody's own, or what a killed run left running
            with steps.step(f"Waiting for pulumi (process {pid}), which is at work on this rehearsal"):
                while locks.alive(pid):
                    time.sleep(0.2)
        lock.unlink(missing_ok=True)
        killed = True
    return rehearsal.exists() and (killed or (rehearsal.folder / "at-work").exists())


def unreadable(rehearsal: Rehearsal) -> str | None:
    """Why the rehearsal's state cannot be read; None if it can, or there is none."""
    backend = rehearsal.folder / "state"
    for broken in checkpoints.broken_attributes(backend):
        broken.unlink()
    files = [*(backend / ".pulumi" / "stacks").rglob(f"{rehearsal.stack}.json")]
    reasons = [checkpoints.unreadable(file) for file in files]
    meta = backend / ".pulumi" / "meta.yaml"
    if meta.exists() and not meta.read_bytes().strip():
        reasons.append("meta.yaml is empty")
    return next(filter(None, reasons), None)


def recover(rehearsal: Rehearsal, env: Mapping[str, str]) -> str:
    """Note in the state what the last run made; in words, what was done."""
    done: list[str] = []

    def agree(plan: unfinished.Plan) -> bool:
        found = sum(note.found for note in plan.notes)
        lost = "secret removed" if len(plan.lost) == 1 else "secrets removed"
        counts = {"noted": found, lost: len(plan.lost), "gone": len(plan.gone)}
        done.extend(f"{count} {what}" for what, count in counts.items() if count)
        return True

    unfinished.recover(rehearsal.stack, agree=agree, cwd=rehearsal.root, environ=env)
    return ", ".join(done) or "nothing to recover"


def change(operation: str, rehearsal: Rehearsal, env: dict[str, str], step: Step, *more: str) -> engine.Summary:
    """Run `up` or `destroy` on the rehearsal's stack, saying in `step` how far it is and what it did.

    The state is written at the end and not at each step, which takes longer than all else with some hundred resources. `recover`
    finds what a killed run made.
    """
    arguments = [operation, *more, "--yes", "--skip-preview", "--stack", rehearsal.stack]
    summary = engine.operate(
        [*arguments, "--config-file", str(rehearsal.stack_config)],
        cwd=rehearsal.root,
        environ=env | engine.ONE_WRITE,
        on_event=_narrate(step.update),
    )
    step.note = in_words(summary)
    return summary


def in_words(summary: engine.Summary) -> str:
    if not summary.changed:
        return "no changes"
    words = {"create": "created", "update": "updated", "delete": "deleted", "replace": "replaced", "same": "unchanged"}
    return ", ".join(f"{count} {words.get(kind, kind)}" for kind, count in sorted(summary.changes.items()) if count)


def _narrate(tell: Callable[[str], None]) -> Callable[[engine.Event], None]:
    def on_event(event: engine.Event) -> None:
        started = event.get("resourcePreEvent")
        if started and started["metadata"]["op"] != "same":
            metadata = started["metadata"]
            tell(f"{metadata['op']} {metadata['urn'].rsplit('::', 1)[-1]}")

    return on_event
