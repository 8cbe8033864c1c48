"""Problems as text for people, as workflow commands for GitHub Actions, and as JSON for tools."""

import json
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from entrant.facts.unsafe_text import harmless, no_command

from .problems import Problem


def text(problems: Iterable[Problem]) -> str:
    """One line a problem, `config/dev.yaml:14:13: error: …`, as editors and grep read them."""
    return "\n".join(map(str, problems))


def github(problems: Iterable[Problem]) -> str:
    """One workflow command a problem; GitHub shows it beside the line in a pull request."""
    return "\n".join(map(_command, problems))


def _command(problem: Problem) -> str:
    where = {"file": problem.file}
    if problem.line:
        where |= {"line": str(problem.line), "col": str(problem.column)}
    if problem.rule:
        where |= {"title": problem.rule}
    return workflow_command(problem.severity, problem.message, **where)


def workflow_command(command: str, message: str, **properties: str) -> str:
    """A workflow command of GitHub Actions: `::warning file=config/dev.yaml,line=3::message`.

    GitHub, "Workflow commands": %, CR and LF of a value are percent-encoded; `:` and `,` too in properties.
    """
    encoded = ",".join(
        f"{name}={_escaped(value).replace(':', '%3A').replace(',', '%2C')}" for name, value in properties.items()
    )
    return f"::{command}{' ' if encoded else ''}{encoded}::{_escaped(message)}"


def _escaped(value: str) -> str:
    return _value(value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _value(text: str) -> str:
    """A text on one line for a command's value, with no other command in it."""
    return no_command(harmless(text, keep="\t"))


def logging_command(command: str, message: str, **properties: str) -> str:
    """A logging command of Azure Pipelines: `##vso[task.logissue type=warning;]message`.

    Azure DevOps, "Logging commands", Formatting commands: %, CR and LF of a value are encoded; `;` and `]` too in properties.
    """

    def escaped(value: str) -> str:
        return _value(value.replace("%", "%AZP25").replace("\r", "%0D").replace("\n", "%0A"))

    encoded = "".join(
        f"{name}={escaped(value).replace(';', '%3B').replace(']', '%5D')};" for name, value in properties.items()
    )
    return f"##vso[{command} {encoded}]{escaped(message)}"


def as_json(problems: Iterable[Problem]) -> str:
    """A JSON array of objects with `file`, `line`, `column` (0 where there is none), `severity` and `message`.

    What breaks a policy rule has its name as `rule`.
    """
    return json.dumps(
        [
            {
                "file": problem.file,
                "line": problem.line,
                "column": problem.column,
                "severity": problem.severity,
                "message": problem.message,
                **({"rule": problem.rule} if problem.rule else {}),
            }
            for problem in problems
        ],
        indent=2,
        ensure_ascii=False,
    )


FORMATS: Final[Mapping[str, Callable[[Iterable[Problem]], str]]] = MappingProxyType(
    {"text": text, "github": github, "json": as_json}
)
"""Renderers by the name that `--format` takes."""
