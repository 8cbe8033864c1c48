"""Groups and users."""

from __future__ import annotations

import uuid
from typing import Any

from local_azure.graph.context import Context, Kind, routes
from local_azure.graph.errors import bad_request
from local_azure.graph.links import add_reference, bound
from local_azure.graph.reading import shown
from local_azure.graph.rights import (
    GROUP,
    USER,
    WRITE,
    may_delete,
    may_manage_role_group,
    may_write,
    spare_administrators,
)
from local_azure.wire import Reply, new_guid, utc

Doc = dict[str, Any]

SENSITIVE = frozenset(
    {"accountEnabled", "businessPhones", "mobilePhone", "otherMails", "passwordProfile", "userPrincipalName"}
)
"""What only some may change of an administrator (Microsoft Graph, "Working with users", "Who can perform sensitive actions")."""


@routes.add("POST", "groups")
def create_group(ctx: Context) -> Reply:
    """Create a group."""
    body = ctx.body()
    changes = GROUP.checked(body, ctx.version)
    if changes.get("isAssignableToRole"):
        may_manage_role_group(ctx, None, "Group.Create", *WRITE["group"])
    else:
        ctx.need("Group.Create", *WRITE["group"])
    for name in ("displayName", "mailNickname"):
        if not changes.get(name):
            bad_request(f"A value is required for property '{name}' of resource 'Group'.")
    for name in ("mailEnabled", "securityEnabled"):
        if not isinstance(changes.get(name), bool):
            bad_request(f"A value is required for property '{name}' of resource 'Group'.")
    if changes["mailEnabled"] and "Unified" not in (changes.get("groupTypes") or []):
        bad_request(
            "The service does not currently support writes of mail-enabled groups. Please ensure that the mail-enablement "
            "property is unset and the security-enablement property is set."
        )
    owners, members = bound(ctx, body, "owners"), bound(ctx, body, "members")
    if changes.get("isAssignableToRole") and any(ctx.world.directory.kind_of(one) == "group" for one in members):
        bad_request("A group cannot be a member of a role-assignable group.")
    object_id = new_guid()
    doc = GROUP.new(
        changes,
        id=object_id,
        createdDateTime=utc(ctx.world.store.now()),
        renewedDateTime=utc(ctx.world.store.now()),
        securityIdentifier=security_identifier(object_id),
    )
    if doc["mailEnabled"]:
        doc["mail"] = f"{doc['mailNickname']}@{ctx.world.domain}"
    ctx.make_room()
    ctx.world.directory.create("group", doc)
    for relation, targets in (("owners", owners), ("members", members)):
        for target in targets:
            ctx.world.directory.link(object_id, relation, target)
    return ctx.one(shown(ctx, doc, GROUP), GROUP, status=201)


def security_identifier(object_id: str) -> str:
    """The SID of a directory object: `S-1-12-1-` and its GUID as four little-endian numbers."""
    raw = uuid.UUID(object_id).bytes_le
    return "S-1-12-1-" + "-".join(str(int.from_bytes(raw[at : at + 4], "little")) for at in range(0, 16, 4))


@routes.add("POST", "users")
def create_user(ctx: Context) -> Reply:
    """Create a user (users never sign in here; they are members and owners)."""
    may_write(ctx, USER, None)
    changes = USER.checked(ctx.body(), ctx.version)
    for name in ("displayName", "mailNickname", "userPrincipalName", "passwordProfile"):
        if not changes.get(name):
            bad_request(f"A value is required for property '{name}' of resource 'User'.")
    if not isinstance(changes.get("accountEnabled"), bool):
        bad_request("A value is required for property 'accountEnabled' of resource 'User'.")
    _, _, domain = changes["userPrincipalName"].partition("@")
    if domain.lower() != ctx.world.domain:
        bad_request(
            "The domain portion of the userPrincipalName property is invalid. You must use one of the verified domain names "
            "in your organization."
        )
    if ctx.world.directory.find("user", "userPrincipalName", changes["userPrincipalName"]):
        bad_request("Another object with the same value for property userPrincipalName already exists.")
    changes.pop("passwordProfile")
    doc = USER.new(changes, id=new_guid(), createdDateTime=utc(ctx.world.store.now()))
    ctx.make_room()
    ctx.world.directory.create("user", doc)
    return ctx.one(shown(ctx, doc, USER), USER, status=201)


def _update(ctx: Context, kind: Kind, object_id: str) -> Reply:
    doc = ctx.get(kind, object_id)
    may_write(ctx, kind, object_id)
    body = ctx.body()
    changes = kind.checked(body, ctx.version)
    if kind is USER and SENSITIVE & changes.keys():
        spare_administrators(ctx, object_id)
    for member in bound(ctx, body, "members") if kind is GROUP else ():
        add_reference(ctx, GROUP, object_id, "members", member)
    if "displayName" in changes and not changes["displayName"]:
        bad_request("Invalid value specified for property 'displayName'.")
    changes.pop("passwordProfile", None)
    if kind is GROUP and changes.get("isAssignableToRole", doc["isAssignableToRole"]) != doc["isAssignableToRole"]:
        bad_request("Property 'isAssignableToRole' is immutable.")
    ctx.world.directory.update(kind.merged(doc, changes))
    return Reply(204)


def _delete(ctx: Context, kind: Kind, object_id: str) -> Reply:
    """Users and Microsoft 365 groups can be restored for 30 days; security groups are deleted for good."""
    doc = ctx.get(kind, object_id)
    may_delete(ctx, kind, object_id)
    if kind is USER or "Unified" in doc["groupTypes"]:
        ctx.world.directory.delete(object_id)
    else:
        ctx.world.directory.purge(object_id)
    return Reply(204)


def _register(kind: Kind) -> None:
    routes.add("PATCH", f"{kind.plural}/*")(lambda ctx, one: _update(ctx, kind, one))
    routes.add("DELETE", f"{kind.plural}/*")(lambda ctx, one: _delete(ctx, kind, one))


for _kind in (GROUP, USER):
    _register(_kind)
