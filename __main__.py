"""The Pulumi program: load the stack's environment, declare its app identities, export what their users need.

Stack configuration: `entrant:environment`, a file instead of `config/<stack>.yaml`; `entrant:now`, the moment that secret
calendars are read at instead of the clock's.
"""

import pulumi

from components import declare, own_outputs, stack_outputs
from entrant import config
from entrant.facts.unsafe_text import inert

settings = pulumi.Config()
report = config.check(settings.get("environment") or pulumi.get_stack())
for problem in report.warnings:
    pulumi.log.warn(inert(f"{problem.place}: {problem.message}"))
if report.environment is None:
    raise pulumi.RunError(inert("\n".join(f"{problem.place}: {problem.message}" for problem in report.errors)))
try:
    identities = declare(report.environment, now=settings.get("now"), before=own_outputs())
except pulumi.RunError as error:  # with words of the file and the cloud in it
    raise pulumi.RunError(inert(str(error))) from None
for name, value in stack_outputs(report.environment, identities).items():
    pulumi.export(name, value)
