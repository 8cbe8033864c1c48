"""Directory roles: templates, activated roles and their members, unified role definitions and assignments.

A member of a directory role and a role assignment at the scope `/` are one thing seen through two APIs, and are stored once, as an
object of kind `roleAssignment`. Role ids are the template ids (``facts.directory_roles``).
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from entrant.facts.directory_roles import DirectoryRole, directory_roles, find_directory_role
from local_azure.graph import schema, types
from local_azure.graph.context import KINDS, Context, routes
from local_azure.graph.errors import bad_request, not_found, refuse
from local_azure.graph.grants import linked_id
from local_azure.graph.links import reference
from local_azure.graph.reading import typed
from local_azure.graph.rights import UNIT
from local_azure.graph.units import scope_of
from local_azure.wire import Reply, is_guid, new_guid, utc

Doc = dict[str, Any]

MAY_SEE = (
    "RoleManagement.Read.Directory",
    "RoleManagement.ReadWrite.Directory",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
)
MAY_CHANGE = "RoleManagement.ReadWrite.Directory"


def role_object_id(ctx: Context, template: str) -> str:
    """The object id of a directory role in this tenant: fixed by tenant and template, different from the template's."""
    return str(uuid.uuid5(uuid.UUID(ctx.world.tenant_id), template))


def _role_doc(ctx: Context, role: DirectoryRole) -> Doc:
    return {
        "id": role_object_id(ctx, role.id),
        "deletedDateTime": None,
        "description": role.name,
        "displayName": role.name,
        "roleTemplateId": role.id,
    }


# Templates and activated roles


def _template(role: DirectoryRole) -> Doc:
    return {"id": role.id, "deletedDateTime": None, "description": role.name, "displayName": role.name}


@routes.add("GET", "directoryRoleTemplates")
def _templates(ctx: Context) -> Reply:
    ctx.need(*MAY_SEE)
    return ctx.many([_template(role) for role in directory_roles()], "directoryRoleTemplates")


@routes.add("GET", "directoryRoleTemplates/*")
def _one_template(ctx: Context, key: str) -> Reply:
    ctx.need(*MAY_SEE)
    role = find_directory_role(key) if is_guid(key) else None
    if role is None:
        not_found(key)
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#directoryRoleTemplates/$entity", **_template(role)})


@routes.add("POST", "directoryRoles")
def _activate(ctx: Context) -> Reply:
    ctx.need(MAY_CHANGE)
    body = types.checked(ctx.body(), schema.DIRECTORY_ROLE, "DirectoryRole")
    role = find_directory_role(body.get("roleTemplateId") or "")
    if role is None or not is_guid(body.get("roleTemplateId")):
        bad_request("Property roleTemplateId is invalid: there is no such directory role template.")
    doc = _role_doc(ctx, role)
    if ctx.world.directory.kind_of(doc["id"]) is not None:
        text = "A conflicting object with one or more of the specified property values is present in the directory."
        refuse(400, "Request_BadRequest", text)
    ctx.world.directory.create("directoryRole", doc)
    return ctx.one(doc, KINDS["directoryRole"], status=201)


def _template_of(ctx: Context, object_id: str) -> str:
    template: str = ctx.get(KINDS["directoryRole"], object_id)["roleTemplateId"]
    return template


@routes.add("GET", "directoryRoles/*/members")
def _members(ctx: Context, object_id: str) -> Reply:
    ctx.need(*MAY_SEE)
    held = ctx.world.directory.find("roleAssignment", "roleDefinitionId", _template_of(ctx, object_id))
    found = (typed(ctx, one["principalId"]) for one in held if one["directoryScopeId"] == "/")
    return ctx.many([one for one in found if one is not None], "directoryObjects")


@routes.add("POST", "directoryRoles/*/members/$ref")
def _add_member(ctx: Context, object_id: str) -> Reply:
    ctx.need(MAY_CHANGE)
    template, principal = _template_of(ctx, object_id), reference(ctx, ctx.body().get("@odata.id"))
    if _find(ctx, template, principal, "/") is not None:
        bad_request(
            "One or more added object references already exist for the following modified properties: 'members'."
        )
    _store(ctx, template, principal, "/")
    return Reply(204)


@routes.add("DELETE", "directoryRoles/*/members/*/$ref")
def _remove_member(ctx: Context, object_id: str, principal: str) -> Reply:
    ctx.need(MAY_CHANGE)
    held = _find(ctx, _template_of(ctx, object_id), principal.lower(), "/")
    if held is None:
        not_found(principal)
    ctx.world.directory.purge(held["id"])
    return Reply(204)


