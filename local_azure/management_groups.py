"""Management groups: the tree above subscriptions, which roles are inherited down.

The root group has the tenant's id as its name and is always there; a subscription or group that nobody has placed is right below.

Source: azure-rest-api-specs (Microsoft.Management 2020-05-01), "What are Azure management groups?" (six levels below the root).
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

from entrant.facts.scopes import Scope, ScopeError, parse_scope
from local_azure.access import Caller, demand, permitted
from local_azure.resources import MANAGEMENT_GROUPS, key_of
from local_azure.tree import body_of, no_method
from local_azure.wire import Call, Reply, is_guid, refuse, utc
from local_azure.world import World

Doc = dict[str, Any]

TYPE = "Microsoft.Management/managementGroups"
NAME = re.compile(r"[\w(][\w().-]{0,88}[\w()-]\Z|[\w]\Z", re.ASCII)
DEEPEST = 6


def handle(world: World, call: Call, caller: Caller, segments: list[str]) -> Reply:
    """Answer a request to ``/providers/Microsoft.Management/…``."""
    match [part if at in (3, 5) else part.lower() for at, part in enumerate(segments)]:
        case ["providers", "microsoft.management", "managementgroups"]:
            _only(call, "GET")
            shown = [
                _short(one) for one in _all(world) if permitted(world, caller, f"{TYPE}/read", parse_scope(one["id"]))
            ]
            return Reply(200, {"value": shown})
        case ["providers", "microsoft.management", "managementgroups", name]:
            return _group(world, call, caller, name)
        case ["providers", "microsoft.management", "managementgroups", name, "descendants"]:
            _only(call, "GET")
            group = _existing(world, caller, name, "read")
            return Reply(200, {"value": [_descendant(world, one) for one in _below(world, group["id"])]})
        case ["providers", "microsoft.management", "managementgroups", name, "subscriptions"]:
            _only(call, "GET")
            group = _existing(world, caller, name, "read")
            held = [one for one in world.resources.children(group["id"]) if "subscriptionId" in one]
            return Reply(200, {"value": [_member(group, one) for one in held]})
        case ["providers", "microsoft.management", "managementgroups", name, "subscriptions", subscription]:
            return _subscription(world, call, caller, name, subscription)
    text = f"The resource path '{call.path[:200]}' names no tenant level resource that is known here."
    refuse(404, "InvalidResourceType", text)


def root_id(world: World) -> str:
    """The id of the tenant's root group."""
    return f"{MANAGEMENT_GROUPS}{world.tenant_id}"


def find(world: World, group_id: str) -> Doc | None:
    """The management group with this id, or `None`; its parent is in `properties.details.parent`, but not the root's."""
    held = world.resources.get(group_id)
    if held is None and key_of(group_id) == key_of(root_id(world)):
        held = _doc(world, root_id(world), "Tenant Root Group", "")
    if held is None:
        return None
    parent = world.resources.parent_group(held["id"])
    if parent is not None:
        above = find(world, parent) or {}
        about = {
            "id": above.get("id", parent),
            "name": above.get("name"),
            "displayName": (above.get("properties") or {}).get("displayName"),
        }
        held["properties"]["details"]["parent"] = about
    return held


def make(world: World, group_id: str, display_name: str, *, by: str = "") -> Doc:
    """Create or rename a management group; its place in the tree stays."""
    doc = _doc(world, group_id, display_name, by)
    world.resources.put(group_id, TYPE, doc)
    return doc


def _doc(world: World, group_id: str, display_name: str, by: str) -> Doc:
    details = {"version": 1, "updatedTime": utc(world.store.now(), digits=7), "updatedBy": by}
    return {
        "id": group_id,
        "type": TYPE,
        "name": group_id.rsplit("/", 1)[1],
        "properties": {"tenantId": world.tenant_id, "displayName": display_name, "details": details},
    }


def _only(call: Call, *methods: str) -> None:
    if call.method not in methods:
        no_method(call)


def _all(world: World) -> list[Doc]:
    """Every management group, the root first."""
    root = find(world, root_id(world))
    assert root is not None, "there is always a root"
    return [root, *(one for one in world.resources.management_groups() if key_of(one["id"]) != key_of(root["id"]))]


