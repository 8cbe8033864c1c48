"""`entrant rehearse`: the whole job on a local Azure."""

import json
import os
from typing import Any

import click

from entrant import config, rehearsal, shells, terminal
from entrant.commands import options
from entrant.errors import ConfigurationError
from entrant.progress import Steps, console
from entrant.setup.locks import locked
from entrant.words import counted


@click.command()
@click.argument("environment", shell_complete=options.complete_environments)
@options.form("text", "json", default="text", help="JSON is one summary, on standard output.")
@click.option(
    "--env", "as_env", is_flag=True, help="Print the shell settings of the rehearsal, for eval, and do nothing else."
)
@click.option("--unset", is_flag=True, help="With --env: print what takes the settings back, as they were before.")
@click.option("--down", is_flag=True, help="Destroy what the rehearsal made and remove its state.")
@click.option(
    "--propagation",
    type=click.FloatRange(0, 3600),
    default=2.0,
    show_default=True,
    help="Seconds until a new role assignment or secret takes effect on the local Azure.",
)
@click.option(
    "--plugins",
    type=click.Choice(["auto", "real", "stand-in"]),
    default="auto",
    show_default=True,
    help="Pulumi's real resource plugins where it can have them, or the local Azure's stand-ins.",
)
def rehearse(
    environment: str, form: str, as_env: bool, unset: bool, down: bool, propagation: float, plugins: str
) -> None:
    """Run ENVIRONMENT, a stack or a file, unchanged, on a local Azure: `pulumi up`, tokens, first API calls.

    Sets up whatever is missing. A second run reuses everything. Nothing outside .entrant/ is touched.

    \b
    python3 -m entrant rehearse dev
    eval "$(python3 -m entrant rehearse dev --env)" && pulumi preview --diff -s dev
    eval "$(python3 -m entrant rehearse dev --env --unset)"
    python3 -m entrant rehearse dev --down
    """
    job = rehearsal.Rehearsal.of(environment)
    stack = job.stack
    if unset and not as_env:
        raise click.UsageError("--unset goes with --env")
    if as_env:
        terminal.say_exactly(shells.take_back("bash", os.environ) if unset else rehearsal.shell(job))
        return
    steps = Steps(out=console(quiet=options.quiet()))
    with locked(job.folder.parent / f"{stack}.lock", remove=down):
        if down:
            rehearsal.down(job, steps)
            if shells.has_settings_of(job.folder, os.environ):
                click.echo(shells.hint(job.command("--env", "--unset")), err=True)
            return
        try:
            summary = rehearsal.run(job, propagation=propagation, which=plugins, steps=steps)
        except config.ConfigError as error:
            raise _refused(error) from None
    if form == "json":
        click.echo(json.dumps(summary))
    for line in _closing(job, summary):
        options.remark(line)


def _closing(job: rehearsal.Rehearsal, summary: dict[str, Any]) -> list[str]:
    able = [name for name, app in summary["apps"].items() if app["secret"] or app["certificates"]]
    return [
        f"The local Azure is at {summary['local_azure']['url']}; Pulumi's state is in {summary['pulumi']['state']}.",
        "Try next:",
        f'  eval "$({job.command("--env")})"',
        f"  pulumi preview --diff -s {job.stack}",
        *(f"  python3 -m entrant token -s {job.stack} {name} logs" for name in able[:1]),
        f"  {job.command('--down')}",
    ]


def _refused(error: Any) -> ConfigurationError:
    count = len(error.problems)
    return ConfigurationError(
        "\n".join([f"{counted(count, 'problem')}, nothing was made:", *map(str, error.problems)]),
        next_step="correct the file; `python3 -m entrant validate` checks it without any cloud",
    )
