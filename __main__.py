"""The Pulumi program: load the stack's environment, declare its app identities, export what their users need.

Stack configuration: `entrant:environment`, a file instead of `config/<stack>.yaml`; `entrant:now`, the moment that secret
calendars are read at instead of the clock's.
"""

import pulumi

from components import declare, own_outputs, stack_outputs
from entrant import config

settings = pulumi.Config()
report = config.check(settings.get("environment") or pulumi.get_stack())
for problem in report.warnings:
    pulumi.log.warn(f"{problem.place}: {problem.message}")
if report.environment is None:
    raise pulumi.RunError("\n".join(f"{problem.place}: {problem.message}" for problem in report.errors))
identities = declare(report.environment, now=settings.get("now"), before=own_outputs())
for name, value in stack_outputs(report.environment, identities).items():
    pulumi.export(name, value)
