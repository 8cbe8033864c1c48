"""Options that commands of several modules have, and what completes them in a shell."""

import datetime as dt
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click
from click.shell_completion import CompletionItem

from entrant import debug, engine, extras, project, times
from entrant.errors import ConfigurationError, EntrantError

_F = TypeVar("_F", bound=Callable[..., Any])
_QUIET = "entrant.quiet"

# ------------------------------------------------------------------------------------------------------- of every command


def remark(text: str) -> None:
    """Say something on standard error that is no result, no warning and no error: `--quiet` leaves it out."""
    if not quiet():
        click.echo(text, err=True)


def quiet() -> bool:
    """Whether `--quiet` was given."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_QUIET))


def coloured(stream: TextIO) -> bool:
    """Whether to write colours to a stream: as `--color` says, which sets these variables for programs that are run, too."""
    return not os.environ.get("NO_COLOR") and (bool(os.environ.get("FORCE_COLOR")) or stream.isatty())


def _be_quiet(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[_QUIET] = True


def _debug(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        debug.listen(sys.stderr)


def _colour(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value in ("always", "never"):
        os.environ.pop("NO_COLOR", None)
        os.environ.pop("FORCE_COLOR", None)
        os.environ["FORCE_COLOR" if value == "always" else "NO_COLOR"] = "1"


def everywhere(hidden: bool) -> list[click.Option]:
    """The options that every command takes: shown by `entrant --help`, and taken behind the command's name, too."""
    shared: dict[str, Any] = {"expose_value": False, "is_eager": True, "hidden": hidden}
    return [
        click.Option(
            ["-v", "--debug"],
            is_flag=True,
            callback=_debug,
            help="Say on standard error what is called, with secrets masked.",
            **shared,
        ),
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            callback=_be_quiet,
            help="No progress and no remarks: errors alone.",
            **shared,
        ),
        click.Option(
            ["--color"],
            type=click.Choice(["auto", "always", "never"]),
            callback=_colour,
            help="When to write colours; auto is on a terminal, unless NO_COLOR is set.",
            **shared,
        ),
    ]


def form(*choices: str, default: str, help: str | None = None) -> Callable[[_F], _F]:
    """`--format`, handed over as `form`; where it takes json, `--json` is another way to write `--format json`."""

    def add(command: _F) -> _F:
        if "json" in choices:
            command = click.option("--json", "form", flag_value="json", hidden=True)(command)
        kind = click.Choice(choices)
        return click.option("--format", "form", type=kind, default=default, show_default=True, help=help)(command)

    return add


# ------------------------------------------------------------------------------------------------------------- the stack


def selected(cwd: Path | None) -> str | None:
    """The stack that is selected in Pulumi, which is said; None when there is none."""
    try:
        found = engine.selected(cwd=cwd)
    except EntrantError:
        return None
    remark(f"stack {found}, as it is selected; -s names another")
    return found


def _stack(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None or ctx.resilient_parsing:
        return value
    found = selected(ctx.params.get("cwd"))
    if found is None:
        raise ConfigurationError(
            "which stack?", next_step="name it with -s STACK, or select one with `pulumi stack select STACK`"
        )
    return found


# -------------------------------------------------------------------------------------------------------------- values


class Duration(click.ParamType[dt.timedelta]):
    """A duration: `30d`, `12h`, `10m`, `2w`; where `bare`, a number alone is in seconds."""

    name = "duration"

    def __init__(self, *, bare: bool = False) -> None:
        self.bare = bare

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.timedelta:
        """The duration."""
        if isinstance(value, dt.timedelta):
            return value
        try:
            if value.isdigit() and not self.bare:
                raise ValueError("expected a duration such as 90d, 12h, 10m or 2w, with its unit")
            return times.duration(value)
        except ValueError as error:
            self.fail(f'{error}; found "{value}"', param, ctx)


class Moment(click.ParamType[dt.datetime]):
    """A date or a time with zone, as `entrant:now` takes it."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        """The moment, UTC."""
        try:
            return value if isinstance(value, dt.datetime) else times.moment(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def seconds(name: str, default: float, text: str) -> Callable[[_F], _F]:
    """An option of seconds, with what it means."""
    return click.option(
        name, type=click.FloatRange(0), default=default, show_default=True, metavar="SECONDS", help=text
    )


settle = seconds(
    "--settle",
    15.0,
    "Look for what a killed run made when the state has been left alone for so long: a directory shows new objects late.",
)
"""`--settle`, for commands that recover."""
patience = seconds("--patience", 120.0, "How long the directory may not know a new secret.")
"""`--patience`, for commands that prove secrets."""


now = click.option("--now", type=Moment(), metavar="TIME", help="Look as if it were this time, such as 2027-01-31.")

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def variable_name(name: str) -> str:
    """The name, if a variable of a shell can have it."""
    if not VARIABLE.fullmatch(name):
        raise ConfigurationError(f'"{name}" is no name of a variable', next_step="use letters, digits and _")
    return name


# ------------------------------------------------------------------------------------------------------------ completion


def _root(ctx: click.Context) -> Path:
    root = ctx.params.get("cwd")
    return root if isinstance(root, Path) else project.ROOT


def _beginning(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in dict.fromkeys(words) if word.startswith(incomplete)]


def complete_stacks(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The stacks that have an environment."""
    if not extras.installed("pulumi"):
        return []
    from entrant import config

    return _beginning(config.environments(root=_root(ctx)), incomplete)


def complete_environments(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Stacks, and files."""
    return complete_stacks(ctx, parameter, incomplete) or [CompletionItem(incomplete, type="file")]


def complete_apps(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The apps of the stack that is named; without one, of all."""
    return _beginning(_apps(ctx), incomplete)


def _apps(ctx: click.Context) -> list[str]:
    if not extras.installed("pulumi"):
        return []
    from entrant import config

    root, stack = _root(ctx), ctx.params.get("stack")
    reports = [config.check(name, root=root) for name in ([stack] if stack else config.environments(root=root))]
    return [app for report in reports if report.environment is not None for app in report.environment.apps]


stack = click.option(
    "-s",
    "--stack",
    metavar="STACK",
    callback=_stack,
    shell_complete=complete_stacks,
    help="The Pulumi stack; without it, the selected one.",
)
"""`-s`, for commands that are about one stack."""
cwd = click.option("-C", "--cwd", type=click.Path(file_okay=False, exists=True, path_type=Path), help="Run as if here.")
"""`-C`, for commands that run Pulumi or git."""
