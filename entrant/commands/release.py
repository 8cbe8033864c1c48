"""`release`: an app that a stack is to forget, and that stays in the cloud."""

import os
from collections.abc import Iterator
from pathlib import Path

import click

from entrant import config, engine, project
from entrant.commands import options
from entrant.commands.recover import LEFT, agreed
from entrant.errors import ConfigurationError


@click.command()
@click.argument("apps", nargs=-1, required=True, metavar="APP…")
@options.stack
@options.cwd
@click.option("-y", "--yes", is_flag=True, help="Do it without asking.")
@click.option("--dry-run", is_flag=True, help="Only show what would be forgotten; exit code 7 if that is anything.")
def release(apps: tuple[str, ...], stack: str, cwd: Path | None, yes: bool, dry_run: bool) -> int:
    """Have STACK forget APP: its registration, service principal and all that is theirs leave the state and stay in the cloud.

    Shows what it forgets and what the file should say then, and asks. Then take the app out of the file: the next `up` changes
    nothing. It is the way back from `adopt`; `move` hands an app to another stack of the project.

    \b
    python3 -m entrant release legacy-reader -s dev --dry-run
    python3 -m entrant release legacy-reader -s dev --yes
    """
    from entrant.recovery import release as releasing

    if yes and dry_run:
        raise ConfigurationError("--yes and --dry-run", next_step="choose one")
    environ = engine.environment(os.environ)
    apps = tuple(dict.fromkeys(apps))
    found = releasing.plan(stack, apps, cwd=cwd, environ=environ)
    for app in apps:
        if app not in found.apps:
            click.echo(f"{stack} holds nothing of {app} (it holds: {', '.join(found.held) or 'no app'})", err=True)
    if not found.apps:
        return 0
    click.echo(f"{stack} forgets {', '.join(found.apps)}. Nothing of it is deleted or changed in the cloud:")
    environment = engine.environment_of(stack, cwd=cwd, environ=environ)
    for line in (*found.lines(), *_in_the_file(environment, found.apps, cwd or project.ROOT)):
        click.echo(line)
    if agreed(f"Have {stack} forget this?", yes=yes, dry_run=dry_run):
        releasing.apply(found, cwd=cwd, environ=environ)
        click.echo(f"✓ {stack} has forgotten {', '.join(found.apps)}", err=True)
        return 0
    return LEFT if dry_run else 1


def _in_the_file(environment: str, apps: tuple[str, ...], root: Path) -> Iterator[str]:
    """What the file says of the apps, and should say then."""
    if not os.path.exists(config.environment_file(environment, root)):
        return
    report = config.check(environment, root=root)
    if report.environment is None:
        yield f"! {report.files[0]} has errors, so what it says of them is not known; `python3 -m entrant validate` lists them"
        return
    for name in apps:
        app = report.environment.apps.get(name)
        if app is None:
            continue
        then = "takes it over again" if app.adopt else "fails, because the tenant has an app with its name"
        yield f"! {report.files[0]} still declares {name}: take `apps.{name}` out, or the next `up` {then}"
        naming = [other for other, each in report.environment.apps.items() if name in each.names and other not in apps]
        for other in naming:
            yield f"! apps.{other} names {name}: write its client id, or for an owner its object id, in place of the name"
