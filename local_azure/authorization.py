"""Microsoft.Authorization: role definitions, role assignments, and what the caller may do.

Source of rules and texts: "Troubleshoot Azure RBAC", azure-rest-api-specs (authorization 2022-04-01), and error bodies quoted in
issue threads of azure-cli, azurerm and Bicep.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from entrant.facts.conditions import ConditionError, parse
from entrant.facts.roles import BuiltInRole, RolePermission, builtin_roles
from entrant.facts.scopes import Scope, ScopeError, parse_scope, role_definition_id
from local_azure.access import Caller, demand
from local_azure.resources import Assignment, Doc, key_of
from local_azure.tree import body_of, filter_parts, no_method, require, verb_of
from local_azure.wire import Call, Reply, is_guid, refuse, utc
from local_azure.world import World

ROLE_ID = re.compile(r"(?:.*/)?providers/Microsoft\.Authorization/roleDefinitions/([0-9a-f-]{36})/?\Z", re.IGNORECASE)
PRINCIPAL_TYPES = ("ServicePrincipal", "User", "Group", "ForeignGroup", "Device")
NAMESPACE = "Microsoft.Authorization"
PARTS = ("actions", "notActions", "dataActions", "notDataActions")
MOST_ACTIONS = 5000
"""[?] Azure's limit is on the size of the definition, which no document gives; every request of a holder goes through them all."""


def handle(world: World, call: Call, caller: Caller, scope: Scope, rest: list[str]) -> Reply:
    """Answer a request to ``{scope}/providers/Microsoft.Authorization/{rest}``."""
    match [part.lower() for part in rest]:
        case ["roleassignments", name]:
            return _assignment(world, call, caller, scope, name)
        case ["roledefinitions", name]:
            return _role(world, call, caller, scope, name)
        case [collection] if collection in COLLECTIONS:
            if call.method != "GET":
                no_method(call)
            return COLLECTIONS[collection](world, call, caller, scope)
    path = "/".join(rest)[:100]
    refuse(404, "InvalidResourceType", f"The resource type '{path}' could not be found in the namespace '{NAMESPACE}'.")


# Role assignments


def shown(assignment: Assignment, seen_from: Scope | None = None) -> Doc:
    """A role assignment on the wire; in a list, one that is inherited from above a subscription names its role as seen from there.

    [?] No documented answer says the latter. azure-cli finds the names of inherited roles only so.
    """
    prefix = "" if assignment.scope == "/" else assignment.scope
    doc = assignment.doc
    if seen_from is not None and doc["roleDefinitionId"].startswith("/providers/"):
        doc = {**doc, "roleDefinitionId": role_definition_id(seen_from, assignment.role)}
    return {
        "properties": doc,
        "id": f"{prefix}/providers/{NAMESPACE}/roleAssignments/{assignment.name}",
        "type": f"{NAMESPACE}/roleAssignments",
        "name": assignment.name,
    }


def _list_assignments(world: World, call: Call, caller: Caller, scope: Scope) -> Reply:
    """Assignments at, above and below a scope; `$filter` takes `atScope()`, `principalId eq '…'` and `assignedTo('…')`."""
    demand(world, caller, f"{NAMESPACE}/roleAssignments/read", scope)
    text = call.query.get("$filter", "")
    at_scope, principals = False, None
    for part in filter_parts(text):
        found = re.fullmatch(
            r"(?:principalId\s+eq\s+|(assignedTo)\s*\(\s*)'?\{?([0-9a-fA-F-]{36})\}?'?\s*\)?", part, re.IGNORECASE
        )
        if part.lower().replace(" ", "") in ("atscope()", "atscopeandbelow()"):
            at_scope = "below" not in part.lower()
        elif found:
            ids = {found[2].lower()}
            principals = ids | world.directory.groups_of(found[2]) if found[1] else ids
        else:
            text = (
                f"The filter '{part[:100]}' is not supported. Supported filters are atScope(), principalId eq '{{id}}' and "
                "assignedTo('{id}')."
            )
            refuse(400, "UnsupportedQuery", text)
    keys = world.resources.enclosing(scope)
    if principals is None:
        found_here = world.resources.assignments(scope_keys=keys, below=None if at_scope else scope.id)
    else:
        below = key_of(scope.id) + "/"
        found_here = [
            one
            for one in world.resources.assignments_of(principals)
            if key_of(one.scope) in keys or (not at_scope and key_of(one.scope).startswith(below))
        ]
    return Reply(200, {"value": [shown(one, scope) for one in found_here]})