def _scope(name: str) -> Scope:
    try:
        return parse_scope(f"{MANAGEMENT_GROUPS}{name}")
    except ScopeError:
        refuse(400, "InvalidGroupId", f"The management group id '{name[:100]}' is not valid.")


def _existing(world: World, caller: Caller, name: str, verb: str) -> Doc:
    scope = _scope(name)
    demand(world, caller, f"{TYPE}/{verb}", scope)
    return find(world, scope.id) or _absent(scope.id)


def _absent(group_id: str) -> NoReturn:
    refuse(404, "NotFound", f"'{group_id}' not found")


def _short(doc: Doc) -> Doc:
    about = doc["properties"]
    return {**doc, "properties": {"tenantId": about["tenantId"], "displayName": about["displayName"]}}


def _group(world: World, call: Call, caller: Caller, name: str) -> Reply:
    _only(call, "GET", "PUT", "PATCH", "DELETE")
    if call.method == "PUT":
        return _put(world, call, caller, _scope(name))
    group = _existing(world, caller, name, {"GET": "read", "PATCH": "write"}.get(call.method, "delete"))
    if call.method == "PATCH":
        body = body_of(call)
        parent = body.get("parentGroupId")
        _place(world, caller, group["id"], parent if isinstance(parent, str) and parent else None)
        display = body.get("displayName")
        make(world, group["id"], display if isinstance(display, str) else group["properties"]["displayName"])
    if call.method == "DELETE":
        if world.resources.children(group["id"]):
            # [?] The text is not documented; that a group with anything in it stays is.
            refuse(400, "BadRequest", f"The management group '{group['name']}' has children and cannot be deleted.")
        if key_of(group["id"]) == key_of(root_id(world)):
            refuse(400, "BadRequest", "The root management group cannot be deleted.")
        world.resources.delete(group["id"])
        return Reply(204)
    shown = find(world, group["id"]) or group
    expand = call.query.get("$expand", "").lower()
    if expand == "children":
        deep = call.query.get("$recurse", "").lower() == "true"
        shown["properties"]["children"] = _children(world, shown["id"], deep)
    elif expand in ("path", "ancestors"):
        shown["properties"]["path"] = _path(world, shown["id"])
    return Reply(200, shown)


def _put(world: World, call: Call, caller: Caller, scope: Scope) -> Reply:
    demand(world, caller, f"{TYPE}/write", scope)
    if not NAME.match(scope.name):
        refuse(400, "InvalidGroupId", f"The management group id '{scope.name[:100]}' is not valid.")
    body = body_of(call)
    properties = body.get("properties") or {}
    details = properties.get("details")
    parent = (details.get("parent") if isinstance(details, dict) else None) or {}
    wanted = parent.get("id") if isinstance(parent, dict) else None
    held, display = find(world, scope.id), properties.get("displayName")
    if not isinstance(display, str) or not display:
        display = held["properties"]["displayName"] if held else scope.name
    doc = make(world, held["id"] if held else scope.id, display, by=caller.object_id)
    _place(world, caller, doc["id"], wanted if isinstance(wanted, str) and wanted else None, moved=held is not None)
    return Reply(200, find(world, doc["id"]))


def _may_move(world: World, caller: Caller, child: str, parent: str, *, moved: bool = True) -> None:
    """403 unless the caller may put a group or subscription that is there, or a new group, below another parent.

    Microsoft, "Manage your Azure subscriptions at scale with management groups", "Move management groups and subscriptions": write
    on what moves and the right to assign roles there, write on the target parent and on the present one; neither where that is the
    root.
    """
    present = world.resources.parent_group(child) if moved else None
    if present is not None and key_of(present) == key_of(parent):
        return
    if moved:
        for action in ("Microsoft.Authorization/roleAssignments/write", f"{TYPE}/write"):
            demand(world, caller, action, parse_scope(child))
    for group in {key_of(parent): parent, key_of(present or parent): present or parent}.values():
        if key_of(group) != key_of(root_id(world)):
            demand(world, caller, f"{TYPE}/write", parse_scope(group))


