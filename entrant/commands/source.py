"""Whose token: the options that many commands share, and the app they name."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from entrant import clouds, engine, outputs, tokens
from entrant.errors import ConfigurationError

_F = TypeVar("_F", bound=Callable[..., Any])


def source(command: _F) -> _F:
    """Add the options that say whose token: a stack, a file of outputs, or the AZURE_* variables."""
    command = click.option(
        "-s",
        "--stack",
        metavar="STACK",
        help="The Pulumi stack that declares the app; without it, the AZURE_* variables.",
    )(command)
    command = click.option(
        "--outputs",
        "file",
        metavar="FILE",
        help="Stack outputs from a file, or - for standard input: `pulumi stack output --json --show-secrets`.",
    )(command)
    return click.option(
        "-C", "--cwd", type=click.Path(file_okay=False, exists=True, path_type=Path), help="Run as if here."
    )(command)


def app_and(*names: str) -> Callable[[_F], _F]:
    """Add the arguments `[APP] NAME…`; the command gets them as one tuple, `words`, with None for an app left out."""

    def arranged(ctx: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> tuple[str | None, ...]:
        if len(words) == len(names):
            return (None, *words)
        if len(words) == len(names) + 1:
            return words
        raise click.UsageError(f"takes {parameter.metavar}, and {len(words)} were given", ctx)

    return click.argument("words", nargs=-1, metavar=" ".join(["[APP]", *names]), callback=arranged)


def app(name: str | None, stack: str | None, file: str | None, cwd: Path | None) -> outputs.App:
    """The app that a command's arguments name.

    Raises:
        ConfigurationError: two sources, none, or an app that is not there.
    """
    if stack and file:
        raise ConfigurationError("--stack and --outputs are two sources", next_step="give one of them")
    if file:
        found = outputs.from_text(sys.stdin.read(), "standard input") if file == "-" else outputs.from_file(Path(file))
        return found.app(name)
    if stack:
        return engine.stack_outputs(stack, cwd=cwd).app(name)
    if name is not None:
        raise ConfigurationError(f'"{name}" is an app of which stack?', next_step="name it with -s STACK")
    return outputs.from_environment(os.environ)


def token(app: outputs.App, audience: str) -> tuple[tokens.Credential, tokens.Token]:
    """A token for the app, and the credential it came from."""
    credential = tokens.credential(app)
    return credential, tokens.fetch(credential, app, clouds.scope(credential.cloud, audience))
