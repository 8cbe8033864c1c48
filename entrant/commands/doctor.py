"""`entrant doctor`: before an `up`, may the deployer do all this."""

import json
import os
from pathlib import Path

import click

from entrant import project
from entrant.access import deployer as deployers
from entrant.commands import options
from entrant.commands.proofs import MARKS
from entrant.errors import ConfigurationError, RefusedError
from entrant.tokens import clouds


@click.command()
@options.stack
@options.cwd
@options.form("text", "json", default="text")
def doctor(stack: str, cwd: Path | None, form: str) -> int:
    """Before `pulumi up`: whether the deployer may do what environment STACK asks for, and whether limits are in the way.

    Exit code 4 if something is.

    \b
    python3 -m entrant doctor -s dev
    """
    from entrant import config
    from entrant.doctor.examination import examine

    try:
        environment = config.load(stack, root=cwd or project.ROOT)
    except config.ConfigError as error:
        raise ConfigurationError(
            str(error), next_step="correct the file; `python3 -m entrant validate` checks it"
        ) from None
    deployer = deployers.find(clouds.resolve(environment.cloud, os.environ), os.environ)
    findings = list(examine(environment, deployer, cwd=cwd or project.ROOT, environ=os.environ, stack=stack))
    if form == "json":
        fields = ("what", "state", "evidence", "next_step")
        click.echo(json.dumps([{name: getattr(finding, name) for name in fields} for finding in findings]))
    else:
        for finding in findings:
            click.echo(f"{MARKS[finding.state]} {finding.what}: {finding.evidence}")
            if finding.next_step:
                click.echo(f"    {finding.next_step}")
    return RefusedError.exit_code if any(finding.state == "problem" for finding in findings) else 0
