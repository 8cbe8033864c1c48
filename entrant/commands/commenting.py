"""`comment`, `hold`, `assertion`: what a pipeline does around a review and an `up`."""

import os
from pathlib import Path

import click

from entrant import engine, terminal
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
@options.settle
@click.pass_obj
def hold(command: list[str], stack: str, cwd: Path | None, settle: float) -> int:
    """Run a command that changes STACK, after clearing up what a killed run of the same pipeline left.

    Its lock is taken away; a process of it that still works is waited for. What it made in the cloud and did not note is noted, and
    secrets nobody knows are removed (see `recover`); so after a run that ended with an error. For pipelines that let one job at a
    time work on a stack: a lock that anybody else made is left alone, and nothing is run. `pulumi` is found as the other commands
    find it; signals reach the command; its exit code is kept.

    \b
    python3 -m entrant hold -s dev -- pulumi up --yes --skip-preview -s dev
    """
    from entrant.pipeline import locks
    from entrant.recovery import unfinished
    from entrant.tokens import runner

    if not command:
        raise ConfigurationError(
            "which command?", next_step="write it after --, such as: hold -s dev -- pulumi up -s dev"
        )

    def agree(plan: unfinished.Plan) -> bool:
        for line in plan.lines():
            click.echo(line, err=True)
        return True

    environ = engine.environment(os.environ)
    with locks.hold(
        stack, locks.Job.here(*(code_host.pipeline() or ())), cwd=cwd, environ=environ, tell=options.remark
    ) as held:
        before = held.left_by
        reason = before and f"{before.run} of {before.pipeline} did not end well"
        reason = reason or unfinished.pending(stack, cwd=cwd, environ=environ)
        if reason:
            options.remark(f"{reason}; looking for what it left")
            began = before.began if before else None
            unfinished.recover(stack, agree=agree, began=began, settle=settle, cwd=cwd, environ=environ)
        code = runner.run(command, environ, [], cwd=cwd, guarded=True)
        held.well = code == 0
        return code


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
    terminal.say_exactly(
        assertions.from_github(cloud, os.environ) if in_github else assertions.from_azure_devops(os.environ)
    )
