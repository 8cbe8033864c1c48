"""Whose token, and how it is got: the options that many commands share, and the app they name."""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from entrant import engine, outputs
from entrant.commands import options
from entrant.errors import ConfigurationError
from entrant.facts.audiences import AUDIENCES
from entrant.tokens import cache

if TYPE_CHECKING:
    from entrant.tokens import credentials

_F = TypeVar("_F", bound=Callable[..., Any])
_KINDS = ("auto", "secret", "certificate", "file", "github", "azure-devops")
_META = "entrant.credential"


def source(command: _F) -> _F:
    """Add the options that say whose token (a stack, a file of outputs, or the AZURE_* variables) and how to get it.

    `--credential` and `--cache` are not handed to the command: `token` and `credential` below know them.
    """
    command = click.option(
        "--cache/--no-cache",
        is_flag=True,
        default=None,
        expose_value=False,
        callback=_remember,
        help=f"Keep tokens on disk too, encrypted; by default as {cache.VARIABLE}=1 says.",
    )(command)
    command = click.option(
        "--credential",
        "using",
        type=click.Choice(_KINDS),
        default="auto",
        show_default=True,
        expose_value=False,
        callback=_remember,
        help="How the app proves itself; auto is the first that there is.",
    )(command)
    command = click.option(
        "-s",
        "--stack",
        metavar="STACK",
        shell_complete=options.complete_stacks,
        help="The Pulumi stack that declares the app; without it, the AZURE_* variables, else the selected stack.",
    )(command)
    command = click.option(
        "--outputs",
        "file",
        metavar="FILE",
        help="Stack outputs from a file, or - for standard input: `pulumi stack output --json --show-secrets`.",
    )(command)
    return options.cwd(command)


def _remember(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    ctx.meta.setdefault(_META, {})[parameter.name] = value


def how() -> dict[str, Any]:
    """What `--credential` and `--cache` said, as arguments for `tokens.token` and `tokens.credential`."""
    found: dict[str, Any] = click.get_current_context().meta.get(_META, {})
    return found


def app_and(*names: str) -> Callable[[_F], _F]:
    """Add the arguments `[APP] NAME…`; the command gets them as one tuple, `words`, with None for an app left out."""

    def arranged(ctx: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> tuple[str | None, ...]:
        if len(words) == len(names):
            return (None, *words)
        if len(words) == len(names) + 1:
            return words
        raise click.UsageError(f"takes {parameter.metavar}, and {len(words)} were given", ctx)

    complete = complete_audience if "AUDIENCE" in names else options.complete_apps
    metavar = " ".join(["[APP]", *names])
    return click.argument("words", nargs=-1, metavar=metavar, callback=arranged, shell_complete=complete)


def complete_audience(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Apps until one is named, and the names of audiences for a shell's completion, with what each is; also behind `NAME=`."""
    apps = [] if ctx.params.get(parameter.name or "") else options.complete_apps(ctx, parameter, incomplete)
    variable, equals, begun = incomplete.rpartition("=")
    names = [
        CompletionItem(f"{variable}{equals}{name}", help=api.what)
        for name, api in AUDIENCES.items()
        if name.startswith(begun)
    ]
    return [*apps, *names]


def apps(stack: str | None, file: str | None, cwd: Path | None, *, named: bool = False) -> outputs.Outputs | None:
    """The apps of the source that a command's options name; without options, of the selected stack; None when there is none.

    The AZURE_* variables come before the selected stack, unless an app is `named`, which they do not know.

    Raises:
        ConfigurationError: two sources.
    """
    if stack and file:
        raise ConfigurationError("--stack and --outputs are two sources", next_step="give one of them")
    if file:
        return outputs.from_text(sys.stdin.read(), "standard input") if file == "-" else outputs.from_file(Path(file))
    if not stack and (named or not os.environ.get("AZURE_CLIENT_ID")):
        stack = options.selected(cwd)
    if not stack:
        return None
    if not _may_be_kept():
        # Half of what a token costs is loading what asks for it; pulumi takes that long too.
        threading.Thread(target=_prepare, daemon=True).start()
    return engine.stack_outputs(stack, cwd=cwd)


def _prepare() -> None:
    from entrant.tokens import exchange

    with suppress(ConfigurationError):  # told by whoever asks
        exchange.prepare()


def _may_be_kept() -> bool:
    wanted = how().get("cache")
    return cache.wanted(os.environ) if wanted is None else wanted


def app(name: str | None, stack: str | None, file: str | None, cwd: Path | None) -> outputs.App:
    """The app that a command's arguments name.

    Raises:
        ConfigurationError: two sources, none, or an app that is not there.
    """
    found = apps(stack, file, cwd, named=name is not None)
    if found is not None:
        return found.app(name)
    if name is not None:
        raise ConfigurationError(f'"{name}" is an app of which stack?', next_step="name it with -s STACK")
    return outputs.from_environment(os.environ)


def token(app: outputs.App, audience: str) -> "tuple[credentials.Credential, credentials.Token]":
    """A token for the app, and the credential it came from."""
    from entrant.tokens import clouds, credentials

    credential = credentials.credential(app, **how())
    return credential, credentials.fetch(credential, app, clouds.scope(credential.cloud, audience, app.audiences))


min_valid = click.option(
    "--min-valid",
    type=options.Duration(bare=True),
    default="0s",
    metavar="DURATION",
    callback=lambda ctx, parameter, value: value.total_seconds(),
    help="Renew a token that has less time left than this, such as 600, 10m or 1h; five minutes at least.",
)


class WithCommand(click.Command):
    """A command that is handed what follows `--`, untouched, as its object."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.obj = args[at + 1 :]
        return super().parse_args(ctx, args[:at])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "-- COMMAND…"]
