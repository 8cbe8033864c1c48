"""`review`: who gains what before it happens."""

import datetime as dt
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from entrant import config, engine, project, terminal
from entrant.changes import Reading
from entrant.commands import options
from entrant.debug import masked
from entrant.drift import unmanaged
from entrant.errors import ConfigurationError, EngineError, EntrantError
from entrant.facts.contract import CLIENT_SECRET
from entrant.facts.pulumi_types import APPLICATION, PRINCIPAL
from entrant.outputs import App, Outputs
from entrant.pipeline import repository
from entrant.recovery import unfinished
from entrant.review import page, reviewer
from entrant.review.document import Review
from entrant.tokens import clouds

POLICY = 5
"""Exit code when a policy rule of severity error is broken, as Pulumi's."""


OTHER_PLAN = 7
"""Exit code when the plan is not the one that was reviewed, as Pulumi's for changes that were not expected."""


_FORMATS = ("text", "markdown", "json")


@click.command()
@options.stack
@click.option("--base", metavar="REF", help="The branch or commit that the change is against, such as origin/main.")
@click.option("--no-cloud", is_flag=True, help="Compare the YAML of two commits; needs --base and no credentials.")
@click.option("--no-refresh", is_flag=True, help="Do not look for manual changes in the cloud.")
@click.option("--unmanaged", "undeclared", is_flag=True, help="Look, too, for what is in the cloud and not declared.")
@options.form(*_FORMATS, default="text")
@click.option(
    "--summary",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With markdown: append the whole review here if it is too long for a comment ($GITHUB_STEP_SUMMARY).",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append `digest=…` and `changes=true` or `false` here, for the jobs that follow ($GITHUB_OUTPUT, a dotenv file).",
)
@click.option("--expect", metavar="DIGEST", help="Exit with 7 if the plan is not the one with this digest.")
@click.option(
    "--only",
    type=click.Choice(["secrets"]),
    help="Exit with 7 if more happens than that secrets rotate by their calendar.",
)
@options.cwd
def review(
    stack: str,
    base: str | None,
    no_cloud: bool,
    no_refresh: bool,
    undeclared: bool,
    form: str,
    summary: Path | None,
    output: Path | None,
    expect: str | None,
    only: str | None,
    cwd: Path | None,
) -> int:
    """Say what a change means: who gains and loses which access, which credentials change, what breaks.

    Runs `pulumi preview --refresh` and reads its events; changes nothing, and keeps no secret. With --base it tells apart what is
    of this change and what was pending before. With --no-cloud it compares the YAML of two commits instead, for pull requests
    that get no credentials, such as those from forks.

    Exit codes: 0, with and without changes; 5 a policy rule of severity error is broken; 7 another plan than --expect or --only
    allow; else as `pulumi preview`, and the review says what went wrong.

    \b
    python3 -m entrant review -s dev
    python3 -m entrant review -s dev --base HEAD --format json
    python3 -m entrant review -s prod --no-cloud --base HEAD --format markdown
    """
    if no_cloud and only is not None:
        raise ConfigurationError("--only is about a plan, and --no-cloud makes none", next_step="leave one of them out")
    root = cwd or project.ROOT
    notes: list[str] = []
    before = _base(stack, base, root, notes) if base is not None else None
    reading = Reading()
    if no_cloud:
        made, code = _compared(stack, before, root, notes)
    else:
        made, code = _previewed(stack, reading, before, root, notes, refresh=not no_refresh, undeclared=undeclared)
    target = terminal.coloured(sys.stdout) if form == "text" else sys.stdout
    click.echo(_shown(made, form, summary), file=target, color=True)  # no colour is in it unless it was asked for
    if code:
        return code
    if output is not None:
        _append(output, f"digest={made.digest}\nchanges={str(made.changed).lower()}")
    if expect is not None and expect != made.digest:
        click.echo(f"entrant: the plan is {made.digest}, not {expect}, which was reviewed; review it again", err=True)
        return OTHER_PLAN
    if only is not None and not reviewer.turns_secrets_only(reading, reviewer.moment(reading)):
        click.echo("entrant: the plan does more than rotate secrets by their calendar", err=True)
        return OTHER_PLAN
    return POLICY if any(finding.severity == "error" for finding in made.findings) else 0


def _environment(stack: str, root: Path) -> config.Report | None:
    """The check of a stack's environment; None when it has no file."""
    return config.check(stack, root=root) if os.path.exists(config.environment_file(stack, root)) else None


