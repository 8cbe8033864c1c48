"""Resources of any type and api-version.

What a resource provider would compute is modelled for the types in `COMPUTED`; every other type keeps what it is given and reports
success.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from entrant.facts.scopes import Scope
from local_azure import collection, components, groups, identities, vault_resources, workspaces
from local_azure.access import Caller, demand
from local_azure.tree import body_of, location_of, no_method, no_resource, require, scope_of, tags_of, value_of, verb_of
from local_azure.wire import Call, Reply, refuse
from local_azure.world import World

Doc = dict[str, Any]

NEEDS_LOCATION = frozenset(
    {
        "microsoft.compute/virtualmachines",
        "microsoft.insights/components",
        "microsoft.insights/datacollectionendpoints",
        "microsoft.insights/datacollectionrules",
        "microsoft.keyvault/vaults",
        "microsoft.managedidentity/userassignedidentities",
        "microsoft.operationalinsights/workspaces",
        "microsoft.storage/storageaccounts",
    }
)
COMPUTED: dict[str, Callable[[World, Doc, Doc | None], Doc]] = {
    "microsoft.insights/components": components.computed,
    "microsoft.insights/datacollectionendpoints": collection.computed_endpoint,
    "microsoft.insights/datacollectionrules": collection.computed_rule,
    "microsoft.keyvault/vaults": vault_resources.computed_vault,
    "microsoft.keyvault/vaults/secrets": vault_resources.computed_secret,
    "microsoft.managedidentity/userassignedidentities": identities.computed,
    "microsoft.operationalinsights/workspaces": workspaces.computed,
}
ACTIONS: dict[tuple[str, str], Callable[[World, Doc], Reply]] = {
    ("microsoft.operationalinsights/workspaces", "sharedkeys"): workspaces.shared_keys,
}


def handle(world: World, call: Call, caller: Caller, segments: list[str]) -> Reply:
    """Answer a request for what lies below a subscription: a resource, a collection of them, or an action on one."""
    low = [segment.lower() for segment in segments]
    if "providers" not in low:
        text = f"The resource path '{call.path[:200]}' is not valid: after the subscription comes 'resourceGroups' or 'providers'."
        refuse(404, "InvalidResourceType", text)
    outer = scope_of(segments[:8]) if low[8:9] == ["tables"] and len(low) < 11 else None
    if outer is not None and outer.resource_type.lower() == workspaces.TYPE.lower():
        return workspaces.tables(world, call, caller, outer, segments[9] if len(segments) > 9 else None)
    scope = scope_of(segments)
    if scope is None:
        return _collection_or_action(world, call, caller, segments)
    kind = scope.resource_type
    verb = verb_of(call, "HEAD", "PATCH")
    demand(world, caller, f"{kind}/{verb}", scope)
    if scope.resource_group is not None:
        groups.existing(world, segments)
    stored = world.resources.get(scope.id)
    if call.method == "HEAD":
        return Reply(204 if stored else 404)
    if call.method in ("PUT", "PATCH") and stored is not None and vault_resources.changes_model(stored, body_of(call)):
        demand(world, caller, "Microsoft.Authorization/roleAssignments/write", scope)
    if call.method == "PUT":
        return put(world, scope, body_of(call), stored)
    if call.method == "DELETE":
        if stored is None:
            return Reply(204)
        world.resources.delete(scope.id)
        return Reply(200)
    if stored is None:
        name = "/".join(
            (str(scope.provider), *(part for pair in zip(scope.types, scope.names, strict=True) for part in pair))
        )
        no_resource(name, scope.resource_group)
    if call.method == "PATCH":
        body = body_of(call)
        return put(world, scope, _merged(stored, body), stored)
    return Reply(200, stored)


def put(world: World, scope: Scope, body: Doc, stored: Doc | None) -> Reply:
    """Create or replace a resource, with what its provider computes."""
    kind = scope.resource_type
    if len(scope.names) > 1 and scope.resource_group is not None:
        require(world, scope)
    location = location_of(body) or (stored or {}).get("location")
    if location is None and kind.lower() in NEEDS_LOCATION:
        refuse(400, "LocationRequired", "The location property is required for this definition.")
    properties = body.get("properties") or {}
    now = world.store.now()
    group = world.resources.get(f"/subscriptions/{scope.subscription}/resourceGroups/{scope.resource_group}")
    resource_id = stored["id"] if stored else scope.id
    if group is not None and not stored:
        resource_id = group["id"] + scope.id[len(group["id"]) :]
    doc: Doc = {
        **{key: value for key, value in body.items() if key not in ("properties", "location", "tags")},
        "id": resource_id,
        "name": stored["name"] if stored else scope.name,
        "type": kind,
        "tags": tags_of(body),
        "location": location,
        "properties": {**properties, "provisioningState": "Succeeded"},
        "etag": f'"{hashlib.sha256(repr((now, resource_id)).encode()).hexdigest()[:16]}"',
    }
    doc = {key: value for key, value in doc.items() if value is not None}
    compute = COMPUTED.get(kind.lower())
    if compute is not None:
        doc = compute(world, doc, stored)
    world.resources.put(resource_id, kind, doc)
    return Reply(200 if stored else 201, doc)


def _collection_or_action(world: World, call: Call, caller: Caller, segments: list[str]) -> Reply:
    """A path that ends in a type (list) or, with POST, in an action on a resource."""
    outer = scope_of(segments[:-1])
    if call.method == "POST" and outer is not None and outer.kind == "resource":
        demand(world, caller, f"{outer.resource_type}/{segments[-1]}/action", outer)
        stored = world.resources.get(outer.id)
        if stored is None:
            no_resource(f"{outer.resource_type}/{outer.name}", outer.resource_group)
        action = ACTIONS.get((outer.resource_type.lower(), segments[-1].lower()))
        if action is None:
            text = (
                f"The action '{segments[-1][:60]}' on '{outer.resource_type}' is not one that this local Azure knows."
            )
            refuse(400, "InvalidResourceAction", text)
        return action(world, stored or {})
    probe = scope_of([*segments, "x"])
    if probe is None:
        refuse(404, "InvalidResourceType", f"The resource path '{call.path[:200]}' is not valid.")
    if call.method not in ("GET", "HEAD"):
        no_method(call)
    above = next(scope for scope in list(probe.parents())[1:])
    demand(world, caller, f"{probe.resource_type}/read", above)
    require(world, above)
    rows = world.resources.below(above.id, kind=probe.resource_type)
    return value_of([doc for _, doc in rows])


def _merged(stored: Doc, body: Doc) -> Doc:
    """`stored` with a merge patch (RFC 7386) applied."""
    result = dict(stored)
    for key, value in body.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _merged(result[key], value)
        else:
            result[key] = value
    return result
