"""Who can read a secret in a Key Vault, as Resource Manager tells it: by roles, or by the vault's access policies.

Sources: "Azure Key Vault RBAC guide" (the data action of reading a value); Microsoft.Authorization, "Role Assignments - List For
Scope" (`atScope()`: at the scope and above); Microsoft.KeyVault, `Vaults_Get`.
"""

from collections.abc import Iterator
from typing import Any

from entrant.access.deployer import Deployer
from entrant.errors import EntrantError
from entrant.facts.roles import RolePermission, find_role, permits
from entrant.facts.scopes import Scope

READ = "Microsoft.KeyVault/vaults/secrets/getSecret/action"
MOST_NAMES = 20
"""Principals that are looked up by name; of more, the ids are told."""


def readers(who: Deployer, vault: Scope, secret: str) -> list[str]:
    """Everybody who can read a secret of a vault, in words: `service principal "web" (Key Vault Secrets User)`.

    Raises:
        RefusedError, UnreachableError, AuthenticationError: the vault or its assignments could not be read.
    """
    properties = who.arm(vault.id, version="2023-07-01")["properties"]
    if properties.get("enableRbacAuthorization"):
        found = list(_by_roles(who, f"{vault.id}/secrets/{secret}"))
    else:
        found = [("", str(policy["objectId"]), "an access policy") for policy in _policies(properties)]
    readers = dict.fromkeys(found)
    return [
        f"{_named(who, kind, id_, look=number < MOST_NAMES)} ({how})" for number, (kind, id_, how) in enumerate(readers)
    ]


def _by_roles(who: Deployer, scope: str) -> Iterator[tuple[str, str, str]]:
    """Kind and object id of each principal, and its role."""
    roles: dict[str, tuple[str, bool]] = {}
    answer = who.arm(f"{scope}/providers/Microsoft.Authorization/roleAssignments", **{"$filter": "atScope()"})
    for entry in who.listed(answer, "arm"):
        assigned = entry["properties"]
        role = str(assigned["roleDefinitionId"])
        if role not in roles:
            roles[role] = _role(who, role)
        name, reads = roles[role]
        if reads:
            kind = {"ServicePrincipal": "service principal", "Group": "group", "User": "user"}
            where = "" if str(assigned["scope"]).lower() == scope.lower() else f" at {assigned['scope']!s}"
            condition = ", under a condition" if assigned.get("condition") else ""
            yield kind.get(str(assigned.get("principalType")), ""), assigned["principalId"], f"{name}{where}{condition}"


def _role(who: Deployer, role: str) -> tuple[str, bool]:
    """A role's name, and whether it reads secrets."""
    known = find_role(role.rsplit("/", 1)[-1])
    if known is not None:
        return known.name, permits(known.permissions, READ, data=True)
    found = who.arm(role)["properties"]
    return str(found["roleName"]), permits(map(RolePermission.of, found["permissions"]), READ, data=True)


def _policies(properties: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for policy in properties.get("accessPolicies") or ():
        granted = {str(one).lower() for one in (policy.get("permissions") or {}).get("secrets") or ()}
        if granted & {"get", "all"}:
            yield policy


_PLACES = {"service principal": "servicePrincipals", "group": "groups", "user": "users"}


def _named(who: Deployer, kind: str, id_: str, *, look: bool) -> str:
    for what in (kind,) if kind else _PLACES:
        try:
            found = who.graph(f"/{_PLACES[what]}/{id_}", select="displayName") if look else {}
        except EntrantError:  # the name is a kindness
            continue
        if found.get("displayName"):
            return f'{what} "{found["displayName"]}"'
    return f"{kind} {id_}".strip()
