"""`token`: a bearer token, in the form that its reader wants."""

from pathlib import Path

import click

from entrant import formats
from entrant.commands import source


@click.command()
@source.app_and("AUDIENCE")
@source.source
@click.option("--format", "form", type=click.Choice(["raw", "json", "header"]), default="raw", show_default=True)
def token(words: tuple[str, ...], stack: str | None, file: str | None, cwd: Path | None, form: str) -> None:
    """Print a bearer token for AUDIENCE and nothing else: logs, metrics, arm, graph, …, a resource URL or a scope.

    APP may be left out where the stack has one, or with AZURE_* variables.

    \b
    python3 -m entrant token -s dev log-reader logs
    python3 -m entrant token -s dev metrics-writer metrics --format header
    """
    app, audience = words
    _, found = source.token(source.app(app, stack, file, cwd), audience)
    click.echo(formats.render(found, form))
