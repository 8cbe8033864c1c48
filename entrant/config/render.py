"""Problems as text for people, as workflow commands for GitHub Actions, and as JSON for tools."""

import json
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from entrant.ci import workflow_command

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
