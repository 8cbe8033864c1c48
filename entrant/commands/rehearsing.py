"""`rehearse` and `test`: what sets itself up and runs the project on the local Azure."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from entrant import config, project, rehearsal, shells, terminal
from entrant.commands import options
from entrant.errors import ConfigurationError
from entrant.progress import Steps, console
from entrant.setup import bootstrap, pins


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
    with bootstrap.locked(job.folder.parent / f"{stack}.lock"):
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
    able = [name for name, app in summary["apps"].items() if app["secret"]]
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
        "\n".join([f"{count} problem{'s' if count != 1 else ''}, nothing was made:", *map(str, error.problems)]),
        next_step="correct the file; `python3 -m entrant validate` checks it without any cloud",
    )


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(arguments: tuple[str, ...]) -> int:
    """Run every test, the linter and the type checker; arguments go to pytest.

    \b
    python3 -m entrant test
    python3 -m entrant test tests/config -k extends
    """
    checks: list[list[str]] = (
        []
        if arguments
        else [
            ["ruff", "check", "."],
            ["ruff", "format", "--check", "."],
            ["mypy"],
        ]
    )
    failed = 0
    for check in checks:
        click.echo(f"$ {' '.join(check)}", err=True)
        failed |= subprocess.call([sys.executable, "-m", *check], cwd=project.SOURCE)
    chosen = arguments or ("-n", "auto", "--dist", "loadfile")  # files side by side: each has an Azure of its own
    code = subprocess.call([sys.executable, "-m", "pytest", *chosen], cwd=project.SOURCE)
    return code or (1 if failed else 0)


@click.command()
@click.option(
    "--plugins", "also", is_flag=True, help="Have Pulumi install its resource plugins, by their pinned checksums."
)
@click.option("--pin", is_flag=True, help=f"Note the checksums of the plugins' archives of today in {pins.PLUGINS}.")
@options.cwd
def setup(also: bool, pin: bool, cwd: Path | None) -> None:
    """Make what the other commands need: the Python packages, Pulumi, with --plugins its resource plugins.

    For a pipeline's first step, before any credential is there: what is installed gets none, and everything has a pinned checksum.

    \b
    python3 -m entrant setup --plugins
    python3 -m entrant setup --pin          # once, and after an upgrade; then commit the file
    """
    from entrant import plugins

    root = cwd or project.ROOT
    try:
        wanted = plugins.allowed(root)
    except ValueError as error:
        raise ConfigurationError(str(error), next_step="correct the line, or remove the file and pin anew") from None
    if pin:
        options.remark(f"the checksums are in {bootstrap.pin_plugins(wanted, root)}; commit it")
    if also:
        for what, became in bootstrap.ensure_plugins(wanted, root, rehearsal.users_home()).items():
            options.remark(f"{what}: {became}")


@click.command(hidden=True)
def about() -> None:
    """What is set up, as JSON, for bug reports."""
    click.echo(bootstrap.describe())
