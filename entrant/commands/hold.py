"""`entrant hold`: an `up` in a pipeline."""

import os
from functools import partial
from pathlib import Path

import click

from entrant import engine
from entrant.commands import options
from entrant.commands.source import WithCommand
from entrant.errors import ConfigurationError


@click.command(cls=WithCommand)
@options.stack
@options.cwd
@options.settle
@click.pass_obj
def hold(command: list[str], stack: str, cwd: Path | None, settle: float) -> int:
    """Run a command that changes STACK, after clearing up what a killed run of the same pipeline left.

    Its lock is taken away; a process of it that still works is waited for. What it made in the cloud and did not note is noted, and
    secrets nobody knows are removed (see `recover`); so after a run that ended with an error. For pipelines that let one job at a
    time work on a stack: a lock that anybody else made is left alone, and nothing is run. `pulumi` is found as the other commands
    find it; signals reach the command; its exit code is kept.

    \b
    python3 -m entrant hold -s dev -- pulumi up --yes --skip-preview -s dev
    """
    from entrant.recovery import holding
    from entrant.tokens import runner

    if not command:
        raise ConfigurationError(
            "which command?", next_step="write it after --, such as: hold -s dev -- pulumi up -s dev"
        )

    environ = engine.environment(os.environ)
    show = partial(click.echo, err=True)
    with holding.hold(stack, settle=settle, cwd=cwd, environ=environ, remark=options.remark, show=show) as held:
        code = runner.run(command, environ, [], cwd=cwd, guarded=True)
        held.well = code == 0
        return code
