"""Reading objects: one, a page of a collection by query options, and how each is shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local_azure import first_party
from local_azure.graph import odata
from local_azure.graph.context import KINDS, PLURALS, Context, Kind, routes
from local_azure.graph.errors import bad_request
from local_azure.graph.rights import PRINCIPAL, USER, may_read
from local_azure.wire import Reply

Doc = dict[str, Any]


def shown(ctx: Context, doc: Doc, kind: Kind) -> Doc:
    """An object as this version of the API shows it: first-party permissions added, keys without their bytes."""
    known = kind.of(ctx.version)
    result = {name: value for name, value in doc.items() if name in known}
    if kind is PRINCIPAL and doc.get("appId") in first_party.by_app_id():
        result["appRoles"] = first_party.app_roles(doc["appId"])
        result["oauth2PermissionScopes"] = first_party.permission_scopes(doc["appId"])
    if kind is USER:
        result.pop("passwordProfile", None)
    keys = result.get("keyCredentials")
    if keys and "keyCredentials" not in ctx.call.query.get("$select", ""):
        result["keyCredentials"] = [{**key, "key": None} for key in keys]
    return result


def typed(ctx: Context, object_id: str) -> Doc | None:
    """An object of any kind with its `@odata.type`, or `None`."""
    kind_name = ctx.world.directory.kind_of(object_id)
    if kind_name is None or kind_name not in KINDS:
        return None
    kind = KINDS[kind_name]
    return {"@odata.type": kind.odata_type, **shown(ctx, ctx.get(kind, object_id), kind)}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request's $filter and $search leave of a collection: a test, and an index that narrows what has to be read."""

    test: odata.Test
    index: odata.Index | None
    everything: bool


def wanted_of(ctx: Context, kind: Kind) -> Wanted:
    """Read $filter and $search, and hold them to what the request must say beside them."""
    query = ctx.call.query
    filtered = odata.parse_filter(query["$filter"]) if query.get("$filter") else None
    search = odata.parse_search(query["$search"]) if query.get("$search") else None
    eventual = ctx.call.headers.get("consistencylevel", "").lower() == "eventual"
    counted = query.get("$count", "").lower() == "true" or ctx.call.path.endswith("/$count")
    for name in sorted(filtered.names) if filtered is not None else ():
        if name not in kind.of("beta"):
            text = f"Invalid filter clause: Could not find a property named '{name}' on type 'microsoft.graph.{kind.name}'."
            bad_request(text, code="BadRequest")
    if search is not None and not eventual:
        bad_request(
            "Request with $search query parameter only works through MSGraph with a special request header: "
            "'ConsistencyLevel: eventual'",
            code="Request_UnsupportedQuery",
        )
    if filtered is not None and filtered.advanced and not (eventual and counted):
        bad_request(
            "Operator is not supported because the required parameters might be missing. Try adding $count=true query "
            "parameter and ConsistencyLevel:eventual header. Refer to https://aka.ms/graph-docs/advanced-queries for more "
            "information",
            code="Request_UnsupportedQuery",
        )
    tests = [test for test in (filtered.test if filtered is not None else None, search) if test is not None]
    index = filtered.index if filtered is not None else None
    return Wanted(lambda doc: all(test(doc) for test in tests), index, not tests)


def list_objects(ctx: Context, kind: Kind) -> Reply:
    """A page of a collection, by the query options of the request."""
    may_read(ctx, kind)
    query, directory = ctx.call.query, ctx.world.directory
    size = odata.top_of(query.get("$top"))
    word, start = odata.skip_token(query.get("$skiptoken"))
    wanted, expansion = wanted_of(ctx, kind), _expansion(ctx, kind)
    order = query.get("$orderby")
    key = _order(order, kind) if order else None
    after = start if word == "after" and key is None else 0
    found = directory.scan(kind.name, after=after, index=wanted.index)
    matches = ((seq, doc) for seq, doc in found if wanted.test(doc))
    body: Doc = {"@odata.context": f"{ctx.base}/$metadata#{kind.plural}"}
    more: str | None = None
    page: list[Doc] = []
    if key is not None:
        ordered = sorted((doc for _, doc in matches), key=key[0], reverse=key[1])
        page = ordered[start : start + size]
        if len(ordered) > start + size:
            more = odata.make_skip_token("skip", start + size)
    else:
        last = after
        for seq, doc in matches:
            if len(page) == size:
                more = odata.make_skip_token("after", last)
                break
            page.append(doc)
            last = seq
    if query.get("$count", "").lower() == "true":
        body["@odata.count"] = _how_many(ctx, kind, wanted)
    if more is not None:
        body["@odata.nextLink"] = ctx.next_link(more)
    body["value"] = [
        _expanded(ctx, ctx.select(shown(ctx, doc, kind), kind), doc["id"], kind, expansion) for doc in page
    ]
    return Reply(200, body)


