"""`entrant revoke`: a secret or a certificate that must go, after its successor is in use."""

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from entrant import engine, outputs
from entrant.commands import deliver, options
from entrant.commands.rotate import show, summary
from entrant.config.credentials import Calendar
from entrant.delivery import rotate as rotation
from entrant.delivery import succession
from entrant.delivery.succession import named
from entrant.errors import ConfigurationError
from entrant.facts.contract import CLIENT_SECRET, kind_of

STAYS = 7
"""Exit code when it is still there."""


@click.command()
@click.argument("app", shell_complete=options.complete_apps)
@click.argument("slot", required=False)
@options.stack
@options.cwd
@click.option("--reason", required=True, metavar="TEXT", help="Why; it goes to the log and into the stack's history.")
@click.option("-y", "--yes", is_flag=True, help="Do it without asking.")
@options.settle
@options.patience
def revoke(
    app: str, slot: str | None, stack: str, cwd: Path | None, reason: str, yes: bool, settle: float, patience: float
) -> int:
    """Take a client secret or a certificate of APP away, once another is made, proved and delivered.

    SLOT is as `rotate` names it, or the name of a certificate, for its newest; without SLOT it is the newest client secret. Says
    first what will break, and asks. It goes when its successor gives tokens and is in every place under `deliver`; where that fails
    it stays, which is said, and `rotate` goes on with it.

    Exit codes: 0 when it is gone; 7 when it is still there, or an `up` would do more; else that of the first failure.

    \b
    python3 -m entrant revoke -s prod log-reader --reason "it was in a log (INC-4711)"
    python3 -m entrant revoke -s prod log-reader 2026-11-01 --yes --reason "its laptop was stolen"
    python3 -m entrant revoke -s prod log-reader signing --reason "its server was broken into"
    """
    reason = " ".join(reason.split())
    if not reason.isprintable():
        raise ConfigurationError("--reason has characters that cannot be printed", next_step="write it in plain text")
    if not reason:
        raise ConfigurationError("--reason is empty", next_step="say why the secret has to go; it stands in the log")
    environment = deliver.declared(stack, cwd)
    found = engine.stack_outputs(stack, secrets=False, cwd=cwd)
    calendar, chosen = choose(found.app(app), slot)
    name = succession.slot(chosen)
    declared = environment.apps[app].calendars.get(calendar) if app in environment.apps else None
    if declared is None:
        raise ConfigurationError(
            f"the file declares no {named(calendar)} for {app}",
            next_step=f"`pulumi up -s {stack}` takes away all it has of them",
        )
    warn(app, calendar, name, declared, bool(chosen["current"]))
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigurationError("nobody can be asked here", next_step="add --yes")
        if not click.confirm(f"Revoke {name} of {app}?"):
            return 1
    report = rotation.Rotation(
        stack,
        environment,
        cwd=cwd,
        environ=engine.environment(os.environ),
        settle=settle,
        patience=patience,
        revoked={app: {name: reason}},
        remark=options.remark,
        show=partial(click.echo, err=True),
        tell=show,
    ).run()
    summary(stack, report)
    if f"{app} {name}" in report.removed:
        click.echo(f"✓ {app}: {name} is revoked: {reason}")
        return report.exit_code
    click.echo(f"✗ {app}: {name} is still there; `python3 -m entrant rotate -s {stack}` goes on with it")
    return report.exit_code or STAYS


def choose(app: outputs.App, slot: str | None) -> tuple[str, Mapping[str, Any]]:
    """The calendar and the entry of a slot, or of the newest of a calendar; without a name of the only calendar, or of the secret.

    Raises:
        ConfigurationError: there is none; with those that there are.
    """
    entries = [(calendar, entry) for calendar in app.calendars for entry in app.of_calendar(calendar)]
    meant = (
        CLIENT_SECRET
        if slot is None and (CLIENT_SECRET in app.calendars or len(app.calendars) != 1)
        else slot or app.calendars[0]
    )
    chosen = next((each for each in entries if meant in (each[0], succession.slot(each[1]))), None)
    if chosen is None:
        what = (
            "no client secret"
            if slot is None
            else f"no client secret {slot}, and no certificate of that name with a calendar"
        )
        raise ConfigurationError(f"{app.name} has {what}", next_step=_instead(app, slot, entries))
    return chosen


def _instead(app: outputs.App, slot: str | None, entries: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """What to do where no calendar of an app has what is meant."""
    if slot in {entry["name"] for entry in app.credentials if entry["kind"] == "certificate"}:
        return (
            f"the app holds the key of {slot}: declare another certificate beside it in the file, then take "
            f"`apps.{app.name}.certificates.{slot}` out, each with an `up`"
        )
    if entries:
        return f"name one of those that there are: {', '.join(succession.slot(entry) for _, entry in entries)}"
    return f"there is nothing to revoke: {app.name} has no client secret, and no certificate that is issued here"


def warn(app: str, calendar: str, name: str, declared: Calendar, newest: bool) -> None:
    """Say what revoking a secret or a certificate breaks."""
    click.echo(
        f"! {app}: whoever uses the {kind_of(calendar)} {name} and is not named here cannot sign in once it is gone"
    )
    for delivery in declared.deliver:
        click.echo(f"·   {delivery.where} gets {'another one' if newest else 'the newest'} first")
    if not declared.deliver:
        then = "see first that its consumers have the newest one"
        if newest:
            then = "its consumers have no other when this one goes, and you bring them the new one afterwards"
        click.echo(f"·   no place is named under `deliver`: {then}")
    click.echo(
        "! tokens that were issued with it work on, 60 to 90 minutes, and up to 28 hours where a client and an API use continuous "
        "access evaluation; to stop the app altogether, say `service_principal: {enabled: false}` in its file"
    )
