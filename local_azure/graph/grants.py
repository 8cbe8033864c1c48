"""Consent: app role assignments (application permissions) and delegated permission grants.

Source: Microsoft Graph, "appRoleAssignment" and "oAuth2PermissionGrant" resource types; error texts as quoted in issue threads.
"""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from typing import Any

from entrant.facts.apis import AZURE_AD_GRAPH, GRAPH
from local_azure import first_party
from local_azure.graph import odata, types
from local_azure.graph.context import CONSENT_BUT_GRAPH, KINDS, Context, Kind, routes
from local_azure.graph.errors import bad_request, not_found, refuse
from local_azure.graph.reading import expandable
from local_azure.graph.rights import GROUP, PRINCIPAL, USER, may_read
from local_azure.wire import Reply, utc

Doc = dict[str, Any]

NO_ROLE = "00000000-0000-0000-0000-000000000000"
"""The role id of default access, for an API that has no roles."""
PRINCIPAL_TYPES = {"servicePrincipal": "ServicePrincipal", "user": "User", "group": "Group"}
ASSIGNMENT: dict[str, types.Type] = {
    "id": types.Str(read_only=True),
    "appRoleId": types.Guid(),
    "principalId": types.Guid(),
    "resourceId": types.Guid(),
    "createdDateTime": types.Time(read_only=True),
    "deletedDateTime": types.Time(read_only=True),
    "principalDisplayName": types.Str(read_only=True),
    "principalType": types.Str(read_only=True),
    "resourceDisplayName": types.Str(read_only=True),
}


def linked_id(guid: str) -> str:
    """An id as Graph makes them for assignments and grants: URL-safe base64 that begins with a GUID."""
    raw = uuid.UUID(guid).bytes_le + secrets.token_bytes(16)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _shown(ctx: Context, row: tuple[str, str, str, str, float]) -> Doc:
    assignment, resource, principal, role, created = row
    directory = ctx.world.directory
    kind = directory.kind_of(principal)
    return {
        "id": assignment,
        "deletedDateTime": None,
        "appRoleId": role,
        "createdDateTime": utc(created),
        "principalDisplayName": (directory.get(principal) or {}).get("displayName"),
        "principalId": principal,
        "principalType": PRINCIPAL_TYPES.get(kind or "", "ServicePrincipal"),
        "resourceDisplayName": (directory.get(resource) or {}).get("displayName"),
        "resourceId": resource,
    }


def _assign(ctx: Context, kind: Kind, object_id: str, side: str) -> Reply:
    """Create an app role assignment; `side` says which of its ends the path names."""
    ctx.get(kind, object_id)
    ctx.need("AppRoleAssignment.ReadWrite.All", CONSENT_BUT_GRAPH)
    body = types.checked(ctx.body(), ASSIGNMENT, "EntitlementGrant")
    for name in ("principalId", "resourceId", "appRoleId"):
        if not body.get(name):
            bad_request(f"One or more property values specified are invalid. Property '{name}' is required.")
    if body[side] != object_id.lower():
        bad_request("Not a valid reference update.")
    principal, resource, role = body["principalId"], body["resourceId"], body["appRoleId"]
    directory = ctx.world.directory
    api = directory.get(resource, "servicePrincipal")
    principal_kind = directory.kind_of(principal)
    if api is None:
        not_found(resource)
    _may_consent(ctx, api)
    if principal_kind not in PRINCIPAL_TYPES:
        bad_request("Not a valid reference update.")
    offered = [*(api.get("appRoles") or []), *first_party.app_roles(api["appId"])]
    wanted = "Application" if principal_kind == "servicePrincipal" else "User"
    fits = any(
        one["id"].lower() == role and one.get("isEnabled") and wanted in one["allowedMemberTypes"] for one in offered
    )
    if not fits and not (role == NO_ROLE and not any(wanted in one["allowedMemberTypes"] for one in offered)):
        bad_request(f"Permission being assigned was not found on application '{api['appId']}'.")
    reserved = ctx.world.take_reserved("appRoleAssignment", f"{principal}/{resource}/{role}")
    assignment = reserved or linked_id(principal)
    if not directory.assign_app_role(assignment, resource, principal, role):
        bad_request("Permission being assigned already exists on the object")
    row = next(row for row in directory.app_roles(principal=principal) if row[0] == assignment)
    return Reply(201, {"@odata.context": f"{ctx.base}/$metadata#appRoleAssignments/$entity", **_shown(ctx, row)})


