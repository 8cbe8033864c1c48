"""What is dangerous to have, in words: one classification for what is refused and for what policy rules judge.

Sources, besides those of the names in `limits`: Azure RBAC, "Privileged administrator roles"; Microsoft Entra, "Redirect URI
(reply URL) best practices" (http for loopback addresses alone, no wildcards).
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from .apis import FIRST_PARTY, GRAPH
from .directory_roles import DirectoryRole
from .limits import PRIVILEGED_PERMISSIONS, PRIVILEGED_ROLES
from .roles import RolePermission, permits
from .scopes import Scope

SECRET_LIFETIME: Final = timedelta(days=180)
"""The lifetime that Microsoft's portal recommends for a client secret."""

_WIDE: Final = {
    "root": "the whole tenant",
    "management_group": "a management group",
    "subscription": "a whole subscription",
}
_LOOPBACK = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?(/|$)", re.IGNORECASE)


def of_role(
    name: str, guid: str, permissions: Iterable[RolePermission] = (), *, conditioned: bool = False
) -> str | None:
    """Why a role is privileged: it can hand out roles, its own included, unless a condition says which.

    `permissions` are those of a custom one.
    """
    if conditioned:
        return None
    if guid.lower() in PRIVILEGED_ROLES:
        return f"{name} can give itself any role"
    if permits(permissions, "Microsoft.Authorization/roleAssignments/write"):
        return f"{name} allows role assignments, and so can give itself any role"
    return None


def of_scope(role: str, scope: Scope) -> str | None:
    """Why a role at this scope reaches far."""
    where = _WIDE.get(scope.kind)
    return f"{role} at {where} reaches everything in it" if where else None


def of_permission(name: str, api: str = GRAPH) -> str | None:
    """Why a permission of an API, by its client id or Microsoft's name, is privileged: of Microsoft Graph alone some are."""
    if FIRST_PARTY.get(api, api) != GRAPH or name not in PRIVILEGED_PERMISSIONS:
        return None
    return f"{name} can take over accounts or the directory"


def of_directory_role(role: DirectoryRole) -> str | None:
    """Why a directory role is privileged: Microsoft's own label."""
    return f"{role.name} is a privileged directory role" if role.privileged else None


def is_unencrypted(uri: str) -> bool:
    """Whether a redirect URI has http and is no loopback address."""
    return uri.lower().startswith("http:") and not _LOOPBACK.match(uri)