def _how_many(ctx: Context, kind: Kind, wanted: Wanted) -> int:
    directory = ctx.world.directory
    if wanted.everything:
        return directory.count(kind.name)
    return sum(wanted.test(doc) for _, doc in directory.scan(kind.name, index=wanted.index))


def _order(text: str, kind: Kind) -> tuple[Any, bool]:
    found = re.fullmatch(r"\s*(\w+)(?:\s+(asc|desc))?\s*", text, re.IGNORECASE)
    if found is None or found[1] not in kind.of("beta"):
        bad_request("Unsupported sort property for type.", code="Request_UnsupportedQuery")
    name = found[1]
    return lambda doc: str(doc.get(name) or "").lower(), (found[2] or "").lower() == "desc"


Expansion = dict[str, set[str] | None]
"""The relations that $expand asks for, each with the properties that are to be shown, `None` for all."""


def _expansion(ctx: Context, kind: Kind) -> Expansion:
    """Read $expand, such as ``owners($select=id,displayName),members``, or refuse it with a 400."""
    wanted: Expansion = {}
    for item in re.findall(r"(?:[^,(]|\([^)]*(?:\)|\Z))+", ctx.call.query.get("$expand", "")):
        name = item.split("(")[0].strip()
        if (kind.name, name) not in EXPANDABLE:
            bad_request(
                f"Parsing OData Select and Expand failed: Could not find a property named '{name[:60]}'.",
                code="BadRequest",
            )
        selected = re.search(r"\$select=([\w,]+)", item)
        wanted[name] = set(selected[1].split(",")) if selected else None
    return wanted


def _expanded(ctx: Context, doc: Doc, object_id: str, kind: Kind, wanted: Expansion) -> Doc:
    related = {name: EXPANDABLE[kind.name, name](ctx, object_id)[:20] for name in wanted}
    shown_of = {
        name: [
            one if names is None else {key: value for key, value in one.items() if key in names or key.startswith("@")}
            for one in related[name]
        ]
        for name, names in wanted.items()
    }
    return doc | shown_of


def linked(ctx: Context, object_id: str, relation: str) -> list[Doc]:
    """The objects in a relation of an object (`owners`, `members`, `memberOf`, `transitiveMemberOf`), typed."""
    directory = ctx.world.directory
    if relation == "transitiveMemberOf":
        ids = sorted(directory.groups_of(object_id))
    else:
        ids = (
            directory.sources(object_id, "members")
            if relation == "memberOf"
            else directory.targets(object_id, relation)
        )
    return [found for found in (typed(ctx, one) for one in ids) if found is not None]


EXPANDABLE: dict[tuple[str, str], Callable[[Context, str], list[Doc]]] = {}
"""What $expand can show of a kind of object, by kind and relation; Graph shows 20 of each at most."""


def expandable(relation: str, *kinds: str) -> Callable[[Callable[[Context, str], list[Doc]]], None]:
    """Let $expand show a relation of these kinds of objects by a function of the request and an object's id."""

    def register(related: Callable[[Context, str], list[Doc]]) -> None:
        EXPANDABLE.update({(kind, relation): related for kind in kinds})

    return register


def _expandable_link(relation: str, *kinds: str) -> None:
    expandable(relation, *kinds)(lambda ctx, object_id: linked(ctx, object_id, relation))


_expandable_link("owners", "application", "servicePrincipal", "group")
_expandable_link("members", "group", "administrativeUnit")
for _relation in ("memberOf", "transitiveMemberOf"):
    _expandable_link(_relation, "servicePrincipal", "group", "user")


def get_object(ctx: Context, kind: Kind, object_id: str) -> Reply:
    """One object."""
    may_read(ctx, kind)
    doc = ctx.get(kind, object_id)
    reply = ctx.one(shown(ctx, doc, kind), kind)
    return Reply(200, _expanded(ctx, reply.body, object_id, kind, _expansion(ctx, kind)))


def _count(ctx: Context, kind: Kind) -> Reply:
    may_read(ctx, kind)
    if ctx.call.headers.get("consistencylevel", "").lower() != "eventual":
        bad_request("$count is not currently supported.", code="Request_BadRequest")
    return Reply(200, str(_how_many(ctx, kind, wanted_of(ctx, kind))).encode(), {"Content-Type": "text/plain"})


def _register(kind: Kind) -> None:
    routes.add("GET", kind.plural)(lambda ctx: list_objects(ctx, kind))
    routes.add("GET", f"{kind.plural}/$count")(lambda ctx: _count(ctx, kind))
    routes.add("GET", f"{kind.plural}/*")(lambda ctx, one: get_object(ctx, kind, one))


for _kind in PLURALS.values():
    _register(_kind)
