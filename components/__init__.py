"""What Pulumi declares: one `AppIdentity` per app of an environment.

Start reading at `app_identity`; `arguments` says what it takes. `load` checks an environment's file, `declare` turns it into
components, `stack_outputs` their results into the stack's outputs.
"""

from entrant.config.rotation import Due, HandedOut, Slot, due, slots

from . import sdk
from .access import assignment_name
from .api_clients import ApiClients, ApiClientsArgs
from .app_identity import AppIdentity
from .arguments import AppIdentityArgs, RoleAssignmentArgs, SecretArgs
from .environment import declare, load
from .outputs import own_outputs, stack_outputs

sdk.mend()

__all__ = [
    "ApiClients",
    "ApiClientsArgs",
    "AppIdentity",
    "AppIdentityArgs",
    "Due",
    "HandedOut",
    "RoleAssignmentArgs",
    "SecretArgs",
    "Slot",
    "assignment_name",
    "declare",
    "due",
    "load",
    "own_outputs",
    "slots",
    "stack_outputs",
]
