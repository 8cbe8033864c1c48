"""`token` and `run`: a bearer token in the form that its reader wants, or in the environment of a command."""

import os
import re
import sys
from pathlib import Path
from typing import Any

import click

from entrant import terminal
from entrant.commands import options, source
from entrant.errors import ConfigurationError
from entrant.tokens import formats

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


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
    variable = _checked(name or formats.variable(audience))
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


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f'"{name}" is no name of a variable', next_step="use letters, digits and _")
    return name


@click.command(cls=source.WithCommand)
@click.argument("words", nargs=-1, metavar="[APP] [[NAME=]AUDIENCE]…", shell_complete=source.complete_audience)
@source.source
@click.option(
    "--identity",
    is_flag=True,
    help="Give AZURE_TENANT_ID, AZURE_CLIENT_ID and the credential too; the default when no AUDIENCE is named.",
)
@click.option(
    "--keep",
    multiple=True,
    metavar="NAME",
    help="A variable of the deployer or the job that the command gets all the same.",
)
@click.option("--no-mask", is_flag=True, help="Become the command, with its output as it is.")
@source.min_valid
@click.pass_obj
def run(
    command: list[str],
    words: tuple[str, ...],
    stack: str | None,
    file: str | None,
    cwd: Path | None,
    identity: bool,
    keep: tuple[str, ...],
    no_mask: bool,
    min_valid: float,
) -> int:
    """Run a command with tokens in its environment, and what is secret of them masked in its output.

    A token is in ENTRANT_TOKEN_LOGS, …, or in NAME when NAME=AUDIENCE is given. Without an AUDIENCE the command gets the AZURE_*
    variables instead, as azure-identity and the Azure CLI read them. What the deployer, the state's backend and the CI job prove
    themselves with (ARM_CLIENT_SECRET, PULUMI_*, AWS_*, GITHUB_TOKEN, …) is not handed on, which is said; --keep NAME hands one on.
    Signals reach the command; its exit code is kept.

    \b
    python3 -m entrant run -s dev log-reader logs -- sh -c 'curl -H "Authorization: Bearer $ENTRANT_TOKEN_LOGS" …'
    python3 -m entrant run -s dev log-reader TOKEN=arm --min-valid 30m -- ./report.sh
    python3 -m entrant run -s dev log-reader -- python3 my_azure_program.py
    """
    from entrant import outputs
    from entrant.tokens import credentials, runner

    if not command:
        raise ConfigurationError("which command?", next_step="write it after --, such as: run -s dev app logs -- env")
    found = source.apps(stack, file, cwd)
    name, asked = _split(words, set(found.apps) if found else set())
    who = found.app(name) if found else outputs.from_environment(os.environ)
    how: dict[str, Any] = source.how()
    given: dict[str, str] = {}
    for variable, audience in asked:
        given[variable] = credentials.token(who, audience, min_valid=min_valid, **how).access_token
    secrets = [*given.values(), *filter(None, (who.secret, who.previous_secret))]
    environ = dict(os.environ)
    way = None
    if identity or not asked:
        shown = runner.identity(who, environ, using=how.get("using", "auto"))
        environ, way = shown.environ, shown.way
        secrets += shown.secrets
    environ, gone = runner.without_deployer(environ, way=way, keep=keep)
    if gone:
        options.remark(f"the command does not get {', '.join(gone)}; --keep NAME gives it one")
    secrets += [environ[name] for name in keep if name in environ]
    environ |= given
    if no_mask:
        return runner.become(command, environ, cwd=cwd)
    return runner.run(command, environ, secrets, cwd=cwd)


def _split(words: tuple[str, ...], apps: set[str]) -> tuple[str | None, list[tuple[str, str]]]:
    """The app and the audiences with their variables: the first word is the app if there is one of this name."""
    name = words[0] if words and words[0] in apps else None
    asked = []
    for word in words[1:] if name else words:
        variable, equals, audience = word.partition("=")
        if not (equals and _NAME.fullmatch(variable)):
            variable, audience = formats.variable(word), word
        asked.append((_checked(variable), audience))
    return name, asked
