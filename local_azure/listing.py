"""Lists of Resource Manager: what a caller sees of them, a page at a time, narrowed by `$filter`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlencode

from entrant.facts.scopes import parse_scope
from local_azure.access import Caller, permitted
from local_azure.resources import key_of
from local_azure.tree import filter_parts
from local_azure.wire import Call, Reply, refuse
from local_azure.world import World

Doc = dict[str, Any]

PAGE = 1000
FILTERS = frozenset({"resourcetype", "resourcegroup", "name", "location", "tagname", "tagvalue"})


def sees(world: World, caller: Caller, scope_id: str) -> bool:
    """Whether a caller may list something: it may read it, or has a role somewhere in it."""
    scope = parse_scope(scope_id)
    if permitted(world, caller, f"{scope.resource_type}/read", scope):
        return True
    horizon = world.store.now() - world.propagation("roles")
    below = key_of(scope_id) + "/"
    held = world.resources.assignments_of(caller.principals)
    return any(one.created <= horizon and key_of(one.scope).startswith(below) for one in held)


def page(world: World, call: Call, caller: Caller, scope_id: str, kind: str | None) -> Reply:
    query = call.query
    after = int(token) if re.fullmatch(r"\d{1,15}", token := query.get("$skiptoken", "0"), re.ASCII) else 0
    wanted = _filter(query.get("$filter", ""))
    rows = world.resources.below(scope_id, kind=kind or wanted.get("resourcetype"), after=after, limit=PAGE + 1)
    docs = [
        doc
        for _, doc in rows[:PAGE]
        if (kind is not None or doc["type"] != "Microsoft.Resources/resourceGroups")
        and _fits(doc, wanted)
        and sees(world, caller, doc["id"])
    ]
    body: Doc = {"value": docs}
    if len(rows) > PAGE:
        kept = {name: value for name, value in query.items() if name in ("api-version", "$filter", "$expand")}
        more = urlencode(kept | {"$skiptoken": rows[PAGE - 1][0]}, safe="$")
        body["nextLink"] = f"{world.url}{quote(call.path)}?{more}"
    return Reply(200, body)


def _filter(text: str) -> dict[str, str]:
    """What a list is narrowed by: lower-case name → value."""
    wanted: dict[str, str] = {}
    for part in filter_parts(text):
        found = re.fullmatch(r"(\w+)\s+eq\s+'((?:[^']|'')*)'", part, re.IGNORECASE)
        if found is None or found[1].lower() not in FILTERS:
            listed = "resourceType, resourceGroup, name, location, tagName and tagValue, each with eq and joined by and"
            refuse(400, "UnsupportedFilter", f"The filter '{part[:100]}' is not supported; what is: {listed}.")
        wanted[found[1].lower()] = found[2].replace("''", "'")
    return wanted


def _fits(doc: Doc, wanted: dict[str, str]) -> bool:
    held = {name.lower(): value for name, value in (doc.get("tags") or {}).items()}
    for name, value in wanted.items():
        if name == "tagname":
            fits = value.lower() in held
        elif name == "tagvalue":
            fits = held.get(wanted.get("tagname", "").lower()) == value
        elif name == "resourcegroup":
            fits = f"/resourcegroups/{value.lower()}/" in key_of(doc["id"])
        else:
            fits = str(doc.get("type" if name == "resourcetype" else name)).lower() == value.lower()
        if not fits:
            return False
    return True
