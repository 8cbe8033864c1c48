"""`move`: apps that go from one stack to another."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from entrant import config, engine, project
from entrant.commands import options
from entrant.commands.recover import LEFT, agreed
from entrant.errors import ConfigurationError

if TYPE_CHECKING:
    from entrant.recovery import moving


@click.command()
@click.argument("apps", nargs=-1, metavar="[APP…]")
@options.stack
@click.option(
    "--to", "target", required=True, metavar="STACK", shell_complete=options.complete_stacks, help="Where to."
)
@options.cwd
@click.option("-y", "--yes", is_flag=True, help="Do it without asking.")
@click.option("--dry-run", is_flag=True, help="Only show what would move; exit code 7 if that is anything.")
def move(apps: tuple[str, ...], stack: str, target: str, cwd: Path | None, yes: bool, dry_run: bool) -> int:
    """Move APP from STACK to another stack of the project, to split a large one or to join two. Nothing changes in the cloud.

    First move the entries from one file to the other, and make the other stack where there is none (`pulumi stack init`). Without
    APP, every app moves that the other file declares, STACK holds and its file no longer declares. Shows what moves and what the
    files have to say then, and asks. A move that was killed is ended by running it again; until then an `up` of STACK fails.

    \b
    python3 -m entrant move -s dev --to dev-reports --dry-run
    python3 -m entrant move log-reader -s dev --to dev-reports --yes
    """
    from entrant.recovery import moving

    if yes and dry_run:
        raise ConfigurationError("--yes and --dry-run", next_step="choose one")
    if stack == target:
        raise ConfigurationError(f"{stack} is both stacks", next_step="name another one with --to")
    environ = engine.environment(os.environ)
    reports = [_report(each, cwd, environ) for each in (stack, target)]
    source_file, target_file = (report.files[0] for report in reports)
    here, there = ({*report.sound.apps} if report.sound else set() for report in reports)
    found = moving.plan(stack, target, list(dict.fromkeys(apps)) or sorted(there - here), cwd=cwd, environ=environ)
    moved = found.source.apps
    for app in (app for app in apps if app not in moved):
        click.echo(f"{stack} holds nothing of {app} (it holds: {', '.join(found.source.held) or 'no app'})", err=True)
    if not moved:
        click.echo(
            f"nothing to move: {stack} holds no app that {target_file} declares and {source_file} does not", err=True
        )
        return 0
    click.echo(f"From {stack} to {target} go {', '.join(moved)}. Nothing is deleted or changed in the cloud:")
    for line in found.lines():
        click.echo(line)
    wrong = [
        f"{file} does not declare {app}" for file, app in ((target_file, app) for app in moved if app not in there)
    ]
    wrong += [f"{source_file} still declares {app}" for app in moved if app in here]
    broken = [report.files[0] for report in reports if report.environment is None]
    for line in (*wrong, *(f"{file} has errors; `python3 -m entrant validate` lists them" for file in broken)):
        click.echo(f"! {line}")
    if wrong or broken:
        for line in _references(found, source_file, target_file):
            click.echo(f"! {line}")
        if not dry_run:
            raise ConfigurationError(
                "nothing was moved: the files do not say yet what the stacks are to hold, and the next `up` would go by them",
                next_step=f"move the entries under `apps` from {source_file} to {target_file}, and run this again",
            )
    if not agreed(f"Move this to {target}?", yes=yes, dry_run=dry_run):
        return LEFT if dry_run else 1
    moving.apply(found, cwd=cwd, environ=environ)
    click.echo(f"✓ {target} has {', '.join(moved)}; next: python3 -m entrant review -s {target}", err=True)
    return 0


def _report(stack: str, cwd: Path | None, environ: dict[str, str]) -> config.Report:
    return config.check(engine.environment_of(stack, cwd=cwd, environ=environ), root=cwd or project.ROOT)


def _references(found: "moving.Move", source_file: str, target_file: str) -> Iterator[str]:
    """What to write in the place of names that the other file has from then on."""
    for reference in found.references:
        file = source_file if reference.of_source else target_file
        yield (
            f"in {file}, apps.{reference.app} needs {reference.named}, which the other stack holds then: write "
            f"{reference.instead} in place of its name"
        )
