"""A rehearsal from the local Azure to the first row, and its end."""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import local_azure
from entrant import config, engine, shells
from entrant.access import trials
from entrant.errors import ConfigurationError
from entrant.outputs import App
from entrant.progress import Steps
from entrant.rehearsal import existing, providers, stack, trying
from entrant.rehearsal.place import Rehearsal, environ
from entrant.tokens import clouds
from entrant.words import counted


def run(
    rehearsal: Rehearsal, *, propagation: float, which: str, steps: Steps, patience: float = 120.0
) -> dict[str, Any]:
    """Set an environment up on the local Azure and use what it declares; the summary that `--json` prints.

    Args:
        propagation: seconds until a new role assignment or secret takes effect on the local Azure.
        which: plugins to use: `auto` (real ones where Pulumi can have them), `real` or `stand-in`.
        patience: seconds to wait for access.

    Raises:
        config.ConfigError: the environment's file has problems; nothing was made.
        EntrantError: a step failed; running again goes on from there.
    """
    environment = _checked(rehearsal, steps)
    left = _what_is_left(rehearsal, steps)
    azure = _local_azure(rehearsal, environment.tenant, propagation, steps)
    settings = rehearsal.settings(azure)
    env = environ(settings)
    rows: dict[str, int] = {}
    with _trusting(settings["REQUESTS_CA_BUNDLE"]):
        with steps.step("What the file refers to") as step:
            named = existing.referred(environment)
            made = azure.admin("POST", "ensure", named)["created"]
            words = [f"{len(ids)} {kind.replace('_', ' ')}" for kind, ids in named.items() if ids]
            step.note = ", ".join([*words, f"{len(made)} made" if made else "all there"])
        with steps.step("Pulumi") as step:
            stack.prepare(rehearsal, env)
            served = providers.install(rehearsal, env, which)
            step.note = ", ".join(f"{name} {kind}" for name, kind in served.items())
        apps, definitions = environment.apps.values(), environment.role_definitions.values()
        if any(app.adopt for app in apps) or any(definition.adopt for definition in definitions):
            with steps.step("What the file takes over") as step:
                step.note = existing.make(rehearsal, environment, azure, step)
        if left:
            with steps.step("What the last run left") as step:
                step.note = stack.recover(rehearsal, env)
        with steps.step("pulumi up") as step, stack.at_work(rehearsal):
            summary = stack.change("up", rehearsal, env, step)
        with steps.step("Outputs") as step:
            declared = engine.stack_outputs(rehearsal.stack, cwd=rehearsal.root, environ=env)
            step.note = handed_out(list(declared.apps.values()))
        able = [trying.with_assertion(rehearsal, azure, app) for app in declared.apps.values()]
        results = trying.all_that_work(
            filter(trials.can_be, able),
            lambda app: trying.trials_of(app, clouds.resolve(app.cloud, settings), rows),
            time.monotonic() + patience,
            steps,
        )
    return {
        "stack": rehearsal.stack,
        "steps": [{"step": step.title, "seconds": round(step.seconds, 3), "note": step.note} for step in steps.done],
        "changes": dict(summary.changes),
        "apps": {name: trying.summary(app, results, rows) for name, app in declared.apps.items()},
        "plugins": served,
        "local_azure": {"url": azure.url, "state": str(rehearsal.azure)},
        "pulumi": {"path": str(engine.find(env)), "state": str(rehearsal.folder)},
    }


def handed_out(apps: Sequence[App]) -> str:
    """What the outputs hold, in words."""
    secrets = sum(app.secret is not None for app in apps)
    certificates = sum(bool(app.issued) for app in apps)
    more = f", certificates of {certificates}" if certificates else ""
    if secrets == len(apps):
        return f"client ids and secrets of {counted(len(apps), 'app')}{more}"
    return f"client ids of {counted(len(apps), 'app')}, " + (f"secrets of {secrets}" if secrets else "no secret") + more


def _checked(rehearsal: Rehearsal, steps: Steps) -> config.Environment:
    report = config.check(rehearsal.file or rehearsal.stack, root=rehearsal.root)
    if report.environment is None:
        raise config.ConfigError(report.problems)
    for problem in report.warnings:
        steps.out.print(str(problem), markup=False)
    return report.environment