def _place(world: World, caller: Caller, child: str, parent_id: str | None, *, moved: bool = True) -> None:
    """Put a group below a group; where nothing is said it stays, or comes below the root."""
    if parent_id is None:
        return
    try:
        scope = parse_scope(parent_id)
    except ScopeError:
        scope = None
    if scope is None or scope.kind != "management_group":
        refuse(400, "InvalidParentId", f"'{parent_id[:200]}' is not the id of a management group.")
    group = find(world, scope.id) or _absent(scope.id)
    above = world.resources.above(group["id"])
    if key_of(child) in (key_of(group["id"]), *above) or key_of(child) == key_of(root_id(world)):
        refuse(400, "BadRequest", "A management group cannot be below itself.")
    if len(above) > DEEPEST - 1:
        refuse(400, "BadRequest", f"The hierarchy of management groups has at most {DEEPEST} levels below the root.")
    _may_move(world, caller, child, group["id"], moved=moved)
    world.resources.set_parent_group(child, group["id"])


def _subscription(world: World, call: Call, caller: Caller, name: str, subscription: str) -> Reply:
    _only(call, "GET", "PUT", "DELETE")
    verb = {"GET": "read", "PUT": "write"}.get(call.method, "delete")
    group = find(world, root_id(world)) if name.lower() == world.tenant_id else None
    if verb == "read" or group is None:
        group = _existing(world, caller, name, "read" if verb == "read" else "write")
        demand(world, caller, f"{TYPE}/subscriptions/{verb}", parse_scope(group["id"]))
    held = world.resources.get(f"/subscriptions/{subscription}") if is_guid(subscription) else None
    if held is None:
        refuse(404, "SubscriptionNotFound", f"The subscription '{subscription[:60]}' could not be found.")
    if call.method == "PUT":
        _may_move(world, caller, held["id"], group["id"])
        world.resources.set_parent_group(held["id"], group["id"])
        return Reply(200, _member(group, held))
    below = key_of(world.resources.parent_group(held["id"]) or "") == key_of(group["id"])
    if call.method == "DELETE":
        if below:
            _may_move(world, caller, held["id"], root_id(world))
            world.resources.set_parent_group(held["id"], root_id(world))
        return Reply(200 if below else 204)
    if not below:
        refuse(404, "NotFound", f"The subscription '{subscription}' is not below '{group['id']}'.")
    return Reply(200, _member(group, held))


def _member(group: Doc, subscription: Doc) -> Doc:
    return {
        "id": f"{group['id']}/subscriptions/{subscription['subscriptionId']}",
        "name": subscription["subscriptionId"],
        "type": f"{TYPE}/subscriptions",
        "properties": {
            "tenant": group["properties"]["tenantId"],
            "displayName": subscription["displayName"],
            "parent": {"id": group["id"]},
            "state": "Active",
        },
    }


def _about(doc: Doc) -> Doc:
    if "subscriptionId" in doc:
        return {
            "id": doc["id"],
            "type": "/subscriptions",
            "name": doc["subscriptionId"],
            "displayName": doc["displayName"],
        }
    return {"id": doc["id"], "type": TYPE, "name": doc["name"], "displayName": doc["properties"]["displayName"]}


def _children(world: World, group_id: str, deep: bool) -> list[Doc]:
    found = []
    for one in world.resources.children(group_id):
        about = _about(one)
        inner = _children(world, one["id"], deep) if deep and about["type"] == TYPE else None
        found.append(about | ({"children": inner} if inner else {}))
    return found


def _below(world: World, group_id: str) -> list[Doc]:
    children = world.resources.children(group_id)
    return [
        *children,
        *(one for child in children if "subscriptionId" not in child for one in _below(world, child["id"])),
    ]


def _descendant(world: World, doc: Doc) -> Doc:
    about = _about(doc)
    kind = f"{TYPE}/subscriptions" if about["type"] == "/subscriptions" else TYPE
    parent = {"id": world.resources.parent_group(doc["id"])}
    properties = {"displayName": about["displayName"], "parent": parent}
    return {"id": about["id"], "type": kind, "name": about["name"], "properties": properties}


def _path(world: World, group_id: str) -> list[Doc]:
    """The groups above a group, the root first."""
    docs = [find(world, one) for one in reversed(world.resources.above(group_id))]
    return [{"name": doc["name"], "displayName": doc["properties"]["displayName"]} for doc in docs if doc is not None]
