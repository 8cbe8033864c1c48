"""`entrant matrix`: the stacks that a change concerns."""

from pathlib import Path

import click

from entrant import project, terminal
from entrant.commands import options
from entrant.pipeline import matrix as matrices
from entrant.words import counted


@click.command()
@click.option(
    "--base", metavar="REF", help="Only what changed since the history parted from this branch, tag or commit."
)
@click.option(
    "--order",
    metavar="PATTERNS",
    default="",
    help="Stages that follow one another, as patterns of stack names: 'dev*,test*,prod*'.",
)
@options.cwd
@options.form(*matrices.FORMATS, default="json")
def matrix(base: str | None, order: str, cwd: Path | None, form: str) -> int:
    """The stacks that a change concerns, as a matrix of a CI system.

    A stack is concerned when its environment's file changed, one that it extends, a certificate or logo that these name, or
    `Pulumi.<stack>.yaml`; a change of the program concerns all. Stacks whose environment was deleted are listed apart.

    github: lines for $GITHUB_OUTPUT: `matrix`, `any`, `deleted`; with --order `matrix_1`, `any_1`, … for each stage too.
    azure-devops: output variables of the same names. gitlab: a child pipeline with a job for each stack that extends `.entrant`.

    \b
    python3 -m entrant matrix
    python3 -m entrant matrix --base HEAD --order 'dev*,prod*' --format github
    """
    patterns = [pattern.strip() for pattern in order.split(",") if pattern.strip()]
    found = matrices.build(cwd or project.ROOT, base, patterns)
    terminal.say_exactly(matrices.FORMATS[form](found))
    for stack in found.stacks:
        why = ", ".join(stack.changed[:3]) + (f" and {len(stack.changed) - 3} more" if len(stack.changed) > 3 else "")
        options.remark(f"{stack.stack}: {f'{why} changed' if why else 'to be done'}")
    for name in found.deleted:
        click.echo(f"{name}: its environment is gone; `pulumi destroy -s {name}` takes away what it declared", err=True)
    if form == "github" and len(found.stacks) > matrices.MOST_JOBS:
        limit = f"GitHub runs {matrices.MOST_JOBS} jobs of a matrix at most"
        click.echo(f"{counted(len(found.stacks), 'stack')}: {limit}; divide them into stages with --order", err=True)
    return 0
