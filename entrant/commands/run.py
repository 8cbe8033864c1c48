"""`entrant run`: a command with tokens in its environment."""

import os
from pathlib import Path
from typing import Any

import click

from entrant.commands import options, source
from entrant.errors import ConfigurationError
from entrant.tokens import formats


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
    name, audiences = _split(words, set(found.apps) if found else set())
    who = found.app(name) if found else outputs.from_environment(os.environ)
    how: dict[str, Any] = source.how()
    variables: dict[str, str] = {}
    for variable, audience in audiences:
        variables[variable] = credentials.token(who, audience, min_valid=min_valid, **how).access_token
    secrets = [*variables.values(), *filter(None, (who.secret, who.previous_secret)), *who.issued.values()]
    environ = dict(os.environ)
    way = None
    if identity or not audiences:
        shown = runner.identity(who, environ, using=how.get("using", "auto"))
        environ, way = shown.environ, shown.way
        secrets += shown.secrets
    environ, gone = runner.without_deployer(environ, way=way, keep=keep)
    if gone:
        options.remark(f"the command does not get {', '.join(gone)}; --keep NAME gives it one")
    secrets += [environ[name] for name in keep if name in environ]
    environ |= variables
    if no_mask:
        return runner.become(command, environ, cwd=cwd)
    return runner.run(command, environ, secrets, cwd=cwd)


def _split(words: tuple[str, ...], apps: set[str]) -> tuple[str | None, list[tuple[str, str]]]:
    """The app and the audiences with their variables: the first word is the app if there is one of this name."""
    name = words[0] if words and words[0] in apps else None
    audiences = []
    for word in words[1:] if name else words:
        variable, equals, audience = word.partition("=")
        if not (equals and options.VARIABLE.fullmatch(variable)):
            variable, audience = formats.variable(word), word
        audiences.append((options.variable_name(variable), audience))
    return name, audiences
