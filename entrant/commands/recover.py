"""`recover`: what a killed run made and did not note, and a state that cannot be read."""

import os
import sys
from pathlib import Path

import click

from entrant import engine
from entrant.commands import options
from entrant.errors import ConfigurationError, EngineError
from entrant.words import counted

LEFT = 7
"""Exit code when something is, or stays, not as the state has it."""


@click.command()
@options.stack
@options.cwd
@click.option("-y", "--yes", is_flag=True, help="Do it without asking.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done; exit code 7 if that is anything.")
@options.settle
def recover(stack: str, cwd: Path | None, yes: bool, dry_run: bool, settle: float) -> int:
    """After a run that was killed: note in the state of STACK what was made in the cloud, and remove secrets nobody knows.

    Shows what it will do, and asks. What is not provably this stack's is left alone and named. The next `pulumi up` goes on from
    there. `hold` and `rehearse` do it by themselves.

    \b
    python3 -m entrant recover -s dev --dry-run
    python3 -m entrant recover -s dev --yes
    """
    from entrant.pipeline import locks
    from entrant.recovery import unfinished

    if yes and dry_run:
        raise ConfigurationError("--yes and --dry-run", next_step="choose one")

    def agree(plan: unfinished.Plan) -> bool:
        for line in plan.lines():
            click.echo(line)
        return agreed(f"Do this to {stack}?", yes=yes, dry_run=dry_run)

    environ = engine.environment(os.environ)
    _mend(stack, cwd, environ, yes=yes, dry_run=dry_run)
    job = locks.marked(stack, cwd=cwd, environ=environ)
    began = job.began if job else None
    last = unfinished.recover(stack, agree=agree, began=began, settle=settle, cwd=cwd, environ=environ)
    if last.empty:
        for line in last.lines():
            click.echo(line)
        click.echo(f"{'!' if last.left else '✓'} {stack}: nothing to recover", err=True)
    return LEFT if last.left or (dry_run and not last.empty) else 0


def agreed(question: str, *, yes: bool, dry_run: bool) -> bool:
    """Whether to go on: asked, unless an option says it."""
    if yes or dry_run:
        return yes
    if not sys.stdin.isatty():
        raise ConfigurationError("nobody can be asked here", next_step="add --yes, or --dry-run only to look")
    return click.confirm(question)


def _mend(stack: str, cwd: Path | None, environ: dict[str, str], *, yes: bool, dry_run: bool) -> None:
    """Where the state cannot be read, put the last one that can be in its place, with consent."""
    from entrant.pipeline import locks
    from entrant.recovery import checkpoints

    try:
        engine.export(stack, cwd=cwd, environ=environ)
        return
    except EngineError as error:
        if not checkpoints.trouble(error):
            raise
        backend = checkpoints.folder(cwd, environ)
        if backend is None:
            error.next_step = (
                "put an earlier version of the state back (a version of the blob, a backup of the database; "
                "`pulumi stack import --file`), and then run this again"
            )
            raise
        attributes = checkpoints.broken_attributes(backend)
        for broken in attributes:
            click.echo(f"- {broken.relative_to(backend)} cannot be read; Pulumi needs it for nothing, and it goes")
        file = checkpoints.state_file(backend, locks.project_of(cwd or Path.cwd()), stack)
        reason = checkpoints.unreadable(file) if file else None
        good = checkpoints.backups(file) if file and reason else []
        if reason and good:
            click.echo(f"! the state of {stack} cannot be read: {reason}")
            click.echo(
                f"+ put the state of {good[0].written:%Y-%m-%dT%H:%M:%SZ} in its place, {counted(good[0].resources, 'resource')} "
                f"({good[0].file.relative_to(backend)})"
            )
            click.echo("  what was made after that is looked for in the cloud next; secrets made after it are replaced")
        elif reason or not attributes:
            error.next_step = "no backup of the state is beside it; put one back from elsewhere"
            raise
        if not agreed(f"Do this to {stack}?", yes=yes, dry_run=dry_run):
            raise SystemExit(LEFT if dry_run else 1) from None
        for broken in attributes:
            broken.unlink()
        if reason and file:
            kept = checkpoints.restore(file, good[0])
            click.echo(f"the state that cannot be read is kept as {kept.name}", err=True)
