"""`completion`: completes commands and options in a shell."""

import sys

import click
from click.shell_completion import get_completion_class

from entrant import terminal

_FUNCTION = {
    "bash": 'entrant() {{ {run} "$@"; }}\n',
    "zsh": 'entrant() {{ {run} "$@"; }}\n',
    "fish": "function entrant; {run} $argv; end\n",
}


_CALLS = {
    "bash": [("COMPLETE=bash_complete $1)", "COMPLETE=bash_complete {run})")],
    "zsh": [
        ("COMPLETE=zsh_complete entrant)", "COMPLETE=zsh_complete {run})"),
        ("$+commands[entrant]", "$+functions[entrant]"),
    ],
    "fish": [("(commandline -t) entrant)", "(commandline -t) {run})")],
}
"""Where click's scripts call the command through `env`, which cannot call a shell function: the interpreter is called there."""


@click.command()
@click.argument("shell", type=click.Choice(list(_FUNCTION)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print shell code that makes `entrant` a command of the shell and completes it.

    \b
    eval "$(python3 -m entrant completion bash)"
    python3 -m entrant completion fish | source
    """
    run = f"{sys.executable} -m entrant"
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(ctx.find_root().command, {}, "entrant", "_ENTRANT_COMPLETE").source()
    for call, instead in _CALLS[shell]:
        assert call in script
        script = script.replace(call, instead.format(run=run))
    terminal.say_exactly(_FUNCTION[shell].format(run=run) + script)
