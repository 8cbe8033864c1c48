"""What Pulumi declares: one `AppIdentity` per app of an environment.

Start reading at `app_identity`; `arguments` says what it takes. `declare` turns a checked environment into components,
`stack_outputs` their results into the stack's outputs.
"""

from .api_clients import ApiClients, ApiClientsArgs
from .app_identity import AppIdentity, assignment_name
from .arguments import AppIdentityArgs, RoleAssignmentArgs, SecretArgs
from .environment import declare, stack_outputs
from .rotation import Slot, slots

__all__ = [
    "ApiClients",
    "ApiClientsArgs",
    "AppIdentity",
    "AppIdentityArgs",
    "RoleAssignmentArgs",
    "SecretArgs",
    "Slot",
    "assignment_name",
    "declare",
    "slots",
    "stack_outputs",
]
