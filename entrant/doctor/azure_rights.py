"""Whether the deployer may assign and define roles in Azure."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

from entrant import config
from entrant.access.deployer import Deployer
from entrant.doctor.findings import Finding, not_seen
from entrant.errors import EntrantError, RefusedError
from entrant.facts.roles import RolePermission, find_role, permits
from entrant.facts.scopes import Scope, parse_scope
from entrant.outputs import App

_ASSIGN = "Microsoft.Authorization/roleAssignments/write"
_DEFINE = "Microsoft.Authorization/roleDefinitions/write"
_READ = "Microsoft.Authorization/roleDefinitions/read"


def roles(environment: config.Environment, deployer: Deployer, there: Mapping[str, App]) -> Iterator[Finding]:
    new = new_grants(environment, there)
    for scope in {grant.scope.id: grant.scope for grant in new}.values():
        step = "give the deployer Role Based Access Control Administrator there"
        yield _permitted(deployer, scope, f"assign roles on {scope.name}", _ASSIGN, step)


def definitions(environment: config.Environment, deployer: Deployer, there: Mapping[str, App]) -> Iterator[Finding]:
    """A custom role is written with the right to at each scope it can be assigned at; read back, changed and removed it is at its
    subscription, which Azure makes it a part of.
    """
    for key, definition in environment.role_definitions.items():
        first = definition.assignable_scopes[0]
        kind = "providers/Microsoft.Authorization/roleDefinitions"
        path = f"{first.id.rstrip('/')}/{kind}/{definition.guid(key)}"
        try:
            deployer.arm(path)
            continue  # it is there
        except EntrantError as error:
            if not isinstance(error, RefusedError) or error.status not in (403, 404):
                yield not_seen(error, f"define {key}", "")
                continue
        for scope in definition.assignable_scopes:
            step = "give the deployer Owner or User Access Administrator there"
            yield _permitted(deployer, scope, f"define {key} on {scope.name}", _DEFINE, step)
        if first.subscription:
            home = parse_scope(f"/subscriptions/{first.subscription}")
            read = _permitted(deployer, home, f"read {key} back", _READ, "give the deployer Reader there")
            yield read
            step = "give the deployer User Access Administrator there before it is changed or removed"
            later = _permitted(deployer, home, f"change or remove {key} later", _DEFINE, step)
            if read.state == "ok" and later.state == "problem":  # a first `up` works
                yield replace(later, state="unknown")


def _permitted(deployer: Deployer, scope: Scope, what: str, action: str, step: str) -> Finding:
    """Whether the deployer's roles at a scope allow an action there."""
    path = f"{scope.id.rstrip('/')}/providers/Microsoft.Authorization/permissions"
    try:
        blocks = [RolePermission.of(entry) for entry in deployer.listed(deployer.arm(path), "arm")]
    except EntrantError as error:
        if not isinstance(error, RefusedError) or error.status not in (403, 404):
            return not_seen(error, what, step)
        gone = "check the scope's id, or create it first"
        return Finding(
            what, "problem", f"{error.status} {error.code}: {scope.id}", gone if error.status == 404 else step
        )
    if permits(blocks, action):
        if action == _ASSIGN and (condition := _narrowed(deployer, scope)):
            step = "see that it allows the roles of the file to service principals; Azure tells that only when one is assigned"
            return Finding(what, "unknown", f"{action} at {scope.id}, under the condition {condition}", step)
        return Finding(what, "ok", f"{action} at {scope.id}")
    return Finding(what, "problem", f"no role allows {action} at {scope.id}", step)


def _narrowed(deployer: Deployer, scope: Scope) -> str | None:
    """The condition that the deployer's right to assign roles at a scope is under; None without one, or where it cannot be seen."""
    path = f"{scope.id.rstrip('/')}/providers/Microsoft.Authorization/roleAssignments"
    query = {"$filter": f"assignedTo('{deployer.claims('arm').get('oid')}')"}
    conditions: list[str | None] = []
    with contextlib.suppress(RefusedError):
        for entry in deployer.listed(deployer.arm(path, **query), "arm"):
            held = entry["properties"]
            role = find_role(str(held["roleDefinitionId"]).rpartition("/")[2])
            below = str(held["scope"]).lower().startswith(f"{scope.id.lower()}/")
            if not below and (role is None or permits(role.permissions, _ASSIGN)):
                conditions.append(held.get("condition"))
    return None if not conditions or not all(conditions) else " ".join(str(conditions[0]).split())


def new_grants(environment: config.Environment, there: Mapping[str, App]) -> list[config.RoleGrant]:
    """The role assignments that are not there yet."""
    held = {
        (name, grant.role_definition_id.lower(), grant.scope.lower())
        for name, app in there.items()
        for grant in app.grants
    }
    return [
        grant
        for name, app in environment.apps.items()
        for grant in app.roles
        if (name, grant.role.guid.lower(), grant.scope.id.lower()) not in held and not grant.adopt
    ]