# Roles limited to an administrative unit, as the unit lists them: the role assignments whose scope it is

SCOPED = f"{UNIT.plural}/*/scopedRoleMembers"


def _scoped(ctx: Context, unit: str) -> dict[str, Doc]:
    """The scopedRoleMemberships of a unit by lower-case id. Source: Microsoft Graph, "scopedRoleMembership resource type"."""
    ctx.get(UNIT, unit)
    role_ids = {role["roleTemplateId"]: role["id"] for _, role in ctx.world.directory.scan("directoryRole")}
    return {
        held["id"].lower(): {
            "id": held["id"],
            "administrativeUnitId": unit.lower(),
            "roleId": role_ids.get(held["roleDefinitionId"]),
            "roleMemberInfo": {
                "id": held["principalId"],
                "displayName": (typed(ctx, held["principalId"]) or {}).get("displayName"),
            },
        }
        for _, held in ctx.world.directory.scan("roleAssignment")
        if held["directoryScopeId"] == scope_of(unit)
    }


def _scoped_one(ctx: Context, unit: str, key: str, status: int = 200) -> Reply:
    found = _scoped(ctx, unit).get(key.lower()) or not_found(key)
    return Reply(status, {"@odata.context": f"{ctx.base}/$metadata#scopedRoleMemberships/$entity", **found})


@routes.add("GET", SCOPED)
def _scoped_members(ctx: Context, unit: str) -> Reply:
    ctx.need(*MAY_SEE)
    return ctx.many(_scoped(ctx, unit).values(), "scopedRoleMemberships")


@routes.add("GET", f"{SCOPED}/*")
def _scoped_member(ctx: Context, unit: str, key: str) -> Reply:
    ctx.need(*MAY_SEE)
    return _scoped_one(ctx, unit, key)


@routes.add("POST", SCOPED)
def _add_scoped_member(ctx: Context, unit: str) -> Reply:
    ctx.need(MAY_CHANGE)
    ctx.get(UNIT, unit)
    body = ctx.body()
    member = body.get("roleMemberInfo")
    principal = reference(ctx, member.get("id") if isinstance(member, dict) else None)
    role, scope = _template_of(ctx, str(body.get("roleId"))), scope_of(unit)
    if _find(ctx, role, principal, scope) is not None:
        bad_request(
            "A conflicting object with one or more of the specified property values is present in the directory."
        )
    return _scoped_one(ctx, unit, _store(ctx, role, principal, scope)["id"], status=201)


@routes.add("DELETE", f"{SCOPED}/*")
def _remove_scoped_member(ctx: Context, unit: str, key: str) -> Reply:
    ctx.need(MAY_CHANGE)
    found = _scoped(ctx, unit).get(key.lower()) or not_found(key)
    ctx.world.directory.purge(found["id"])
    return Reply(204)


# Unified role management

DEFINITION: dict[str, types.Type] = {
    "id": types.Guid(read_only=True),
    "description": types.Str(),
    "displayName": types.Str(longest=256),
    "isBuiltIn": types.Bool(read_only=True),
    "isEnabled": types.Bool(default=True),
    "resourceScopes": types.Many(),
    "rolePermissions": types.Many(
        of=types.Complex(
            of={
                "allowedResourceActions": types.Many(),
                "condition": types.Str(),
                "excludedResourceActions": types.Many(),
            }
        )
    ),
    "templateId": types.Str(longest=64),
    "version": types.Str(),
}
ASSIGNMENT: dict[str, types.Type] = {
    "id": types.Str(read_only=True),
    "appScopeId": types.Str(),
    "condition": types.Str(),
    "directoryScopeId": types.Str(),
    "principalId": types.Guid(),
    "roleDefinitionId": types.Guid(),
}
BASE = "roleManagement/directory"


def _builtin(role: DirectoryRole) -> Doc:
    return {
        "id": role.id,
        "description": role.name,
        "displayName": role.name,
        "isBuiltIn": True,
        "isEnabled": True,
        "isPrivileged": role.privileged,
        "resourceScopes": ["/"],
        "rolePermissions": [],
        "templateId": role.id,
        "version": "1",
    }


def _definition(ctx: Context, key: str) -> Doc:
    role = find_directory_role(key) if is_guid(key) else None
    if role is not None:
        return _builtin(role)
    found = ctx.world.directory.get(key, "roleDefinition")
    if found is None:
        not_found(key)
    return found


@routes.add("GET", f"{BASE}/roleDefinitions")
def _definitions(ctx: Context) -> Reply:
    ctx.need(*MAY_SEE)
    custom = [doc for _, doc in ctx.world.directory.scan("roleDefinition")]
    return ctx.many([*(_builtin(role) for role in directory_roles()), *custom], f"{BASE}/roleDefinitions")