def _base(stack: str, ref: str, root: Path, notes: list[str]) -> reviewer.Base | None:
    """The environment where the history parted from `ref`; None, and a note, when it cannot be read."""
    commit = repository.fork(root, ref)
    if commit is None:
        return reviewer.Base(ref, None)
    with repository.checkout(root, commit) as folder:
        report = _environment(stack, folder)
    if report is not None and report.environment is None:
        first = report.errors[0]
        notes.append(f"{first.place} at {ref} has errors, so nothing could be compared with it: {first.message}")
        return None
    return reviewer.Base(ref, report.environment if report else None)


def _compared(stack: str, before: reviewer.Base | None, root: Path, notes: list[str]) -> tuple[Review, int]:
    """The review of the YAML alone, and the exit code."""
    if before is None and not notes:
        raise ConfigurationError("--no-cloud compares two commits", next_step="name the one before with --base REF")
    report = _environment(stack, root)
    if report is None:
        if before is None or before.environment is None:
            raise ConfigurationError(f"there is no environment {stack}, here or before", next_step="check -s")
        notes.append(
            f"The environment is gone. What it declared stays until somebody runs `pulumi destroy -s {stack}`."
        )
    errors = _faults(report)
    base = before if before is not None and not errors else reviewer.Base(before.name if before else "", None)
    made = reviewer.of_commits(stack, base, report, now=dt.datetime.now(dt.UTC), notes=notes, errors=errors)
    return made, ConfigurationError.exit_code if errors else 0


def _previewed(
    stack: str,
    reading: Reading,
    before: reviewer.Base | None,
    root: Path,
    notes: list[str],
    *,
    refresh: bool,
    undeclared: bool,
) -> tuple[Review, int]:
    """The review of a preview, and the exit code."""
    report = _environment(stack, root)
    if report is None and before is not None and before.environment is not None:  # deleted: there is no plan to make
        return _compared(stack, before, root, notes)
    errors = _faults(report)
    code = ConfigurationError.exit_code if errors else 0
    if not errors:
        arguments = ["preview", "--stack", stack, *(["--refresh"] if refresh else [])]
        environ = dict(os.environ)
        if reason := _unfinished(stack, root):
            environ[unfinished.RECOVERING] = "true"
            notes.append(
                f"{reason}: before the `up`, `entrant hold` notes in the state what was made already, planned here as new; "
                f"`python3 -m entrant recover -s {stack} --dry-run` shows it."
            )
        try:
            engine.operate(arguments, cwd=root, environ=environ, on_event=reading.on_event)
        except EngineError as error:
            if error.status is None:
                raise
            alone = str(error) + (f"\nWhat to do: {error.next_step}" if error.next_step else "")
            errors = tuple(masked(each) for each in _diagnostics(reading.errors) or (alone,))
            code = error.status
    outputs = _outputs(stack, root, notes) if reading.found or (undeclared and not errors) else None
    if not errors and report is not None and report.environment is not None:
        errors = _existing(report.environment, reading, notes)
        code = EntrantError.exit_code if errors else 0
        if not errors:
            notes.extend(_vault_readers(report.environment))
    made = reviewer.of_preview(
        stack,
        reading,
        report,
        now=reviewer.moment(reading),
        base=before,
        errors=errors,
        notes=notes,
        undeclared=_undeclared(outputs, notes) if outputs and undeclared and not errors else (),
        apps=outputs.apps if outputs else {},
    )
    return made, code


def _unfinished(stack: str, root: Path) -> str | None:
    """What tells of an `up` that was killed or failed; None if nothing does."""
    try:
        return unfinished.why(stack, cwd=root)
    except EngineError:  # the preview will say it
        return None


def _vault_readers(environment: config.Environment) -> Iterator[str]:
    """Who can read what is delivered to Key Vault, a note for each secret there."""
    from entrant.access import deployer as deployers
    from entrant.access import vault_readers

    places = [
        (name, calendar, delivery.key_vault)
        for name, app in environment.apps.items()
        for calendar, rule in app.calendars.items()
        for delivery in rule.deliver
        if delivery.key_vault is not None
    ]
    who = deployers.find(clouds.resolve(environment.cloud, os.environ), os.environ) if places else None
    for app, calendar, place in places:
        held = "client secret" if calendar == CLIENT_SECRET else f"private key of the certificate {calendar}"
        what = f"the secret {place.name} of the vault {place.vault_name}, which has the {held} of {app}"
        try:
            if who is None:
                raise ConfigurationError("there is no login (`az login`, or the ARM_* variables)")
            found = vault_readers.readers(who, place.vault, place.name)
        except EntrantError as error:
            yield f"Who can read {what}, was not looked for: {error}."
        else:
            yield f"Who can read {what}: {', '.join(found) or 'nobody'}; and whoever may assign roles there."


