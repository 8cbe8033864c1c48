"""`entrant about`: what is set up, for bug reports."""

import click

from entrant.setup import bootstrap


@click.command(hidden=True)
def about() -> None:
    """What is set up, as JSON, for bug reports."""
    click.echo(bootstrap.describe())