def _assignment(world: World, call: Call, caller: Caller, scope: Scope, name: str) -> Reply:
    verb = verb_of(call)
    held = world.resources.assignment(name)
    here = held if held is not None and key_of(held.scope) == key_of(scope.id) else None
    demand(world, caller, f"{NAMESPACE}/roleAssignments/{verb}", scope, _attributes(world, call, here))
    if not is_guid(name):
        refuse(
            400,
            "InvalidRoleAssignmentId",
            f"The role assignment ID '{name[:60]}' is not valid. The role assignment ID must be a GUID.",
        )
    if call.method == "PUT":
        return _put_assignment(world, call, caller, scope, name.lower(), held)
    if call.method == "DELETE":
        if here is None:
            return Reply(204)
        world.resources.delete_assignment(name)
        return Reply(200, shown(here))
    if here is None:
        refuse(404, "RoleAssignmentNotFound", f"The role assignment '{name}' is not found.")
    return Reply(200, shown(here))


def _attributes(world: World, call: Call, held: Assignment | None) -> dict[tuple[str, str], Any]:
    """What a condition may look at: the assignment that is there, and the one that is asked for."""
    found: dict[tuple[str, str], Any] = {}
    if held is not None:
        found |= _about("resource", held.role, held.principal, held.doc.get("principalType"))
    if call.method == "PUT":
        properties: Doc = body_of(call).get("properties") or {}
        role = ROLE_ID.match(str(properties.get("roleDefinitionId")))
        principal = str(properties.get("principalId")).lower()
        kind = properties.get("principalType") or _kind_of(world, principal)
        found |= _about("request", role[1] if role else None, principal, kind)
    return found


def _about(source: str, role: str | None, principal: str, kind: Any) -> dict[tuple[str, str], Any]:
    named = {"roledefinitionid": role, "principalid": principal, "principaltype": kind}
    prefix = f"{NAMESPACE}/roleAssignments:".lower()
    return {(source, prefix + name): value for name, value in named.items() if isinstance(value, str)}


def _put_assignment(
    world: World, call: Call, caller: Caller, scope: Scope, name: str, held: Assignment | None
) -> Reply:
    require(world, scope)
    properties: Doc = body_of(call).get("properties") or {}
    principal = properties.get("principalId")
    if not is_guid(principal):
        refuse(400, "InvalidPrincipalId", f"The Principal ID '{principal}' is not valid. Principal ID must be a GUID.")
    principal = str(principal).lower()
    role = _role_to_assign(world, properties.get("roleDefinitionId"), scope)
    kind = _principal_type(world, principal, properties.get("principalType"))
    condition = _condition(properties)
    if held is None:
        _refuse_twin(world, scope, role, principal)
    elif key_of(held.scope) != key_of(scope.id) or held.principal != principal or held.role != role:
        text = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
        refuse(400, "RoleAssignmentUpdateNotPermitted", text)
    now = world.store.now()
    stamp = utc(now, digits=7)
    doc = {
        "roleDefinitionId": role_definition_id(scope, role),
        "principalId": principal,
        "principalType": kind,
        "scope": scope.id,
        "condition": condition,
        "conditionVersion": properties.get("conditionVersion"),
        "createdOn": held.doc["createdOn"] if held else stamp,
        "updatedOn": stamp,
        "createdBy": held.doc["createdBy"] if held else caller.object_id,
        "updatedBy": caller.object_id,
        "delegatedManagedIdentityResourceId": properties.get("delegatedManagedIdentityResourceId"),
        "description": properties.get("description"),
    }
    assignment = Assignment(name, held.scope if held else scope.id, role, principal, held.created if held else now, doc)
    world.resources.put_assignment(assignment)
    return Reply(200 if held else 201, shown(assignment))


def _role_to_assign(world: World, definition: Any, scope: Scope) -> str:
    """The GUID of the role that a `roleDefinitionId` names, if it can be assigned at a scope."""
    found = ROLE_ID.match(definition) if isinstance(definition, str) else None
    if found is None or not is_guid(found[1]):
        refuse(400, "BadRequestFormat", "The request was incorrectly formatted.")
    role = world.resources.role(found[1])
    if role is None:
        text = f"The specified role definition with ID '{found[1].replace('-', '')}' does not exist."
        refuse(404, "RoleDefinitionDoesNotExist", text)
    if not isinstance(role, BuiltInRole) and not _assignable(world, role, scope):
        listed = ",".join(role["properties"]["assignableScopes"])
        text = (
            f"The role assignment scope '{scope.id}' must match the scope specified on the role definition '{listed}'."
        )
        refuse(400, "RoleAssignmentScopeNotAssignableToRoleDefinition", text)
    return found[1].lower()


