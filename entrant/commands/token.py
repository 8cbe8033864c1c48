"""`entrant token`: a bearer token and nothing else."""

import os
import sys
from pathlib import Path

import click

from entrant import terminal
from entrant.commands import options, source
from entrant.errors import ConfigurationError
from entrant.tokens import formats


@click.command()
@source.app_and("AUDIENCE")
@source.source
@options.form(
    *formats.FORMS,
    default="raw",
    help="; ".join(f"{form}: {what}" for form, what in formats.FORMS.items()) + ".",
)
@click.option(
    "--name", metavar="NAME", help="The variable that some forms set; without it, such as ENTRANT_TOKEN_LOGS."
)
@source.min_valid
def token(
    words: tuple[str, ...],
    stack: str | None,
    file: str | None,
    cwd: Path | None,
    form: str,
    name: str | None,
    min_valid: float,
) -> None:
    """Print a bearer token for AUDIENCE and nothing else.

    AUDIENCE is an API by name (logs, insights, metrics, arm, graph, keyvault, sql, …; docs/helper.md has them all), another app of
    the stack, a resource URL or a scope. APP may be left out where the stack has one, or with AZURE_* variables.

    \b
    python3 -m entrant token -s dev log-reader logs
    python3 -m entrant token -s dev metrics-writer metrics --format header
    eval "$(python3 -m entrant token -s dev log-reader logs --format bash)"
    ENTRANT_TOKEN_CACHE=1 python3 -m entrant token logs --min-valid 10m
    """
    from entrant.tokens import credentials

    app, audience = words
    variable = options.variable_name(name or formats.variable(audience))
    if form == "bazel" and file == "-":
        raise ConfigurationError("standard input holds Bazel's request", next_step="give the outputs another way")
    who = source.app(app, stack, file, cwd)
    found = credentials.token(who, audience, min_valid=min_valid, **source.how())
    if form == "bazel":
        terminal.say_exactly(formats.answer_bazel(found, sys.stdin.read()))
    elif form.startswith("github"):
        formats.give_github(found, form, variable, terminal.say_exactly, os.environ)
    else:
        terminal.say_exactly(formats.render(found, form, name=variable))
