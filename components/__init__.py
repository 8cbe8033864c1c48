"""What Pulumi declares: one `AppIdentity` per app of an environment.

Start reading at `app_identity`. `declare` turns a checked environment into components, `stack_outputs` their results
into the stack's outputs.
"""

from .app_identity import AppIdentity, AppIdentityArgs, RoleAssignmentArgs, SecretArgs, assignment_name
from .environment import declare, stack_outputs
from .rotation import Slot, slots

__all__ = [
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
