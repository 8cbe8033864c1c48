"""The `entrant` command. Data on standard output, words on standard error; exit codes follow Pulumi's."""

import logging
import os
import signal
import sys
from importlib import import_module
from keyword import iskeyword
from typing import NamedTuple

import click

import entrant
from entrant import extras, terminal
from entrant.commands import options
from entrant.errors import EngineError, EntrantError
from entrant.setup.installers import SetupError


class Row(NamedTuple):
    """What a command is, and the extras it needs beside the base. Its module in `entrant.commands` is called as it is; with an
    underscore behind it where Python takes the word for its own."""

    what: str
    extras: tuple[str, ...] = ()


COMMANDS = {
    "new": Row("a project of your own", ("pulumi",)),
    "rehearse": Row("the whole job on a local Azure", ("pulumi", "local")),
    "validate": Row("check environments, without any cloud", ("pulumi",)),
    "doctor": Row("before `pulumi up`: may the deployer do all this", ("pulumi",)),
    "import": Row("what a tenant has already, as a file that takes it over", ("pulumi",)),
    "review": Row("before `pulumi up`: who gains what, and what breaks", ("pulumi",)),
    "wait": Row("after it: until every declared grant works"),
    "check": Row("the same once, with evidence"),
    "deliver": Row("client secrets, to the places that use them", ("pulumi",)),
    "rotate": Row("secrets that are due: made, proved, delivered", ("pulumi",)),
    "revoke": Row("a secret that must go, once another is in use", ("pulumi",)),
    "drift": Row("what differs in the cloud from the last deployment", ("pulumi",)),
    "expiry": Row("secrets and certificates that end soon"),
    "token": Row("a bearer token and nothing else"),
    "run": Row("a command with tokens in its environment"),
    "logs": Row("a KQL query as an app"),
    "insights": Row("Application Insights as an app: queries, metrics, events"),
    "metrics": Row("custom metrics as an app"),
    "explain": Row("what an error of Azure means, and what to do"),
    "matrix": Row("the stacks that a change concerns, for a CI system", ("pulumi",)),
    "comment": Row("a review as the one comment on a pull request"),
    "move": Row("move apps from one stack to another, without a change in the cloud", ("pulumi",)),
    "release": Row("have a stack forget an app, which stays in the cloud", ("pulumi",)),
    "recover": Row("after a killed run: note or remove what it made", ("pulumi",)),
    "hold": Row("an `up` in a pipeline, past its own stale lock", ("pulumi",)),
    "assertion": Row("who this job is, which Entra ID takes for a secret"),
    "local": Row("the local Azure by itself", ("local",)),
    "setup": Row("make what the other commands need, without credentials", ("pulumi", "local")),
    "test": Row("every test, the linter and the type checker"),
    "completion": Row("completes commands in bash, zsh or fish"),
    "about": Row("what is set up, for bug reports"),
}
"""In the order in which an app meets them."""
HIDDEN = {"about"}


def main() -> int:
    """Run the command line; the process's exit code."""
    terminal.guard()
    azure = logging.getLogger("azure")  # what goes wrong is said once, in our words
    azure.addHandler(logging.NullHandler())
    azure.propagate = False
    signal.signal(signal.SIGTERM, _stop)
    try:
        result = cli.main(prog_name="entrant", standalone_mode=False)
    except EntrantError as error:
        _say(f"entrant: {error}")
        if error.next_step:
            _say(f"  What to do: {error.next_step}")
        return (error.status if type(error) is EngineError else None) or error.exit_code
    except SetupError as error:
        _say(f"entrant: {error}\n  What to do: {error.remedy}")
        return 1
    except _local_errors() as error:
        _say(f"entrant: {error}")
        return 1
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        _say("entrant: interrupted")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads on; keep the interpreter's last flush quiet
        return 141
    except OSError as error:
        _say(f"entrant: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}")
        return 1
    return result if isinstance(result, int) else 0


def _stop(number: int, frame: object) -> None:
    """Leave in order when a pipeline cancels the job: what was started is ended, and temporary folders go."""
    raise SystemExit(128 + number)


def _local_errors() -> tuple[type[Exception], ...]:
    """What the local Azure and its plugins raise, if they were loaded: their messages hold the remedy."""
    classes = {"local_azure": "LocalAzureError", "local_azure.plugins": "InstallError"}
    return tuple(getattr(sys.modules[module], name) for module, name in classes.items() if module in sys.modules)


def _say(text: str) -> None:
    click.echo(text, err=True, color=True)


class Commands(click.Group):
    """Loads a command's module only when the command is called for (or listed), so that each starts quickly."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        row = COMMANDS[cmd_name]
        extras.need(f"`entrant {cmd_name}`", *row.extras)
        name = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        command = getattr(import_module(f"entrant.commands.{name}"), name)
        assert isinstance(command, click.Command)
        command.short_help = row.what
        if cmd_name != "test":  # its options are pytest's
            for each in command.commands.values() if isinstance(command, click.Group) else [command]:
                _take_everywhere(each)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.what) for name, row in COMMANDS.items() if name not in HIDDEN])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(name, possibilities=list(COMMANDS), ctx=ctx)
        return super().resolve_command(ctx, args)


def _take_everywhere(command: click.Command) -> None:
    """Let a command take the options of `entrant` itself, as people write them, behind its name."""
    if not any("--debug" in parameter.opts for parameter in command.params):
        command.params += options.everywhere(hidden=True)


@click.group(
    cls=Commands,
    params=options.everywhere(hidden=False),
    # With "color" click takes nothing out of what is written to a pipe: `terminal.guard` shows it, as an escape.
    context_settings={"help_option_names": ["-h", "--help"], "color": True},
    epilog="--debug, --quiet and --color may stand behind the command, too.",
)
@click.version_option(entrant.__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Declare Azure app identities in YAML, deploy them with Pulumi, and get bearer tokens that work.

    \b
    python3 -m entrant rehearse dev                  the whole job on a local Azure
    python3 -m entrant validate                      check every environment, without any cloud
    pulumi up -s dev                                 the job on a real tenant
    python3 -m entrant token -s dev log-reader logs  a bearer token for the Log Analytics API
    """
