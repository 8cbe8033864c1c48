"""`validate`: environments checked without any cloud."""

import click

from entrant import config, project, terminal
from entrant.commands import options
from entrant.config import render, unique
from entrant.errors import ConfigurationError
from entrant.words import counted

BROKEN_RULES = 5
"""Exit code when rules of severity error are broken and nothing else is wrong; Pulumi's for policy."""


@click.command()
@click.argument("environments", nargs=-1, shell_complete=options.complete_environments)
@options.form(*render.FORMATS, default="text")
def validate(environments: tuple[str, ...], form: str) -> int:
    """Check environments (all of config/, or those named, by stack or file) without any cloud.

    Every problem of every file is reported at once, with file, line and column: what is wrong by itself, what Azure holds once
    and two apps or two environments of one tenant have, and every policy rule that is broken, with its remedy. `github` shows
    them beside the lines of a pull request. Exit code 2 if there is an error or no environment, 5 if only policy rules of
    severity error are broken, 0 if there are warnings only.

    \b
    python3 -m entrant validate
    python3 -m entrant validate dev examples/everything.yaml --format github
    """
    from entrant import policy

    names = environments or tuple(config.environments(root=project.ROOT))
    if not names:
        raise ConfigurationError(
            f"there is no environment to check in {project.ROOT / 'config'}",
            next_step="run it in the folder of the project, which has `Pulumi.yaml` and `config/`, or name a file",
        )
    reports = [config.check(name, root=project.ROOT) for name in names]
    shared = tuple(unique.across(reports))
    found = [*(problem for report in reports for problem in report.problems), *(problem for _, problem in shared)]
    refused = {problem.place for problem in found if problem.severity == "error"}
    broken = [
        finding.problem
        for report in reports
        if report.sound is not None
        for finding in policy.evaluate(report.sound, report)
        if finding.problem is not None
        and not (finding.rule in policy.EXCUSABLE and finding.problem.place in refused)  # said there as an error
    ]
    problems = sorted(
        dict.fromkeys((*found, *broken)), key=lambda problem: (problem.file, problem.line, problem.column)
    )
    if problems or form == "json":
        (terminal.say_exactly if form == "github" else click.echo)(render.FORMATS[form](problems))
    clashing = [report for report, problem in shared if problem.severity == "error"]
    wrong = sum(report.environment is None or report in clashing for report in reports)
    rules = len(dict.fromkeys(broken))
    counts = counted(len(reports), "environment"), counted(len(problems), "problem")
    summary = f"{counts[0]} checked, {wrong} with errors, {counts[1]}"
    options.remark(f"{summary}, {rules} of them of policy" if rules else summary)
    if wrong:
        return ConfigurationError.exit_code
    return BROKEN_RULES if any(problem.severity == "error" for problem in broken) else 0
