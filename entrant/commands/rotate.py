"""`entrant rotate`: secrets and certificates that are due, made, proved, delivered, and the ones before them taken away."""

import json
import os
from functools import partial
from pathlib import Path

import click

from entrant import engine
from entrant.commands import deliver, options
from entrant.delivery import rotate as rotation
from entrant.delivery.deliver import Result
from entrant.words import counted


@click.command()
@options.stack
@options.cwd
@options.settle
@options.patience
@options.form("text", "json", default="text")
def rotate(stack: str, cwd: Path | None, settle: float, patience: float, form: str) -> int:
    """Rotate the secrets and certificates whose calendar says so: an `up` that may do nothing else, then proof and delivery.

    Each new one is proved by tokens, delivered to the places under `deliver`, and read back where that can be. The one before
    it is taken away when its overlap is over and its successor is proved and everywhere; else it stays until its own end, and
    that is said. Clears up first what a killed run left (see `hold`), so it can be run daily and again at any time.

    Exit codes: 0; 7 where an `up` would do more than rotate, and nothing was done; else that of the first failure.

    \b
    python3 -m entrant rotate -s prod
    """
    work = rotation.Rotation(
        stack,
        deliver.declared(stack, cwd),
        cwd=cwd,
        environ=engine.environment(os.environ),
        settle=settle,
        patience=patience,
        remark=options.remark,
        show=partial(click.echo, err=True),
        tell=show if form == "text" else lambda found: None,
    )
    report = work.run()
    if form == "json":
        click.echo(json.dumps(record(report), indent=2))
    else:
        summary(stack, report)
    return report.exit_code


def show(found: rotation.Proof | Result) -> None:
    """Say what became of a proof or a delivery."""
    if isinstance(found, rotation.Proof):
        if found.failure is None:
            click.echo(f"✓ {found.app}: {found.secret} gives tokens")
        else:
            click.echo(f"✗ {found.app}: {found.secret} gives no token: {found.failure}")
            if found.failure.next_step:
                click.echo(f"    {found.failure.next_step}")
    else:
        deliver.show(found)


def summary(stack: str, report: rotation.Report) -> None:
    """The end of a rotation, for people."""
    for kept in report.kept:
        click.echo(f"! {kept}")
    parts = [f"made: {', '.join(report.made)}" if report.made else "nothing was due"]
    if report.removed:
        parts.append(f"taken away: {', '.join(report.removed)}")
    if unproved := [f"{proof.app} {proof.secret}" for proof in report.proofs if proof.failure]:
        parts.append(f"without tokens: {', '.join(unproved)}")
    if failed := sum(not result.arrived for result in report.results):
        parts.append(f"{failed} of {counted(len(report.results), 'place')} without the newest")
    click.echo(f"{'✗' if report.exit_code else '✓'} {stack}: {'; '.join(parts)}")


def record(report: rotation.Report) -> dict[str, object]:
    """The report as JSON has it."""
    proofs = [
        {
            "app": proof.app,
            "calendar": proof.calendar,
            "secret": proof.secret,
            "failure": str(proof.failure) if proof.failure else None,
        }
        for proof in report.proofs
    ]
    return {
        "made": report.made,
        "removed": report.removed,
        "proofs": proofs,
        "deliveries": deliver.records(report.results),
        "kept": report.kept,
    }
