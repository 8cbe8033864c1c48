"""What Resource Manager's modules share: request bodies, and which scopes must exist."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NoReturn

from entrant.facts.scopes import Scope, ScopeError, parse_scope
from local_azure.resources import MANAGEMENT_GROUPS, key_of
from local_azure.wire import Call, Reply, refuse
from local_azure.world import World

Doc = dict[str, Any]


def require(world: World, scope: Scope) -> None:
    """404 unless the management group, or the subscription, the group and the outermost resource of a scope exist."""
    if scope.kind == "management_group":
        root = key_of(scope.id) == key_of(f"{MANAGEMENT_GROUPS}{world.tenant_id}")
        if not root and world.resources.get(scope.id) is None:
            refuse(404, "ManagementGroupNotFound", f"The management group '{scope.name}' cannot be found.")
    if scope.subscription is None:
        return
    if world.resources.get(f"/subscriptions/{scope.subscription}") is None:
        refuse(404, "SubscriptionNotFound", f"The subscription '{scope.subscription}' could not be found.")
    if scope.resource_group is None:
        return
    group = f"/subscriptions/{scope.subscription}/resourceGroups/{scope.resource_group}"
    if world.resources.get(group) is None:
        refuse(404, "ResourceGroupNotFound", f"Resource group '{scope.resource_group}' could not be found.")
    if scope.kind == "resource":
        name = f"{scope.provider}/{scope.types[0]}/{scope.names[0]}"
        if world.resources.get(f"{group}/providers/{name}") is None:
            no_resource(name, scope.resource_group)


def no_resource(name: str, group: str | None) -> NoReturn:
    """404 for a resource that does not exist; `name` is its provider, types and names."""
    text = (
        f"The Resource '{name}' under resource group '{group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )
    refuse(404, "ResourceNotFound", text)


def no_method(call: Call) -> NoReturn:
    """405."""
    refuse(405, "MethodNotAllowed", f"The HTTP method '{call.method}' is not supported for this request.")


def body_of(call: Call) -> Doc:
    """The request body, a JSON object (an absent one is empty); 400 when it is none."""
    try:
        value = call.json() if call.body else {}
    except ValueError:
        refuse(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized.")
    if not isinstance(value, dict) or not isinstance(value.get("properties") or {}, dict):
        refuse(400, "InvalidRequestContent", "The request content was invalid: an object is expected.")
    return value


def tags_of(body: Doc) -> dict[str, str] | None:
    """The tags in a body, or `None` when it has none; 400 when they are not what tags may be."""
    tags = body.get("tags")
    if tags is None:
        return None
    if not isinstance(tags, dict) or len(tags) > 50 or not all(isinstance(value, str) for value in tags.values()):
        refuse(400, "InvalidTags", "Tags must be at most 50 pairs of strings.")
    return tags


def location_of(body: Doc) -> str | None:
    """The region in a body, as Resource Manager spells it, or `None`; 400 when it is no region's name."""
    location = body.get("location")
    if location is None:
        return None
    if not isinstance(location, str) or not re.fullmatch(r"[A-Za-z0-9 ]{1,60}", location):
        refuse(400, "InvalidRequestContent", "The request content was invalid: 'location' is not a region's name.")
    return location.replace(" ", "").lower()


def scope_of(segments: list[str]) -> Scope | None:
    """The scope that the parts of a path name, or `None` when they name none (a collection or an action)."""
    try:
        return parse_scope("/" + "/".join(segments))
    except ScopeError:
        return None


def get_only(call: Call, answer: Callable[[], Reply]) -> Reply:
    """The answer to a request that may only read; 405 to any other."""
    if call.method not in ("GET", "HEAD"):
        no_method(call)
    return answer()


def value_of(docs: list[Doc]) -> Reply:
    """The answer that is a list."""
    return Reply(200, {"value": docs})


def verb_of(call: Call, *more: str) -> str:
    """What a request does, as actions name it: read, write or delete; 405 unless it is a GET, PUT, DELETE or one of `more`."""
    if call.method not in ("GET", "PUT", "DELETE", *more):
        no_method(call)
    return {"GET": "read", "HEAD": "read", "DELETE": "delete"}.get(call.method, "write")


def filter_parts(text: str) -> list[str]:
    """The parts of a `$filter` that are joined by `and`."""
    return re.split(r"(?<!\s)\s+and\s+", text.strip(), flags=re.IGNORECASE) if text.strip() else []
