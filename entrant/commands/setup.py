"""`entrant setup`: make what the other commands need."""

import os
from pathlib import Path

import click

from entrant import plugins, project
from entrant.commands import options
from entrant.errors import ConfigurationError
from entrant.setup import pins
from entrant.setup.plugins import ensure_plugins, pin_plugins


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
    root = cwd or project.ROOT
    try:
        wanted = plugins.allowed(root)
    except ValueError as error:
        raise ConfigurationError(str(error), next_step="correct the line, or remove the file and pin anew") from None
    if pin:
        options.remark(f"the checksums are in {pin_plugins(wanted, root)}; commit it")
    if also:
        home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
        for what, became in ensure_plugins(wanted, root, home).items():
            options.remark(f"{what}: {became}")
