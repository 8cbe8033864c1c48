"""`review`: who gains what before it happens."""

import datetime as dt
import os
import sys
from pathlib import Path

import click

import config
from config.values import parse_moment
from entrant import bootstrap, engine, review_page
from entrant import review as reviews
from entrant.changes import Reading
from entrant.errors import ConfigurationError, EngineError, EntrantError

POLICY = 5
"""Exit code when a policy rule of severity error is not kept, as Pulumi's."""
_ENGINES_LAST_WORDS = "an unhandled error occurred: program exited"
OTHER_PLAN = 7
"""Exit code when the plan is not the one that was reviewed, as Pulumi's for changes that were not expected."""


@click.command()
@click.option("-s", "--stack", required=True, metavar="STACK", help="The Pulumi stack.")
@click.option("--base", metavar="REF", help="The commit that the change is against, such as origin/main.")
@click.option("--no-cloud", is_flag=True, help="Compare the YAML of two commits; needs no credentials, and --base.")
@click.option("--no-refresh", is_flag=True, help="Do not look for what was changed in the cloud by other hands.")
@click.option("--format", "form", type=click.Choice(["text", "markdown", "json"]), default="text", show_default=True)
@click.option(
    "--summary",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With markdown: append the whole review here when it is too long for a comment ($GITHUB_STEP_SUMMARY).",
)
@click.option("--expect", metavar="DIGEST", help="Exit with 7 when the plan is not the one with this digest.")
@click.option(
    "--only",
    type=click.Choice(["secrets"]),
    help="Exit with 7 when the plan does more than turn secrets over by their calendar.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append `digest=…` and `changes=true` or `false` here, for the jobs that follow ($GITHUB_OUTPUT, a dotenv file).",
)
@click.option("-C", "--cwd", type=click.Path(file_okay=False, exists=True, path_type=Path), help="Run as if here.")
def review(
    stack: str,
    base: str | None,
    no_cloud: bool,
    no_refresh: bool,
    form: str,
    summary: Path | None,
    expect: str | None,
    only: str | None,
    output: Path | None,
    cwd: Path | None,
) -> int:
    """Say what a change means: who gains and loses which access, which credentials change, what breaks.

    Runs `pulumi preview` and reads its events; never changes anything, never keeps the value of a secret. With --base it tells
    apart what is of this change and what was pending before. With --no-cloud it compares the YAML of two commits instead, for
    pull requests that get no credentials.

    \b
    Exit codes: 0, also when there are changes; 5 a policy rule of severity error is not kept; 7 the plan is not the one
    of --expect, or does more than --only allows; else as pulumi preview.

    \b
    python3 -m entrant review -s dev
    python3 -m entrant review -s dev --base origin/main --format markdown --summary "$GITHUB_STEP_SUMMARY"
    python3 -m entrant review -s prod --no-cloud --base origin/main
    """
    root = cwd or bootstrap.ROOT
    if no_cloud and base is None:
        raise ConfigurationError("--no-cloud compares two commits", next_step="name the one before with --base REF")
    now = dt.datetime.now(dt.UTC)
    before = reviews.at_commit(stack, base, root) if base else None
    report = config.check(stack, root=root) if config.environment_file(stack, root=root).exists() else None
    reading = Reading()
    code = 0
    if no_cloud:
        if only:
            raise ConfigurationError(
                "--only is about a plan, and --no-cloud makes none", next_step="leave one of them out"
            )
        if report is not None and report.environment is None:
            raise ConfigurationError("\n".join(map(str, report.errors)))
        after = report.environment if report else None
        made = reviews.of_commits(stack, before, after, base_name=base or "", now=now)
    else:
        desired = report.environment if report else None
        made, code = _previewed(stack, reading, desired, before, base, not no_refresh, cwd, now)
    click.echo(_shown(made, form, summary))
    if code:
        return code
    if output is not None:
        _append(output, f"digest={made.digest}\nchanges={str(bool(made.resources)).lower()}")
    if only and not reviews.turns_secrets_only(reading, _program_time(stack, cwd) or now):
        click.echo("entrant: the plan does more than turn secrets over by their calendar", err=True)
        return OTHER_PLAN
    if expect is not None and expect != made.digest:
        click.echo(f"entrant: the plan is {made.digest}, not {expect}, which was reviewed; review it again", err=True)
        return OTHER_PLAN
    return POLICY if any(finding.severity == "error" for finding in made.findings) else 0


def _program_time(stack: str, cwd: Path | None) -> dt.datetime | None:
    """The moment that the stack's configuration says it is."""
    said = engine.setting(stack, "entrant:now", cwd=cwd)
    return parse_moment(said) if said else None


def _previewed(
    stack: str,
    reading: Reading,
    environment: config.Environment | None,
    before: config.Environment | None,
    base: str | None,
    refresh: bool,
    cwd: Path | None,
    now: dt.datetime,
) -> tuple[reviews.Review, int]:
    arguments = ["preview", "--stack", stack, *(["--refresh"] if refresh else [])]
    errors: tuple[str, ...] = ()
    code = 0
    try:
        engine.operate(arguments, cwd=cwd, on_event=reading.on_event)
    except EngineError as error:
        if not reading.errors and not reading.planned:
            raise
        said = dict.fromkeys(line for line in reading.errors if not line.startswith(_ENGINES_LAST_WORDS))
        errors, code = tuple(said) or (str(error),), error.exit_code
    made = reviews.of_preview(stack, reading, environment, base=before, base_name=base or "", errors=errors, now=now)
    return made, code


def _shown(made: reviews.Review, form: str, summary: Path | None) -> str:
    if form == "json":
        return made.model_dump_json(indent=2)
    if form == "text":
        return review_page.terminal(made, colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    comment = review_page.markdown(made)
    where = "in the job's summary" if summary else "in `entrant review` itself"
    shown, cut = comment.render(rest=f"_This is not all: the whole review is {where}._")
    if cut and summary:
        _append(summary, comment.complete())
    return shown


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise EntrantError(f"{path} cannot be written: {error}") from None