@routes.add("POST", f"{BASE}/roleDefinitions")
def _create_definition(ctx: Context) -> Reply:
    ctx.need(MAY_CHANGE)
    body = types.checked(ctx.body(), DEFINITION, "UnifiedRoleDefinition")
    if not body.get("displayName") or not body.get("rolePermissions"):
        bad_request("Properties displayName and rolePermissions are required.")
    key = new_guid()
    doc = types.defaults(DEFINITION) | {"resourceScopes": ["/"]} | body | {"id": key, "isBuiltIn": False}
    doc["templateId"] = doc.get("templateId") or key
    ctx.world.directory.create("roleDefinition", doc)
    return Reply(201, {"@odata.context": f"{ctx.base}/$metadata#{BASE}/roleDefinitions/$entity", **doc})


@routes.add("GET", f"{BASE}/roleDefinitions/*")
def _read_definition(ctx: Context, key: str) -> Reply:
    ctx.need(*MAY_SEE)
    return Reply(
        200, {"@odata.context": f"{ctx.base}/$metadata#{BASE}/roleDefinitions/$entity", **_definition(ctx, key)}
    )


@routes.add("PATCH", f"{BASE}/roleDefinitions/*")
def _update_definition(ctx: Context, key: str) -> Reply:
    ctx.need(MAY_CHANGE)
    doc = _definition(ctx, key)
    if doc["isBuiltIn"]:
        bad_request("Built-in role definitions cannot be changed.")
    body = types.checked(ctx.body(), DEFINITION, "UnifiedRoleDefinition")
    body.pop("templateId", None)
    ctx.world.directory.update(types.merge(doc, body, DEFINITION))
    return Reply(204)


@routes.add("DELETE", f"{BASE}/roleDefinitions/*")
def _delete_definition(ctx: Context, key: str) -> Reply:
    ctx.need(MAY_CHANGE)
    doc = _definition(ctx, key)
    if doc["isBuiltIn"]:
        bad_request("Built-in role definitions cannot be deleted.")
    if ctx.world.directory.find("roleAssignment", "roleDefinitionId", doc["id"]):
        bad_request("The role definition is assigned and cannot be deleted.")
    ctx.world.directory.purge(doc["id"])
    return Reply(204)


def _scope(ctx: Context, unit: Any) -> str:
    """A `directoryScopeId`: the whole directory, or an administrative unit or other object that exists (e.g. an application)."""
    if unit in (None, "", "/"):
        return "/"
    found = re.fullmatch(r"/(administrativeUnits/)?([0-9a-fA-F-]{36})", unit) if isinstance(unit, str) else None
    if found is None or not is_guid(found[2]):
        bad_request("Property directoryScopeId is invalid: '/', '/administrativeUnits/{id}' or '/{id}' is expected.")
    kind = ctx.world.directory.kind_of(found[2])
    if kind is None or (kind == "administrativeUnit") is not bool(found[1]):
        not_found(found[2].lower())
    return f"/{found[1] or ''}{found[2].lower()}"


def _find(ctx: Context, role: str, principal: str, scope: str) -> Doc | None:
    held = ctx.world.directory.find("roleAssignment", "principalId", principal)
    return next((one for one in held if one["roleDefinitionId"] == role and one["directoryScopeId"] == scope), None)


def _store(ctx: Context, role: str, principal: str, scope: str) -> Doc:
    group = ctx.world.directory.get(principal, "group")
    if group is not None and not group["isAssignableToRole"]:
        # [?] The text; the rule is in "Use Microsoft Entra groups to manage role assignments".
        bad_request("A role can be assigned to a group only if its property 'isAssignableToRole' is true.")
    doc = {
        "id": ctx.world.take_reserved("roleAssignment", f"{principal}/{role}") or linked_id(role),
        "principalId": principal,
        "roleDefinitionId": role,
        "directoryScopeId": scope,
        "appScopeId": None,
        "condition": None,
    }
    ctx.world.directory.create("roleAssignment", doc)
    return doc


@routes.add("GET", f"{BASE}/roleAssignments")
def _assignments(ctx: Context) -> Reply:
    ctx.need(*MAY_SEE)
    docs = [_with_expanded(ctx, doc) for _, doc in ctx.world.directory.scan("roleAssignment")]
    return ctx.many(docs, f"{BASE}/roleAssignments")


