"""`validate`: environments checked without any cloud."""

import click

import config
from entrant import bootstrap


@click.command()
@click.argument("stacks", nargs=-1)
def validate(stacks: tuple[str, ...]) -> int:
    """Check environments (all of config/, or those named) without any cloud; every problem with file, line and column.

    \b
    python3 -m entrant validate
    python3 -m entrant validate dev prod
    """
    names = stacks or tuple(config.environments(root=bootstrap.ROOT))
    reports = [config.check(name, root=bootstrap.ROOT) for name in names]
    problems = dict.fromkeys(problem for report in reports for problem in report.problems)
    for problem in problems:
        click.echo(str(problem))
    wrong = sum(report.environment is None for report in reports)
    click.echo(f"{len(reports)} environments checked, {wrong} with errors, {len(problems)} problems", err=True)
    return 2 if wrong else 0
