"""Policy: rules about what an environment, or a Pulumi stack, should not declare.

`evaluate` judges an environment's file. The folder is a Pulumi policy pack too (`pulumi preview --policy-pack policy`), in which
the same rules judge resources.
"""

from dataclasses import dataclass
from typing import Any

from entrant.config import Environment, Problem, Report
from entrant.config.broken import BROKEN, attempt
from entrant.config.problems import Severity

from .declared import things
from .rules import RULES, Rule, broken

__all__ = ["EXCUSABLE", "RULES", "Finding", "Rule", "evaluate"]


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that an app breaks.

    `message` says what is wrong, `remediation` what to do; `reason` is what the file says in its defence (`allow_privileged`).
    `path` leads to the value in the environment (with `config.values.KEY` as its last step: to the key). `problem` is the
    whole as `validate` shows it, with its place in the file, where the report was given.
    """

    app: str
    rule: str
    severity: Severity
    message: str
    remediation: str
    path: tuple[Any, ...]
    reason: str | None = None
    problem: Problem | None = None


def evaluate(environment: Environment, report: Report | None = None) -> list[Violation]:
    """Every rule that the environment breaks and does not turn off, in the order of its file.

    Args:
        environment: what to judge, by its own `policy`; of one with errors (`Report.sound`), what is sound.
        report: what `config.check` returned with it, for places in its file.
    """
    found = []
    for app, path, thing in things(environment):
        for rule, message in attempt(broken(thing)):
            level = "off" if environment.policy is BROKEN else environment.policy.level(rule.name)
            if level is BROKEN or level == "off":
                continue
            at = (*path, rule.at) if rule.at else path
            reason = environment.apps[app].reason if rule.name in EXCUSABLE else None
            reason = None if reason is BROKEN else reason
            problem = None
            if report is not None:
                excuse = f' (reason given: "{reason}")' if reason else ""
                text = f"{message}{excuse}; {rule.remediation}"
                problem = report.problem(at, text, level, rule.name)
            found.append(Violation(app, rule.name, level, message, rule.remediation, at, reason, problem))
    return found


EXCUSABLE = frozenset({"privileged-role", "wide-scope", "privileged-directory-role", "privileged-permission"})
"""What `allow_privileged` and its `reason` are about."""
