"""`comment`, `hold`, `assertion`: what a pipeline does around a review and an `up`."""

import os
from pathlib import Path

import click

from entrant import engine
from entrant.commands import options
from entrant.commands.source import WithCommand
from entrant.errors import ConfigurationError
from entrant.pipeline import code_host


@click.command()
@options.stack
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def comment(stack: str, file: Path) -> None:
    """Make the Markdown of FILE, written by `review` or `drift`, the one comment of STACK on this pull request.

    On GitHub, GitLab and Azure DevOps, found from the pipeline's variables; with GITHUB_TOKEN, GITLAB_TOKEN or SYSTEM_ACCESSTOKEN.
    A comment that is there is changed in place; others' comments are left alone.

    \b
    python3 -m entrant review -s dev --format markdown > review.md
    python3 -m entrant comment -s dev review.md
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{file} cannot be read: {why}") from None
    done, where = code_host.post(stack, text)
    options.remark(f"{where}: the comment of {stack} {done}")


@click.command(cls=WithCommand)
@options.stack
@options.cwd
@click.pass_obj
def hold(command: list[str], stack: str, cwd: Path | None) -> int:
    """Run a command that changes STACK, after taking away the lock that a killed run of the same pipeline left on it.

    For pipelines that let one job at a time work on a stack. A lock that anybody else made, or a process that still works, is left
    alone, and nothing is run. `pulumi` is found as the other commands find it; signals reach the command; its exit code is kept.

    \b
    python3 -m entrant hold -s dev -- pulumi up --yes --skip-preview -s dev
    """
    from entrant.pipeline import locks
    from entrant.tokens import runner

    if not command:
        raise ConfigurationError(
            "which command?", next_step="write it after --, such as: hold -s dev -- pulumi up -s dev"
        )

    environ = engine.environment(os.environ)
    with locks.hold(
        stack, locks.Job.here(*(code_host.pipeline() or ())), cwd=cwd, environ=environ, tell=options.remark
    ):
        return runner.run(command, environ, [], cwd=cwd)


@click.command()
@click.option(
    "--cloud",
    type=click.Choice(["public", "usgovernment", "china"]),
    default="public",
    show_default=True,
    help="Whose Entra ID it is for.",
)
def assertion(cloud: str) -> None:
    """Ask this job's forge for an assertion of who it is, and print it: what Entra ID takes instead of a secret.

    In a GitHub job with `id-token: write`, or a step of Azure Pipelines with a service connection. Each is good for minutes.

    \b
    umask 077 && python3 -m entrant assertion > "$RUNNER_TEMP/assertion"
    AZURE_FEDERATED_TOKEN_FILE="$RUNNER_TEMP/assertion" pulumi login azblob://state
    """
    from entrant.tokens import assertions

    in_github = assertions.in_github(os.environ)
    click.echo(assertions.from_github(cloud, os.environ) if in_github else assertions.from_azure_devops(os.environ))