def _condition(properties: Doc) -> str | None:
    """The condition of an assignment, if it and what is said beside it are what they may be."""
    condition, version = properties.get("condition"), properties.get("conditionVersion")
    for value in (condition, version, properties.get("description")):
        if value is not None and not isinstance(value, str):
            refuse(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized.")
    if condition and version not in ("1.0", "2.0"):
        text = "The condition version is not valid. It must be '1.0' or '2.0' when there is a condition."
        refuse(400, "InvalidConditionVersion", text)
    if condition:
        try:
            parse(condition)
        except ConditionError as error:
            # [?] The code is not documented; "Troubleshoot Azure role assignment conditions" has the first sentence.
            text = f"The given role assignment condition is invalid: {error}."
            refuse(400, "InvalidRoleAssignmentCondition", text)
    return condition


def _refuse_twin(world: World, scope: Scope, role: str, principal: str) -> None:
    same = world.resources.same_assignment(scope.id, role, principal)
    if same is not None:
        text = f"The role assignment already exists. The ID of the conflicting role assignment is {same.name.replace('-', '')}."
        refuse(409, "RoleAssignmentExists", text)


def _kind_of(world: World, principal: str) -> str | None:
    """The principal type of an object of the directory, or `None`."""
    known = {"servicePrincipal": "ServicePrincipal", "user": "User", "group": "Group"}
    return known.get(world.directory.kind_of(principal) or "")


def _principal_type(world: World, principal: str, kind: Any) -> str:
    """The principal's type, looked up; one that is unknown is believed when the request names its type (it may be too new)."""
    there = None if world.faults.unknown(principal, world.store.now()) else world.directory.kind_of(principal)
    found = _kind_of(world, principal) if there is not None else None
    if kind is not None and kind not in PRINCIPAL_TYPES:
        refuse(400, "InvalidPrincipalType", f"The principal type '{kind}' is not valid.")
    if found is None and kind is not None and there is None:
        return str(kind)
    if found is None:
        text = (
            f"Principal {principal.replace('-', '')} does not exist in the directory {world.tenant_id}. Check that you have the "
            "correct principal ID. If you are creating this principal and then immediately assigning a role, this error might be "
            "related to a replication delay. In this case, set the role assignment principalType property to a value, such as "
            "ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype"
        )
        refuse(400, "PrincipalNotFound", text)
    if kind is not None and kind != found:
        text = (
            f"The PrincipalId '{principal.replace('-', '')}' has type '{found}' , which is different from specified "
            f"PrinciaplType '{kind}'."
        )
        refuse(400, "UnmatchedPrincipalType", text)
    return found


# Role definitions


def builtin_shown(role: BuiltInRole, scope: Scope) -> Doc:
    """A built-in role definition on the wire, seen from a scope."""
    return {
        "properties": {
            "roleName": role.name,
            "type": "BuiltInRole",
            "description": "",
            "assignableScopes": ["/"],
            "permissions": [_block(block) for block in role.permissions],
            "createdOn": "2015-02-02T21:55:09.8806423Z",
            "updatedOn": "2023-10-11T19:00:00.0000000Z",
            "createdBy": None,
            "updatedBy": None,
        },
        "id": role_definition_id(scope, role.id),
        "type": f"{NAMESPACE}/roleDefinitions",
        "name": role.id,
    }


def _block(block: RolePermission) -> Doc:
    return {
        "actions": list(block.actions),
        "notActions": list(block.not_actions),
        "dataActions": list(block.data_actions),
        "notDataActions": list(block.not_data_actions),
    }


def _custom_shown(doc: Doc, scope: Scope) -> Doc:
    return {**doc, "id": role_definition_id(scope, doc["name"]), "type": f"{NAMESPACE}/roleDefinitions"}


def _assignable(world: World, doc: Doc, scope: Scope) -> bool:
    """Whether a custom role can be used at a scope: one of its assignable scopes contains it."""
    keys = world.resources.enclosing(scope)
    return any(key_of(text) in keys for text in doc["properties"]["assignableScopes"])


def _list_roles(world: World, call: Call, caller: Caller, scope: Scope) -> Reply:
    demand(world, caller, f"{NAMESPACE}/roleDefinitions/read", scope)
    name = kind = None
    text = call.query.get("$filter", "").strip()
    for part in filter_parts(text):
        found = re.fullmatch(r"(roleName|type)\s+eq\s+'((?:[^']|'')*)'", part, re.IGNORECASE)
        if found and found[1].lower() == "rolename":
            name = found[2].replace("''", "'").lower()
        elif found:
            kind = found[2].lower()
        elif part.lower().replace(" ", "") not in ("atscopeandbelow()", "atscope()"):
            refuse(400, "UnsupportedQuery", f"The filter '{part[:100]}' is not supported.")
    roles = [builtin_shown(role, scope) for role in builtin_roles() if name is None or role.name.lower() == name]
    roles += [
        _custom_shown(doc, scope)
        for doc in world.resources.custom_roles()
        if _assignable(world, doc, scope) and (name is None or doc["properties"]["roleName"].lower() == name)
    ]
    if kind is not None:
        roles = [role for role in roles if role["properties"]["type"].lower() == kind]
    return Reply(200, {"value": roles})


def _role(world: World, call: Call, caller: Caller, scope: Scope, name: str) -> Reply:
    verb = verb_of(call)
    demand(world, caller, f"{NAMESPACE}/roleDefinitions/{verb}", scope)
    if not is_guid(name):
        refuse(
            400,
            "InvalidRoleDefinitionId",
            f"The role definition ID '{name[:60]}' is not valid. The role definition ID must be a GUID.",
        )
    role = world.resources.role(name)
    if call.method == "PUT":
        return _put_role(world, call, caller, scope, name.lower(), role)
    if call.method == "DELETE":
        if role is None:
            return Reply(204)
        if isinstance(role, BuiltInRole):
            refuse(403, "RoleDefinitionIsBuiltIn", "Built-in role definitions cannot be changed or deleted.")
        for assignable in role["properties"]["assignableScopes"]:
            demand(world, caller, f"{NAMESPACE}/roleDefinitions/delete", parse_scope(assignable))
        if world.resources.has_assignments(name):
            refuse(
                400,
                "RoleDefinitionHasAssignments",
                "There are existing role assignments referencing role (code: RoleDefinitionHasAssignments).",
            )
        world.resources.delete_role(name)
        return Reply(200, _custom_shown(role, scope))
    if role is None:
        text = f"The specified role definition with ID '{name.replace('-', '')}' does not exist."
        refuse(404, "RoleDefinitionDoesNotExist", text)
    return Reply(200, builtin_shown(role, scope) if isinstance(role, BuiltInRole) else _custom_shown(role, scope))


def _put_role(
    world: World, call: Call, caller: Caller, scope: Scope, name: str, held: BuiltInRole | Doc | None
) -> Reply:
    require(world, scope)
    if isinstance(held, BuiltInRole):
        refuse(403, "RoleDefinitionIsBuiltIn", "Built-in role definitions cannot be changed or deleted.")
    for text in held["properties"]["assignableScopes"] if held is not None else ():
        demand(world, caller, f"{NAMESPACE}/roleDefinitions/write", parse_scope(text))
    properties: Doc = body_of(call).get("properties") or {}
    title, blocks, scopes = (
        properties.get("roleName"),
        properties.get("permissions"),
        properties.get("assignableScopes"),
    )
    if not isinstance(title, str) or not title or len(title) > 512:
        refuse(400, "InvalidRoleDefinitionName", "The role definition name is missing or too long.")
    if not isinstance(scopes, list) or not scopes:
        refuse(400, "MissingRoleDefinitionScope", "The role definition must have at least one assignable scope.")
    _check_scopes(world, caller, scopes)
    if held is not None:
        _check_narrowing(world, held, scopes)
    permissions = _checked_blocks(blocks, scopes)
    clash = [
        doc
        for doc in world.resources.custom_roles()
        if doc["properties"]["roleName"].lower() == title.lower() and doc["name"] != name
    ]
    if clash or any(role.name.lower() == title.lower() for role in builtin_roles()):
        text = f"A custom role with the same name already exists in this directory. Use a different name. ('{title}')"
        refuse(409, "RoleDefinitionWithSameNameExists", text)
    now = utc(world.store.now(), digits=7)
    before = held["properties"] if held else {}
    doc = {
        "name": name,
        "properties": {
            "roleName": title,
            "type": "CustomRole",
            "description": properties.get("description") if isinstance(properties.get("description"), str) else "",
            "assignableScopes": scopes,
            "permissions": permissions,
            "createdOn": before.get("createdOn", now),
            "updatedOn": now,
            "createdBy": before.get("createdBy", caller.object_id),
            "updatedBy": caller.object_id,
        },
    }
    world.resources.put_role(name, doc)
    return Reply(201, _custom_shown(doc, scope))


def _check_narrowing(world: World, held: Doc, scopes: list[Any]) -> None:
    """Refuse to take an assignable scope away below which the role is assigned, unless another one still contains the assignment.

    Source: the error RoleScopeBeingRemovedContainsAssignments, as github.com/Azure/bicep/issues/17145 has it.
    """
    after = {"properties": {"assignableScopes": scopes}}
    for assignment in world.resources.assignments_with(held["name"]):
        scope = parse_scope(assignment.scope)
        if _assignable(world, after, scope):
            continue
        keys = world.resources.enclosing(scope)
        gone = next((text for text in held["properties"]["assignableScopes"] if key_of(text) in keys), scope.id)
        text = f"Role assignments found under scope '{gone}' which is being removed."
        text += " Removing this scope from the role will orphan these assignments."
        refuse(
            400,
            "RoleScopeBeingRemovedContainsAssignments",
            f"{text} Delete these assignments before removing the scope.",
        )


def _check_scopes(world: World, caller: Caller, scopes: list[Any]) -> None:
    """Refuse assignable scopes that a custom role cannot have, or at which the caller may not define one."""
    for text in scopes:
        try:
            assignable = parse_scope(text if isinstance(text, str) else "")
        except ScopeError:
            refuse(400, "InvalidAssignableScope", f"The assignable scope '{text}' is not valid.")
        if assignable.kind == "root":
            refuse(400, "InvalidAssignableScope", "A custom role cannot have the root '/' as an assignable scope.")
        if assignable.kind == "resource":
            refuse(400, "InvalidAssignableScope", "A custom role cannot have a resource as an assignable scope.")
        demand(world, caller, f"{NAMESPACE}/roleDefinitions/write", assignable)


def _checked_blocks(blocks: Any, scopes: list[str]) -> list[Doc]:
    """The permissions of a custom role, unless they are none, too many, or not for these assignable scopes."""
    if not isinstance(blocks, list) or not all(
        isinstance(block, dict)
        and all(
            isinstance(block.get(part) or [], list) and all(isinstance(one, str) for one in block.get(part) or [])
            for part in PARTS
        )
        for block in blocks
    ):
        refuse(400, "InvalidRoleDefinitionPermissions", "The permissions of the role definition are not valid.")
    if sum(len(block.get(part) or []) for block in blocks for part in PARTS) > MOST_ACTIONS:
        text = f"A role definition has at most {MOST_ACTIONS} actions in this local Azure."
        refuse(400, "InvalidRoleDefinitionPermissions", text)
    groups = {key_of(text) for text in scopes if parse_scope(text).kind == "management_group"}
    if len(groups) > 1:
        # [?] The code; that one is the most is in "Azure custom roles", "Custom role limits".
        refuse(400, "InvalidAssignableScope", "A custom role can have one management group as an assignable scope.")
    if groups and any(block.get("dataActions") for block in blocks):
        # [?] The code; the rule is in "Azure custom roles", "Custom role limits".
        text = "A custom role with data actions cannot have a management group as an assignable scope."
        refuse(400, "InvalidAssignableScope", text)
    return [{part: list(block.get(part) or []) for part in PARTS} for block in blocks]


def _permissions(world: World, call: Call, caller: Caller, scope: Scope) -> Reply:
    held = world.resources.effective(caller.principals, scope, delay=world.propagation("roles"))
    return Reply(200, {"value": [_block(block) for blocks in held for block in blocks]})


def _none(world: World, call: Call, caller: Caller, scope: Scope) -> Reply:
    """Collections that exist in Azure and are always empty here."""
    return Reply(200, {"value": []})


COLLECTIONS: dict[str, Callable[[World, Call, Caller, Scope], Reply]] = {
    "classicadministrators": _none,
    "denyassignments": _none,
    "locks": _none,
    "permissions": _permissions,
    "policyassignments": _none,
    "roleassignments": _list_assignments,
    "roledefinitions": _list_roles,
    "roleeligibilityscheduleinstances": _none,
}