def _may_consent(ctx: Context, api: Doc) -> None:
    """403 unless the caller may assign app roles of this API: an application administrator may not those of the Graphs."""
    if api.get("appId") in (GRAPH, AZURE_AD_GRAPH):
        ctx.need("AppRoleAssignment.ReadWrite.All")


def _rows(ctx: Context, kind: Kind, object_id: str, side: str) -> list[tuple[str, str, str, str, float]]:
    ctx.get(kind, object_id)
    directory = ctx.world.directory
    return directory.app_roles(resource=object_id) if side == "resourceId" else directory.app_roles(principal=object_id)


def _list(ctx: Context, kind: Kind, object_id: str, side: str) -> Reply:
    may_read(ctx, kind)
    docs = [_shown(ctx, row) for row in _rows(ctx, kind, object_id, side)]
    return ctx.many(docs, f"{kind.plural}('{object_id}')/appRoleAssignments")


expandable("appRoleAssignments", *PRINCIPAL_TYPES)(
    lambda ctx, one: [_shown(ctx, row) for row in ctx.world.directory.app_roles(principal=one)]
)
expandable("appRoleAssignedTo", "servicePrincipal")(
    lambda ctx, one: [_shown(ctx, row) for row in ctx.world.directory.app_roles(resource=one)]
)


def _one(ctx: Context, kind: Kind, object_id: str, side: str, assignment: str) -> Reply:
    may_read(ctx, kind)
    row = next((row for row in _rows(ctx, kind, object_id, side) if row[0] == assignment), None)
    if row is None:
        not_found(assignment)
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#appRoleAssignments/$entity", **_shown(ctx, row)})


def _unassign(ctx: Context, kind: Kind, object_id: str, side: str, assignment: str) -> Reply:
    ctx.need("AppRoleAssignment.ReadWrite.All", CONSENT_BUT_GRAPH)
    row = next((row for row in _rows(ctx, kind, object_id, side) if row[0] == assignment), None)
    if row is None:
        not_found(assignment)
    _may_consent(ctx, ctx.world.directory.get(row[1], "servicePrincipal") or {})
    ctx.world.directory.unassign_app_role(assignment)
    return Reply(204)


def _register(kind: Kind, collection: str, side: str) -> None:
    path = f"{kind.plural}/*/{collection}"
    routes.add("GET", path)(lambda ctx, one: _list(ctx, kind, one, side))
    routes.add("POST", path)(lambda ctx, one: _assign(ctx, kind, one, side))
    routes.add("GET", f"{path}/*")(lambda ctx, one, key: _one(ctx, kind, one, side, key))
    routes.add("DELETE", f"{path}/*")(lambda ctx, one, key: _unassign(ctx, kind, one, side, key))


_register(PRINCIPAL, "appRoleAssignedTo", "resourceId")
for _kind in (PRINCIPAL, USER, GROUP):
    _register(_kind, "appRoleAssignments", "principalId")


# Delegated permissions

GRANT: dict[str, types.Type] = {
    "id": types.Str(read_only=True),
    "clientId": types.Guid(),
    "consentType": types.Str(options=("AllPrincipals", "Principal")),
    "principalId": types.Guid(),
    "resourceId": types.Guid(),
    "scope": types.Str(longest=3850),
    "startTime": types.Time(),
    "expiryTime": types.Time(),
}
MAY_GRANT = ("DelegatedPermissionGrant.ReadWrite.All", "Directory.ReadWrite.All")
MAY_SEE = ("DelegatedPermissionGrant.Read.All", "Directory.Read.All", *MAY_GRANT)


def _grant(ctx: Context, key: str) -> Doc:
    found = ctx.world.store.row("SELECT doc FROM permission_grant WHERE id = ?", key)
    if found is None:
        not_found(key)
    doc: Doc = json.loads(found[0])
    return doc


