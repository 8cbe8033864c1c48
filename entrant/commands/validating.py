"""`validate`: environments checked without any cloud."""

import click

import config
from config import render
from entrant import bootstrap
from entrant.errors import ConfigurationError


@click.command()
@click.argument("environments", nargs=-1)
@click.option("--format", "form", type=click.Choice(list(render.FORMATS)), default="text", show_default=True)
def validate(environments: tuple[str, ...], form: str) -> int:
    """Check environments (all of config/, or those named, by stack or file) without any cloud.

    Every problem of every file is reported at once, with file, line and column; `github` shows them beside the lines of a pull
    request. Exit code 2 if there is an error, 0 if there are warnings only.

    \b
    python3 -m entrant validate
    python3 -m entrant validate dev examples/everything.yaml --format github
    """
    names = environments or tuple(config.environments(root=bootstrap.ROOT))
    reports = [config.check(name, root=bootstrap.ROOT) for name in names]
    problems = list(dict.fromkeys(problem for report in reports for problem in report.problems))
    if problems or form == "json":
        click.echo(render.FORMATS[form](problems))
    wrong = sum(report.environment is None for report in reports)
    click.echo(f"{len(reports)} environments checked, {wrong} with errors, {len(problems)} problems", err=True)
    return ConfigurationError.exit_code if wrong else 0
