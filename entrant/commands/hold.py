"""`entrant hold`: an `up` in a pipeline."""

import os
from pathlib import Path

import click

from entrant import engine
from entrant.commands import options
from entrant.commands.source import WithCommand
from entrant.errors import ConfigurationError
from entrant.pipeline import code_host


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
    from entrant.pipeline import locks
    from entrant.recovery import checkpoints, unfinished
    from entrant.tokens import runner

    if not command:
        raise ConfigurationError(
            "which command?", next_step="write it after --, such as: hold -s dev -- pulumi up -s dev"
        )

    def agree(plan: unfinished.Plan) -> bool:
        for line in plan.lines():
            click.echo(line, err=True)
        return True

    environ = engine.environment(os.environ)
    backend = checkpoints.folder(cwd, environ)
    for file in checkpoints.drop_broken_attributes(backend) if backend else ():
        options.remark(f"removed {file.name}, which a killed run left unfinished and Pulumi does not need")
    with locks.hold(
        stack, locks.Job.here(*(code_host.pipeline() or ())), cwd=cwd, environ=environ, tell=options.remark
    ) as held:
        before = held.left_by
        reason = before and f"{before.run} of {before.pipeline} did not end well"
        reason = reason or unfinished.pending(stack, cwd=cwd, environ=environ)
        if reason:
            options.remark(f"{reason}; looking for what it left")
            began = before.began if before else None
            unfinished.recover(stack, agree=agree, began=began, settle=settle, cwd=cwd, environ=environ)
        code = runner.run(command, environ, [], cwd=cwd, guarded=True)
        held.well = code == 0
        return code
