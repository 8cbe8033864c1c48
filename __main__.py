"""The Pulumi program: load the stack's environment, declare its app identities, export what their users need.

Stack configuration: `entrant:environment`, a file instead of `config/<stack>.yaml`; `entrant:now`, the moment that secret
calendars are read at instead of the clock's.
"""

import pulumi

from components import declare, load, own_outputs, stack_outputs

settings = pulumi.Config("entrant")
environment = load(settings.get("environment") or pulumi.get_stack())
identities = declare(environment, now=settings.get("now"), before=own_outputs())
for name, value in stack_outputs(environment, identities).items():
    pulumi.export(name, value)
