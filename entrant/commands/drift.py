"""`entrant drift`: what differs in the cloud from the last deployment."""

import datetime as dt
from pathlib import Path

import click

from entrant import engine, project
from entrant.commands import options
from entrant.errors import ConfigurationError

DRIFT = 7
"""Exit code of `drift` when something differs."""


@click.command()
@options.stack
@options.cwd
@options.seconds(
    "--settle",
    15.0,
    "What is found is looked for again after so long, and counts when it is still there; 0 counts it at once.",
)
@options.now
@options.form("text", "markdown", "json", default="text")
def drift(stack: str, cwd: Path | None, settle: float, now: dt.datetime | None, form: str) -> int:
    """Where the cloud differs from the last deployment: what changed or went, and what came manually and no refresh sees.

    Neither the stack's state nor its history is written. `drift.ignore` in the environment's file lists what is known, with a
    reason and a day. Exit code 7 if something differs.

    \b
    python3 -m entrant drift -s dev
    python3 -m entrant drift -s dev --format markdown > drift.md
    """
    from entrant import config
    from entrant.drift import detect as drifts

    root = cwd or project.ROOT
    try:
        environment = config.load(engine.environment_of(stack, cwd=root), root=root)
    except config.ConfigError as error:
        raise ConfigurationError(
            str(error), next_step="correct the file; `python3 -m entrant validate` checks it"
        ) from None
    moment = now or dt.datetime.now(dt.UTC)
    report = drifts.look(stack, environment.drift.ignore, now=moment, settle=settle, cwd=root)
    click.echo(drifts.FORMATS[form](report), nl=form != "markdown")
    return DRIFT if report.findings else 0
