"""The `entrant` command. Data on standard output, words on standard error; exit codes follow Pulumi's."""

import logging
import os
import signal
import sys
from importlib import import_module

import click

from entrant import bootstrap
from entrant.errors import EngineError, EntrantError

COMMANDS = {
    "rehearse": "rehearsing",
    "validate": "validating",
    "token": "tokens",
    "run": "tokens",
    "wait": "proving",
    "check": "proving",
    "doctor": "proving",
    "drift": "watching",
    "expiry": "watching",
    "matrix": "watching",
    "comment": "commenting",
    "hold": "commenting",
    "assertion": "commenting",
    "explain": "proving",
    "review": "reviewing",
    "logs": "monitoring",
    "metrics": "monitoring",
    "test": "rehearsing",
    "local": "local",
    "completion": "completing",
    "about": "rehearsing",
}
"""Command → the module of `entrant.commands` that holds it, in the order of the help text."""


def main() -> int:
    """Run the command line; the process's exit code."""
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
    except bootstrap.SetupError as error:
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
    return result if isinstance(result, int) else 0


def _stop(number: int, frame: object) -> None:
    """Leave in order when a pipeline cancels the job: what was started is ended, and temporary folders go."""
    raise SystemExit(128 + number)


def _local_errors() -> tuple[type[Exception], ...]:
    """What the local Azure and its plugins raise, if they were loaded: their messages hold the remedy."""
    classes = {"local_azure": "LocalAzureError", "local_azure.plugins": "InstallError"}
    return tuple(getattr(sys.modules[module], name) for module, name in classes.items() if module in sys.modules)


def _say(text: str) -> None:
    click.echo(text, err=True)


class Commands(click.Group):
    """Loads a command's module only when the command is called for (or listed), so that each starts quickly."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"entrant.commands.{COMMANDS[cmd_name]}"), cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Declare Azure app identities in YAML, put them up with Pulumi, and get bearer tokens that work.

    \b
    python3 -m entrant rehearse dev                  the whole job on a local Azure
    python3 -m entrant validate                      check every environment, without any cloud
    pulumi up -s dev                                 the job on a real tenant
    python3 -m entrant token -s dev log-reader logs  a bearer token for the Log Analytics API
    """
