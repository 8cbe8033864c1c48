"""`entrant expiry`: secrets and certificates that end soon."""

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

import click

from entrant import ci, engine, outputs, terminal
from entrant.commands import options
from entrant.drift import expiry as endings
from entrant.errors import ConfigurationError
from entrant.words import counted

ENDING = 5
"""Exit code of `expiry` when something ends within the time asked about."""


@click.command("expiry")
@click.option(
    "-s",
    "--stack",
    "stacks",
    multiple=True,
    metavar="STACK",
    shell_complete=options.complete_stacks,
    help="The Pulumi stack; several are possible; without one, the selected one.",
)
@click.option(
    "--outputs",
    "files",
    multiple=True,
    metavar="FILE",
    help="Outputs from a file (`pulumi stack output --json`, masked or not), or - for standard input, instead of the stack's.",
)
@options.cwd
@click.option(
    "--within", type=options.Duration(), default="30d", show_default=True, metavar="TIME", help="Such as 30d, 12h, 2w."
)
@click.option("--strict", is_flag=True, help="Count secrets too that their calendar rotates in time.")
@options.now
@options.form("text", "json", "github", "azure-devops", default="text")
def expiry(
    stacks: tuple[str, ...],
    files: tuple[str, ...],
    cwd: Path | None,
    within: dt.timedelta,
    strict: bool,
    now: dt.datetime | None,
    form: str,
) -> int:
    """Secrets and certificates that have ended or end soon, from the outputs of stacks alone: no cloud, no secret read.

    A secret that its calendar rotates before it ends is shown and does not count, nor does the one before it. Exit code 5 if
    something counts. `github` and `azure-devops` print it as annotations of the run.

    \b
    python3 -m entrant expiry -s dev --within 30d
    python3 -m entrant expiry -s dev --within 2w --format github
    pulumi stack output -s dev --json | python3 -m entrant expiry -s dev --outputs - --format json
    """
    moment = now or dt.datetime.now(dt.UTC)
    read = _outputs(stacks, files, cwd)
    found = [
        ending
        for stack, declared in read
        for ending in endings.find(stack, declared, now=moment, within=within, strict=strict)
    ]
    counted = [ending for ending in found if ending.expected is None]
    if form == "json":
        click.echo(json.dumps({"now": _rfc3339(moment), "endings": [_record(ending) for ending in found]}, indent=2))
    elif form == "text":
        _tell(read, found, moment, within)
    else:
        for ending in counted:
            terminal.say_exactly(_ANNOTATIONS[form](ending, moment))
    return ENDING if counted else 0


def _outputs(stacks: tuple[str, ...], files: tuple[str, ...], cwd: Path | None) -> list[tuple[str, outputs.Outputs]]:
    if not stacks and not files and (found := options.selected(cwd)):
        stacks = (found,)
    if not stacks and not files:
        raise ConfigurationError("which stack?", next_step="name it with -s STACK, or its outputs with --outputs FILE")
    if not files:
        return [(stack, engine.stack_outputs(stack, secrets=False, cwd=cwd)) for stack in stacks]
    if stacks and len(stacks) != len(files):
        raise ConfigurationError(
            f"{counted(len(stacks), 'stack')} and {counted(len(files), 'file')} of outputs",
            next_step="give one file for each stack, in order",
        )
    return [
        (
            stack,
            outputs.from_text(sys.stdin.read(), "standard input", secrets=False)
            if file == "-"
            else outputs.from_file(Path(file), secrets=False),
        )
        for stack, file in zip(stacks or ["STACK"] * len(files), files, strict=True)
    ]


def _record(ending: endings.Ending) -> dict[str, Any]:
    fields = ("stack", "app", "kind", "name", "key_id", "ended", "expected", "next_step")
    return {name: getattr(ending, name) for name in fields} | {"ends": _rfc3339(ending.ends)}


def _rfc3339(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _tell(
    read: list[tuple[str, outputs.Outputs]], found: list[endings.Ending], now: dt.datetime, within: dt.timedelta
) -> None:
    days = counted(within / dt.timedelta(days=1), "day")
    for stack, declared in read:
        mine = [ending for ending in found if ending.stack == stack]
        for ending in mine:
            mark = "…" if ending.expected else "✗" if ending.ended else "!"
            click.echo(f"{mark} {stack}: {ending.sentence(now)}{f': {ending.expected}' if ending.expected else ''}")
            click.echo(f"    {ending.next_step}")
        if not mine:
            following = endings.soonest(declared, after=now)
            then = f"; the next is {following[1]}, {following[0]:%Y-%m-%d}" if following else ""
            click.echo(f"✓ {stack}: nothing ends within {days}{then}")


def _title(ending: endings.Ending) -> str:
    return f"{ending.stack}: {ending.kind} {'has ended' if ending.ended else 'ends soon'}"


def _github(ending: endings.Ending, now: dt.datetime) -> str:
    level = "error" if ending.ended else "warning"
    return ci.workflow_command(level, f"{ending.sentence(now)}. {ending.next_step}", title=_title(ending))


def _azure_devops(ending: endings.Ending, now: dt.datetime) -> str:
    level = "error" if ending.ended else "warning"
    words = f"{_title(ending)}: {ending.sentence(now)}. {ending.next_step}"
    return ci.logging_command("task.logissue", words, type=level)


_ANNOTATIONS = {"github": _github, "azure-devops": _azure_devops}
