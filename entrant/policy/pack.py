"""The rules as a policy pack of Pulumi.

How much each matters is what the stack's environment says, `config/<stack>.yaml`, if it has one, else the rules' own; a
`--policy-pack-config` file of Pulumi has the last word.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import pulumi_policy
import pulumi_policy.policy
import yaml
from pulumi_policy import EnforcementLevel, PolicyPack, ReportViolation
from pulumi_policy.proxy import UnknownValueError

from entrant import config
from entrant.config.policy import Level, Policy
from entrant.facts import risks
from entrant.facts.unsafe_text import inert
from entrant.project import find

from . import EXCUSABLE
from .declared import allowed_secret_lifetime, secret_of
from .resources import UNKNOWN, StackResource, estates, things
from .rules import RULES, Credentials, Owners, Rule, SecretLifetime, Thing, broken

ROOT: Final = find()
_ENFORCEMENT: Final[Mapping[Level, EnforcementLevel]] = {
    "error": EnforcementLevel.MANDATORY,
    "warning": EnforcementLevel.ADVISORY,
    "off": EnforcementLevel.DISABLED,
}


@dataclass(slots=True)
class Stack:
    """The stack that is judged, and its environment, if it has one."""

    environment: config.Environment | None = None

    @classmethod
    def of(cls, project: str, stack: str, settings: Mapping[str, str]) -> "Stack":
        """A stack by its name and its configuration; one of another project has no environment here."""
        if project != yaml.safe_load((ROOT / "Pulumi.yaml").read_text("utf-8"))["name"]:
            return cls()
        file = settings.get("entrant:environment") or stack
        return cls(config.check(file, root=ROOT).environment)  # the program says what is wrong with it

    def things(self, resource: StackResource) -> Iterator[Thing]:
        """What there is to judge in a resource by itself; what the file says of secrets holds for each that it makes."""
        environment = self.environment
        declared = environment.apps.get(resource.app) if environment else None
        allowed = allowed_secret_lifetime(environment) if environment else risks.SECRET_LIFETIME
        for thing in things(resource, allowed=allowed, now=datetime.now(UTC)):
            whole = (
                secret_of(declared, environment)
                if environment and declared and isinstance(thing, SecretLifetime)
                else None
            )
            yield whole or thing

    def say(self, app: str, rule: Rule, message: str) -> str:
        """A violation in words: the app, what is wrong, the reason given if one was, the remedy."""
        declared = self.environment.apps.get(app) if self.environment else None
        reason = declared.reason if declared and rule.name in EXCUSABLE else None
        excuse = f' (reason given: "{reason}")' if reason else ""
        return f"{app}: {message}{excuse}; {rule.remediation}"

    def judge(self, rule: Rule, resource: StackResource, thing: Thing, report: ReportViolation) -> None:
        """Report what a thing breaks of one rule."""
        for each, message in broken(thing):
            if each is rule:
                report(inert(self.say(resource.app, rule, message)), resource.urn)


def serve() -> None:
    """Serve the pack to the engine that started this process."""
    judged = Judged()
    policies = [judged.policy(rule) for rule in RULES.values()]

    class Servicer(pulumi_policy.policy._PolicyAnalyzerServicer):
        """Hears which stack is judged before the engine asks for levels; pulumi-policy itself takes no notice of it."""

        def ConfigureStack(self, request: Any, context: Any) -> Any:
            judged.stack = Stack.of(request.project, request.stack, request.config)
            levels = judged.stack.environment.policy if judged.stack.environment else Policy()
            for policy in policies:
                policy.enforcement_level = _ENFORCEMENT[levels.level(policy.name)]
            return super().ConfigureStack(request, context)

    setattr(pulumi_policy.policy, "_PolicyAnalyzerServicer", Servicer)  # noqa: B010
    PolicyPack("entrant", policies)


@dataclass(slots=True)
class Judged:
    """The rules as Pulumi's policies, and the stack that they judge."""

    stack: Stack = field(default_factory=Stack)

    def policy(self, rule: Rule) -> pulumi_policy.Policy:
        """A rule as a policy: over single resources, or over the stack where it takes several to see."""
        kind: Any = pulumi_policy.StackValidationPolicy if rule.judges in (Owners, Credentials) else None
        validate: Callable[..., None] = self._whole(rule) if kind else self._single(rule)
        return (kind or pulumi_policy.ResourceValidationPolicy)(
            name=rule.name,
            description=rule.description,
            validate=validate,
            enforcement_level=_ENFORCEMENT[Policy().level(rule.name)],
            remediation_steps=rule.remediation,
        )

    def _single(self, rule: Rule) -> Callable[[pulumi_policy.ResourceValidationArgs, ReportViolation], None]:
        def validate(args: pulumi_policy.ResourceValidationArgs, report: ReportViolation) -> None:
            resource = StackResource(args.resource_type, args.urn, plain(args.props), args.opts.parent)
            for thing in self.stack.things(resource):
                self.stack.judge(rule, resource, thing, report)

        return validate

    def _whole(self, rule: Rule) -> Callable[[pulumi_policy.StackValidationArgs, ReportViolation], None]:
        def validate(args: pulumi_policy.StackValidationArgs, report: ReportViolation) -> None:
            for resource, thing in estates([*map(_resource, args.resources)]):
                self.stack.judge(rule, resource, thing, report)

        return validate


def _resource(resource: pulumi_policy.PolicyResource) -> StackResource:
    parent = resource.parent.urn if resource.parent else None
    links = {name: [each.urn for each in found] for name, found in resource.property_dependencies.items()}
    ignored = tuple(resource.opts.ignore_changes)
    return StackResource(resource.resource_type, resource.urn, plain(resource.props), parent, links, ignored)


def plain(value: Any) -> Any:
    """Properties as plain data, with `UNKNOWN` where pulumi-policy would raise."""

    def each(keys: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
        for key in keys:
            try:
                yield key, plain(value[key])
            except UnknownValueError:
                yield key, UNKNOWN

    if isinstance(value, Mapping):
        return dict(each(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [item for _, item in each(range(len(value)))]
    return value
