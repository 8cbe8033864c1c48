"""Resource groups."""

from __future__ import annotations

import re
from typing import Any

from entrant.facts.scopes import parse_scope
from local_azure.access import Caller, demand
from local_azure.tree import body_of, location_of, tags_of, verb_of
from local_azure.wire import Call, Reply, refuse
from local_azure.world import World

Doc = dict[str, Any]

NAME = re.compile(r"[\w().-]{0,89}[\w()-]\Z")


def existing(world: World, segments: list[str]) -> Doc:
    found = world.resources.get("/" + "/".join(segments[:4]))
    if found is None:
        refuse(404, "ResourceGroupNotFound", f"Resource group '{segments[3]}' could not be found.")
    return found


def handle(world: World, call: Call, caller: Caller, segments: list[str]) -> Reply:
    name = segments[3]
    if not NAME.match(name):
        text = (
            f"The provided resource group name '{name[:100]}' is not valid: only letters, digits, '-', '_', '(', ')' and '.' "
            "are allowed, 90 characters at most, no final dot."
        )
        refuse(400, "InvalidResourceGroup", text)
    scope = parse_scope(f"/subscriptions/{segments[1]}/resourceGroups/{name}")
    stored = world.resources.get(scope.id)
    verb = verb_of(call, "HEAD", "PATCH")
    demand(world, caller, f"Microsoft.Resources/subscriptions/resourceGroups/{verb}", scope)
    if call.method == "HEAD":
        return Reply(204 if stored else 404)
    if call.method == "PUT":
        body = body_of(call)
        location = location_of(body) or (stored or {}).get("location")
        if location is None:
            refuse(400, "LocationRequired", "The location property is required for this definition.")
        if stored is not None and stored["location"] != location:
            text = (
                f"Invalid resource group location '{location}'. The Resource group already exists in location "
                f"'{stored['location']}'."
            )
            refuse(409, "InvalidResourceGroupLocation", text)
        doc: Doc = {
            "id": stored["id"] if stored else scope.id,
            "name": stored["name"] if stored else name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": location,
            "tags": tags_of(body),
            "managedBy": body.get("managedBy"),
            "properties": {"provisioningState": "Succeeded"},
        }
        doc = {key: value for key, value in doc.items() if value is not None}
        world.resources.put(doc["id"], scope.resource_type, doc)
        return Reply(200 if stored else 201, doc)
    if stored is None:
        refuse(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
    if call.method == "PATCH":
        stored["tags"] = tags_of(body_of(call)) or {}
        world.resources.put(stored["id"], scope.resource_type, stored)
        return Reply(200, stored)
    if call.method == "DELETE":
        world.resources.delete(scope.id)
        return Reply(200)
    return Reply(200, stored)