@routes.add("GET", "oauth2PermissionGrants")
def _list_grants(ctx: Context) -> Reply:
    ctx.need(*MAY_SEE)
    index = odata.parse_filter(ctx.call.query["$filter"]).names if "$filter" in ctx.call.query else frozenset()
    if not index <= GRANT.keys():
        bad_request("Invalid filter clause: unknown property.", code="BadRequest")
    rows = ctx.world.store.rows("SELECT doc FROM permission_grant ORDER BY id")
    return ctx.many([json.loads(row[0]) for row in rows], "oauth2PermissionGrants")


@routes.add("POST", "oauth2PermissionGrants")
def _create_grant(ctx: Context) -> Reply:
    ctx.need(*MAY_GRANT)
    body = types.checked(ctx.body(), GRANT, "OAuth2PermissionGrant")
    for name in ("clientId", "consentType", "resourceId"):
        if not body.get(name):
            bad_request(f"One or more property values specified are invalid. Property '{name}' is required.")
    if (body["consentType"] == "Principal") != bool(body.get("principalId")):
        bad_request("Property principalId is invalid: it goes with consentType Principal, and only with it.")
    directory, store = ctx.world.directory, ctx.world.store
    for name, kind in (("clientId", "servicePrincipal"), ("resourceId", "servicePrincipal"), ("principalId", "user")):
        if body.get(name) and directory.kind_of(body[name]) != kind:
            not_found(body[name])
    same = ("resourceId", "consentType", "principalId")
    for (text,) in store.rows("SELECT doc FROM permission_grant WHERE client = ?", body["clientId"]):
        if all(json.loads(text).get(name) == body.get(name) for name in same):
            refuse(409, "Request_MultipleObjectsWithSameKeyValue", "Permission entry already exists.")
    reserved = ctx.world.take_reserved("oauth2PermissionGrant", f"{body['clientId']}/{body['resourceId']}")
    doc = {name: body.get(name) for name in GRANT} | {
        "id": reserved or linked_id(body["clientId"]),
        "scope": body.get("scope") or "",
    }
    store.run(
        "INSERT INTO permission_grant VALUES (?, ?, ?, ?)",
        doc["id"],
        doc["clientId"],
        doc["resourceId"],
        json.dumps(doc),
    )
    return Reply(201, {"@odata.context": f"{ctx.base}/$metadata#oauth2PermissionGrants/$entity", **doc})


@routes.add("GET", "oauth2PermissionGrants/*")
def _read_grant(ctx: Context, key: str) -> Reply:
    ctx.need(*MAY_SEE)
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#oauth2PermissionGrants/$entity", **_grant(ctx, key)})


@routes.add("PATCH", "oauth2PermissionGrants/*")
def _update_grant(ctx: Context, key: str) -> Reply:
    ctx.need(*MAY_GRANT)
    doc, body = _grant(ctx, key), types.checked(ctx.body(), GRANT, "OAuth2PermissionGrant")
    fixed = [name for name in body if name not in ("scope", "startTime", "expiryTime") and body[name] != doc[name]]
    if fixed:
        bad_request(f"Property {fixed[0]} is read-only and cannot be set.")
    doc["scope"] = body.get("scope", doc["scope"]) or ""
    ctx.world.store.run("UPDATE permission_grant SET doc = ? WHERE id = ?", json.dumps(doc), key)
    return Reply(204)


@routes.add("DELETE", "oauth2PermissionGrants/*")
def _delete_grant(ctx: Context, key: str) -> Reply:
    ctx.need(*MAY_GRANT)
    _grant(ctx, key)
    ctx.world.store.run("DELETE FROM permission_grant WHERE id = ?", key)
    return Reply(204)


@routes.add("GET", "servicePrincipals/*/oauth2PermissionGrants")
def _grants_of(ctx: Context, object_id: str) -> Reply:
    ctx.need(*MAY_SEE)
    ctx.get(KINDS["servicePrincipal"], object_id)
    rows = ctx.world.store.rows("SELECT doc FROM permission_grant WHERE client = ? ORDER BY id", object_id.lower())
    return ctx.many([json.loads(row[0]) for row in rows], "oauth2PermissionGrants")
