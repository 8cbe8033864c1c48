"""`entrant import`: from what a tenant has to an environment file that takes it over unchanged."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from entrant import config, project
from entrant.access import deployer as deployers
from entrant.commands import options
from entrant.errors import ConfigurationError
from entrant.facts.clouds import CLOUDS
from entrant.facts.unsafe_text import harmless
from entrant.importing import proof, selection
from entrant.importing.entries import Entry
from entrant.importing.job import Job
from entrant.importing.target import Target
from entrant.progress import Steps, console
from entrant.tokens import clouds
from entrant.words import counted

NOT_ALL = 7
"""Exit code when there is nothing to import, an app could not be taken over unchanged, or the plan holds more than imports."""


@click.command(name="import")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--name", "names", multiple=True, metavar="NAME", help="Registrations of this display name; * and ? stand for any."
)
@click.option(
    "--owner",
    "owners",
    multiple=True,
    metavar="WHO",
    help="Registrations of this owner: a user principal name or an id.",
)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Registrations with this tag.")
@click.option("--all", "everything", is_flag=True, help="Every registration of the tenant.")
@click.option(
    "--except",
    "excepted",
    multiple=True,
    metavar="NAME|ID",
    help="Of those, leave out this one: a display name, with * and ?, or an id.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to make, such as config/legacy.yaml.",
)
@click.option("--into", type=click.Path(dir_okay=False, path_type=Path), help="A file to put into what is new.")
@click.option("--no-preview", is_flag=True, help="Do not let Pulumi preview the file.")
@click.option(
    "--cloud", type=click.Choice(tuple(CLOUDS)), help="The Azure cloud. Default: public, or what the file says."
)
@options.cwd
def import_(
    ids: tuple[str, ...],
    names: tuple[str, ...],
    owners: tuple[str, ...],
    tags: tuple[str, ...],
    everything: bool,
    excepted: tuple[str, ...],
    output: Path | None,
    into: Path | None,
    no_preview: bool,
    cloud: str | None,
    cwd: Path | None,
) -> int:
    """Write what the tenant has as an environment file that takes it over unchanged.

    Reads Microsoft Graph and Resource Manager as whoever is signed in (`az login`, or the ARM_* variables), and changes nothing
    there. Name registrations by object id or client id, or choose them: --name, --owner and --tag narrow one another, and one
    of them given twice widens; --except leaves out. What the file cannot say stands in it as a comment, and on standard error.
    A killed run goes on where it stopped.

    Then Pulumi previews the file, as the stack of its name, and what it would change is read again, or left out as a comment, until
    the plan holds imports alone. Exit code 7 if there is nothing to import, an app had to be left out or more
    would happen.

    \b
    python3 -m entrant import --name 'billing-*' --tag prod -o config/legacy.yaml
    python3 -m entrant import --all --except deployer --no-preview -o config/tenant.yaml
    """
    wanted = selection.Wanted(ids, names, owners, tags, excepted)
    _complete(wanted, everything, output, into)
    root = cwd or project.ROOT
    target = Target.new(output, root, cloud) if output else Target.into(into or Path(), root, cloud)
    who = deployers.find(clouds.resolve(target.cloud, os.environ), os.environ)
    if who is None:
        raise ConfigurationError("nobody is signed in", next_step="log in with `az login`, or set the ARM_* variables")
    job = Job(who, target, Steps(out=console(quiet=options.quiet())))
    selected = job.select(wanted)
    for kind, count in selected.skipped.items():
        _say(f"  skipped: {kind}: {count}")
    for note in selected.notes:
        _say(f"  not looked at: {note}")
    if not selected.registrations:
        options.remark(
            "nothing to import: no file was written" if output else f"nothing new: {target.shown} is as it was"
        )
        return NOT_ALL if output else 0
    preview = not no_preview and proof.at_hand()
    if not no_preview and not preview:
        _say("  no preview: there is no Pulumi here; `entrant review` shows the plan where there is one")
    sheet = job.write(selected.registrations, preview=preview)
    _tell(job, sheet.apps)
    click.echo(target.shown)
    left_out = sum(bool(entry.faults) for entry in sheet.apps)
    options.remark(f"{counted(len(sheet.apps) - left_out, 'app')}. Next: {_next(target)}")
    return NOT_ALL if left_out or job.rest else 0


def _complete(wanted: selection.Wanted, everything: bool, output: Path | None, into: Path | None) -> None:
    """See that a call names one file and, in one way, registrations."""
    if bool(output) == bool(into):
        raise ConfigurationError(
            "both -o and --into are given" if output else "no file is named to write into",
            next_step="name a new file with -o, or one that is there with --into",
        )
    if wanted.everything != everything or (wanted.ids and (wanted.names or wanted.owners or wanted.tags)):
        raise ConfigurationError(
            "registrations are named in more than one way"
            if everything or wanted.ids
            else "no registrations are named",
            next_step="give ids, or --name, --owner and --tag, or --all, one of the three",
        )


def _next(target: Target) -> str:
    """How to see the plan: as the stack of the file's name where it reads this file, else as one that is told to."""
    read = config.environment_file(target.stack, target.root)
    if os.path.realpath(read) == os.path.realpath(target.path):
        return f"python3 -m entrant review -s {target.stack}"
    file = shlex.quote(target.shown)
    return f"pulumi config set entrant:environment {file} -s STACK, then python3 -m entrant review -s STACK"


def _tell(job: Job, apps: Sequence[Entry]) -> None:
    """Say what was left out and what remains."""
    for entry in apps:
        for what in entry.unsaid:
            _say(f"  {entry.key}: left as it is, not declared: {what}")
    for note in dict.fromkeys(job.notes):
        _say(f"  not seen: {note}")
    for entry in apps:
        for fault in entry.faults:
            _say(f"  {entry.key}: not taken over, stands in the file as a comment: {' '.join(fault.split())}")
    for line in job.rest:
        _say(f"  the plan holds besides: {line}")


def _say(text: str) -> None:
    click.echo(harmless(text, keep="\n"), err=True)