def _with_expanded(ctx: Context, assignment: Doc) -> Doc:
    expanded = {name.strip() for name in ctx.call.query.get("$expand", "").split(",")} - {""}
    if unknown := sorted(expanded - {"principal", "roleDefinition"}):
        text = f"Parsing OData Select and Expand failed: Could not find a property named '{unknown[0][:60]}'."
        bad_request(text, code="BadRequest")
    if "principal" in expanded:
        assignment = {**assignment, "principal": typed(ctx, assignment["principalId"])}
    if "roleDefinition" in expanded:
        assignment = {**assignment, "roleDefinition": _definition(ctx, assignment["roleDefinitionId"])}
    return assignment


@routes.add("POST", f"{BASE}/roleAssignments")
def _create_assignment(ctx: Context) -> Reply:
    ctx.need(MAY_CHANGE)
    body = types.checked(ctx.body(), ASSIGNMENT, "UnifiedRoleAssignment")
    principal, scope = body.get("principalId"), _scope(ctx, body.get("directoryScopeId"))
    if not principal or not body.get("roleDefinitionId"):
        bad_request("Properties principalId and roleDefinitionId are required.")
    role = _definition(ctx, body["roleDefinitionId"])["id"]
    if ctx.world.directory.kind_of(principal) not in ("user", "servicePrincipal", "group"):
        not_found(principal)
    if _find(ctx, role, principal, scope) is not None:
        text = "A conflicting object with one or more of the specified property values is present in the directory."
        refuse(400, "Request_BadRequest", text)
    doc = _store(ctx, role, principal, scope)
    return Reply(201, {"@odata.context": f"{ctx.base}/$metadata#{BASE}/roleAssignments/$entity", **doc})


def _assignment(ctx: Context, key: str) -> Doc:
    found = ctx.world.directory.get(key, "roleAssignment")
    if found is None:
        not_found(key)
    return found


@routes.add("GET", f"{BASE}/roleAssignments/*")
def _read_assignment(ctx: Context, key: str) -> Reply:
    ctx.need(*MAY_SEE)
    doc = _with_expanded(ctx, _assignment(ctx, key))
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#{BASE}/roleAssignments/$entity", **doc})


@routes.add("DELETE", f"{BASE}/roleAssignments/*")
def _delete_assignment(ctx: Context, key: str) -> Reply:
    ctx.need(MAY_CHANGE)
    ctx.world.directory.purge(_assignment(ctx, key)["id"])
    return Reply(204)


@routes.add("POST", f"{BASE}/roleEligibilityScheduleRequests")
def _request_eligibility(ctx: Context) -> Reply:
    ctx.need("RoleEligibilitySchedule.ReadWrite.Directory", MAY_CHANGE)
    body = ctx.body()
    principal, role, action = body.get("principalId"), body.get("roleDefinitionId"), body.get("action")
    if not is_guid(principal) or not is_guid(role) or action not in ("adminAssign", "adminRemove", "adminUpdate"):
        bad_request("Properties principalId, roleDefinitionId and action are required.")
    role = _definition(ctx, str(role))["id"]
    if ctx.world.directory.kind_of(str(principal)) is None:
        not_found(str(principal))
    schedule = new_guid()
    doc = {
        "id": schedule,
        "status": "Revoked" if action == "adminRemove" else "Provisioned",
        "action": action,
        "principalId": str(principal).lower(),
        "roleDefinitionId": role,
        "directoryScopeId": _scope(ctx, body.get("directoryScopeId")),
        "justification": body.get("justification"),
        "scheduleInfo": body.get("scheduleInfo"),
        "targetScheduleId": schedule,
        "createdDateTime": utc(ctx.world.store.now()),
    }
    for held in ctx.world.directory.find("roleEligibility", "principalId", doc["principalId"]):
        if action == "adminRemove" and held["roleDefinitionId"] == role:
            ctx.world.directory.purge(held["id"])
    if action != "adminRemove":
        ctx.world.directory.create("roleEligibility", doc)
    return Reply(201, {"@odata.context": f"{ctx.base}/$metadata#{BASE}/roleEligibilityScheduleRequests/$entity", **doc})


@routes.add("GET", f"{BASE}/roleEligibilityScheduleRequests/*")
@routes.add("GET", f"{BASE}/roleEligibilitySchedules/*")
def _read_eligibility(ctx: Context, key: str) -> Reply:
    ctx.need("RoleEligibilitySchedule.Read.Directory", "RoleEligibilitySchedule.ReadWrite.Directory", *MAY_SEE)
    found = ctx.world.directory.get(key, "roleEligibility")
    if found is None:
        not_found(key)
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#{BASE}/roleEligibilitySchedules/$entity", **found})