def _faults(report: config.Report | None) -> tuple[str, ...]:
    if report is None or report.environment is not None:
        return ()
    return ("\n".join(f"{problem.place}: {problem.message}" for problem in report.errors),)


def _diagnostics(messages: list[str]) -> tuple[str, ...]:
    """What the engine said went wrong, without the words that only say that something did."""
    empty = ("preview failed", "an unhandled error occurred: program exited", "update failed")
    return tuple(dict.fromkeys(_without_frames(each) for each in messages if not each.startswith(empty)))


def _without_frames(words: str) -> str:
    """An error of the program without the way to it: what stands before a traceback, and what was raised in the end."""
    before, mark, trace = words.rpartition("Traceback (most recent call last):")
    if not mark:
        return words
    lines = trace.strip("\n").splitlines()
    raised = next((index for index, line in enumerate(lines) if line and not line[0].isspace()), len(lines))
    return "\n".join([*before.strip().splitlines()[:1], *lines[raised:]])


def _outputs(stack: str, root: Path, notes: list[str]) -> Outputs | None:
    """The stack's outputs as they are; None, and a note, when they cannot be read."""
    try:
        return engine.stack_outputs(stack, secrets=False, cwd=root)
    except EntrantError as error:  # what the preview said is worth reading all the same
        notes.append(f"The stack's outputs were not read, so nothing undeclared is seen: {error}.")
        return None


def _existing(environment: config.Environment, reading: Reading, notes: list[str]) -> tuple[str, ...]:
    """What the plan makes and the tenant has already, which an `up` would fail on."""
    from entrant.access import deployer as deployers
    from entrant.access import existing

    made = {(change.app or "", change.type) for change in reading.planned if change.operation == "create"}
    held = {change.urn: change for change in reading.planned if change.old is not None and change.old.id}
    ids = {(change.app, change.type): change.old.id.rpartition("/")[2] for change in held.values() if change.old}
    there = {
        app: App(app, "", "", object_id=id_, service_principal_id=ids.get((app, PRINCIPAL)))
        for (app, type_), id_ in ids.items()
        if app and type_ == APPLICATION
    }
    apps = {"", *there, *(name for name, app in environment.apps.items() if app.adopt)}
    if not made & {(app, type_) for app in apps for type_ in existing.TYPES}:
        return ()
    try:
        who = deployers.find(clouds.resolve(environment.cloud, os.environ), os.environ)
        if who is None:
            raise ConfigurationError("there is no login (`az login`, or the ARM_* variables)")
        own = [change.old.id for change in held.values() if change.old and change.operation != "import"]
        look = existing.look(environment, who, there, own, made)
    except EntrantError as error:
        notes.append(f"What the plan makes and the tenant has already was not looked for: {error}.")
        return ()
    notes.extend(f"Not looked at: {what}." for what in look.unseen)
    return tuple(f"{each.place}: {each.what} exists already: {each.remedy}." for each in look.found)


def _undeclared(outputs: Outputs, notes: list[str]) -> tuple[unmanaged.Unmanaged, ...]:
    """What is there and declared nowhere, as far as whoever runs this may look."""
    from entrant.access import deployer as deployers

    try:
        who = deployers.find(clouds.resolve(outputs.cloud, os.environ), os.environ)
        if who is None:
            raise ConfigurationError("there is no login (`az login`, or the ARM_* variables)")
        look = unmanaged.look(outputs, who)
    except EntrantError as error:
        notes.append(f"What is undeclared was not looked for: {error}.")
        return ()
    notes.extend(f"Not looked at: {what}." for what in look.unseen)
    return look.found


def _shown(made: Review, form: str, summary: Path | None) -> str:
    if form == "json":
        return made.as_json()
    if form == "text":
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        return page.terminal(made, colour=options.coloured(sys.stdout), width=width)
    comment = page.markdown(made)
    where = "in the job's summary" if summary else "what `entrant review` says in a terminal"
    shown, cut = comment.render(rest=f"_Too long for a comment: {{what}}. The whole review is {where}._")
    if cut and summary is not None:
        _append(summary, comment.render(page.SUMMARY_LIMIT, rest="_Too long for a summary: {what}._")[0])
    return shown


def _append(file: Path, words: str) -> None:
    try:
        with file.open("a", encoding="utf-8") as target:
            target.write(words + "\n")
    except OSError as error:
        raise EntrantError(f"{file} cannot be written: {error.strerror}") from None