def _what_is_left(rehearsal: Rehearsal, steps: Steps) -> bool:
    """Remove what the last run left where it cannot be gone on with; whether there is something to recover."""
    left, broken = stack.left_unfinished(rehearsal, steps), stack.unreadable(rehearsal)
    if not broken and not (rehearsal.folder / existing.BEFORE).exists():
        return left
    reason = (
        f"its state cannot be read ({broken})" if broken else "it was killed while it made what the file takes over"
    )
    steps.out.print(f"The last run cannot be gone on with: {reason}; starting over.")
    _remove(rehearsal)
    return False


def _local_azure(rehearsal: Rehearsal, tenant: str | None, propagation: float, steps: Steps) -> local_azure.LocalAzure:
    with steps.step("Local Azure") as step:
        azure = local_azure.start(rehearsal.azure, propagation=propagation, tenant=tenant)
        if tenant not in (None, azure.tenant_id):  # it was made before the file named this tenant
            steps.out.print(f"The file now belongs to tenant {tenant}; starting over.")
            _remove(rehearsal)
            azure = local_azure.start(rehearsal.azure, propagation=propagation, tenant=tenant)
        step.note = azure.url
    return azure


def down(rehearsal: Rehearsal, steps: Steps) -> None:
    """Destroy the rehearsal's stack, stop its local Azure and remove everything of it."""
    if not rehearsal.folder.exists():
        steps.out.print(f"There is no rehearsal in {rehearsal.folder}; nothing was removed.")
        return
    if stack.left_unfinished(rehearsal, steps) or stack.unreadable(rehearsal):
        steps.out.print("The last run did not end well; its state goes without `pulumi destroy`.")
    elif rehearsal.exists() and (names := providers.missing(rehearsal, environ({}))):
        listed = " and ".join(f"pulumi-resource-{name}" for name in names)
        steps.out.print(
            f"{listed}, which the rehearsal was made with, cannot be found on PATH any more; its state goes without "
            "`pulumi destroy`.",
            markup=False,
        )
    elif rehearsal.exists():
        _destroy(rehearsal, steps)
    with steps.step("State removed") as step:
        _remove(rehearsal)
        step.note = str(rehearsal.folder)


def _destroy(rehearsal: Rehearsal, steps: Steps) -> None:
    with steps.step("Local Azure") as step:
        azure = local_azure.start(rehearsal.azure)
        step.note = azure.url
        if rules := azure.admin("GET", "faults")["rules"]:  # they would break the destroy, too
            azure.admin("PUT", "faults", {"rules": [], "seed": 0})
            step.note += f"; {counted(len(rules), 'fault rule')} ended"
    env = environ(rehearsal.settings(azure))
    with steps.step("pulumi destroy") as step:
        # What `protect` keeps on a real tenant goes too: the rehearsal's directory is removed with it.
        engine.run(
            ["state", "unprotect", "--all", "--yes", "--stack", rehearsal.stack], cwd=rehearsal.root, environ=env
        )
        # A refresh first, since what was taken away manually cannot be destroyed.
        stack.change("destroy", rehearsal, env, step, "--refresh")


def _remove(rehearsal: Rehearsal) -> None:
    local_azure.stop(rehearsal.azure)
    if rehearsal.folder.exists():
        shutil.rmtree(rehearsal.folder)


class _trusting:
    """For a block, lets Azure's Python clients in this process trust a bundle; they read it from the environment only."""

    def __init__(self, bundle: str) -> None:
        self._bundle = bundle
        self._before: str | None = None

    def __enter__(self) -> None:
        self._before = os.environ.get("REQUESTS_CA_BUNDLE")
        os.environ["REQUESTS_CA_BUNDLE"] = self._bundle

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            del os.environ["REQUESTS_CA_BUNDLE"]
        else:
            os.environ["REQUESTS_CA_BUNDLE"] = self._before


def shell(rehearsal: Rehearsal) -> str:
    """Shell commands that point `pulumi` and Azure's clients at the rehearsal; for `eval`.

    Raises:
        ConfigurationError: there is no such rehearsal.
    """
    if not rehearsal.exists():
        raise ConfigurationError(
            f"there is no rehearsal of {rehearsal.stack}",
            next_step=f"run `{rehearsal.command()}`",
        )
    azure = local_azure.start(rehearsal.azure)
    folders = [str(Path(sys.executable).parent), str(engine.find(os.environ).parent)]
    return shells.give(rehearsal.settings(azure), "bash", os.environ, path=folders)
