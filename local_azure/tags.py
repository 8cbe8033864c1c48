"""Tags at a scope: ``{scope}/providers/Microsoft.Resources/tags/default`` (azure-rest-api-specs, resources 2021-04-01)."""

from __future__ import annotations

from typing import Any

from entrant.facts.scopes import Scope
from local_azure.access import Caller, demand
from local_azure.tree import body_of, require, tags_of, verb_of
from local_azure.wire import Call, Reply, refuse
from local_azure.world import World

Doc = dict[str, Any]


def handle(world: World, call: Call, caller: Caller, scope: Scope, name: str) -> Reply:
    """Answer a request for the tags of a subscription, resource group or resource; only `default` is a set of tags."""
    verb = verb_of(call, "PATCH")
    demand(world, caller, f"Microsoft.Resources/tags/{verb}", scope)
    require(world, scope)
    held = world.resources.get(scope.id)
    if held is None or name.lower() != "default":
        refuse(404, "ResourceNotFound", f"There are no tags '{name[:60]}' at '{scope.id}'.")
    before = dict(held.get("tags") or {})
    if call.method == "PUT":
        held["tags"] = _tags_in(call)
    elif call.method == "PATCH":
        held["tags"] = _patched(before, call)
    elif call.method == "DELETE":
        held["tags"] = {}
    if call.method != "GET":
        world.resources.put(held["id"], held.get("type", scope.resource_type), held)
    if call.method == "DELETE":
        return Reply(200)
    shown = {
        "id": f"{held['id']}/providers/Microsoft.Resources/tags/default",
        "name": "default",
        "type": "Microsoft.Resources/tags",
        "properties": {"tags": held.get("tags") or {}},
    }
    return Reply(200, shown)


def _tags_in(call: Call) -> dict[str, str]:
    return tags_of(body_of(call).get("properties") or {}) or {}


def _patched(before: dict[str, str], call: Call) -> dict[str, str]:
    operation, tags = body_of(call).get("operation"), _tags_in(call)
    if operation == "Replace":
        return tags
    if operation == "Merge":
        return tags_of({"tags": before | tags}) or {}
    if operation == "Delete":
        return {name: value for name, value in before.items() if tags.get(name) != value}
    refuse(400, "InvalidRequestContent", "The 'operation' must be Merge, Replace or Delete.")


def names(world: World, subscription_id: str) -> list[Doc]:
    """Every name of a tag in a subscription, with its values and how often each is used."""
    counted: dict[str, dict[str, int]] = {}
    for _, doc in world.resources.below(subscription_id):
        for name, value in (doc.get("tags") or {}).items():
            values = counted.setdefault(name, {})
            values[value] = values.get(value, 0) + 1

    def count(number: int) -> Doc:
        return {"type": "Total", "value": number}

    return [
        {
            "id": f"{subscription_id}/tagNames/{name}",
            "tagName": name,
            "count": count(sum(values.values())),
            "values": [
                {
                    "id": f"{subscription_id}/tagNames/{name}/tagValues/{value}",
                    "tagValue": value,
                    "count": count(used),
                }
                for value, used in values.items()
            ],
        }
        for name, values in sorted(counted.items())
    ]
