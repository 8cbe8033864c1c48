"""`new`: a project of one's own."""

import os
import shlex
from pathlib import Path

import click

from entrant import starter


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--pipelines", "host", type=click.Choice(tuple(starter.HOSTS)), help="Pipelines for this code host too.")
@click.option("--name", metavar="NAME", help="The project's name in Pulumi; by default the folder's.")
def new(folder: Path, host: str | None, name: str | None) -> None:
    """Make a project of your own in DIR: a Pulumi program, a first environment, and what an editor and git need for it.

    Nothing that is there already is overwritten. Standard output has the files that were written.

    \b
    python3 -m entrant new identities
    python3 -m entrant new teams/obs --name obs-identities --pipelines github
    """
    texts = starter.files(starter.project_name(folder, name), host)
    starter.write(folder, texts)
    for path in texts:
        click.echo(os.path.normpath(folder / path))
    lines = [
        "Next:",
        f"  cd {shlex.quote(str(folder))}",
        "  python3 -m venv .venv && . .venv/bin/activate && pip install -r requirements.txt",
        "  entrant validate             checks config/dev.yaml, without any cloud",
        "  entrant rehearse dev         the whole job on a local Azure",
        "  pulumi stack init dev && pulumi up -s dev --policy-pack policy    the job on a real tenant",
    ]
    if host:
        lines.append(
            "  entrant setup --pin          once: checksums of the resource plugins, for the pipelines; commit the file"
        )
        lines.append(
            f"Then the settings that the files in {starter.HOSTS[host]} need: docs/pipelines.md of Entrant lists them."
        )
    click.echo("\n".join(lines), err=True)
