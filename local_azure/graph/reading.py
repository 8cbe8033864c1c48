"""Reading objects: one, a page of a collection by query options, and how each is shown."""

from __future__ import annotations

import re
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


def list_objects(ctx: Context, kind: Kind) -> Reply:
    """A page of a collection, by the query options of the request."""
    may_read(ctx, kind)
    query, directory = ctx.call.query, ctx.world.directory
    size = odata.top_of(query.get("$top"))
    word, start = odata.skip_token(query.get("$skiptoken"))
    wanted = odata.parse_filter(query["$filter"]) if query.get("$filter") else None
    search = odata.parse_search(query["$search"]) if query.get("$search") else None
    counted = query.get("$count", "").lower() == "true"
    eventual = ctx.call.headers.get("consistencylevel", "").lower() == "eventual"
    order = query.get("$orderby")
    if wanted is not None:
        for name in sorted(wanted.names):
            if name not in kind.of("beta"):
                text = f"Invalid filter clause: Could not find a property named '{name}' on type 'microsoft.graph.{kind.name}'."
                bad_request(text, code="BadRequest")
    if search is not None and not eventual:
        bad_request(
            "Request with $search query parameter only works through MSGraph with a special request header: "
            "'ConsistencyLevel: eventual'",
            code="Request_UnsupportedQuery",
        )
    if wanted is not None and wanted.advanced and not (eventual and counted):
        bad_request(
            "Operator is not supported because the required parameters might be missing. Try adding $count=true query "
            "parameter and ConsistencyLevel:eventual header. Refer to https://aka.ms/graph-docs/advanced-queries for more "
            "information",
            code="Request_UnsupportedQuery",
        )
    key = _order(order, kind) if order else None
    index = wanted.index if wanted is not None else None
    after = start if word == "after" and key is None else 0
    matches = (
        (seq, doc)
        for seq, doc in directory.scan(kind.name, after=after, index=index)
        if (wanted is None or wanted.test(doc)) and (search is None or search(doc))
    )
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
    if counted:
        if wanted is None and search is None:
            body["@odata.count"] = directory.count(kind.name)
        else:
            every = directory.scan(kind.name, index=index)
            body["@odata.count"] = sum(
                (wanted is None or wanted.test(doc)) and (search is None or search(doc)) for _, doc in every
            )
    if more is not None:
        body["@odata.nextLink"] = ctx.next_link(more)
    body["value"] = [_expanded(ctx, ctx.select(shown(ctx, doc, kind), kind), doc["id"]) for doc in page]
    return Reply(200, body)


def _order(text: str, kind: Kind) -> tuple[Any, bool]:
    found = re.fullmatch(r"\s*(\w+)(?:\s+(asc|desc))?\s*", text, re.IGNORECASE)
    if found is None or found[1] not in kind.of("beta"):
        bad_request("Unsupported sort property for type.", code="Request_UnsupportedQuery")
    name = found[1]
    return lambda doc: str(doc.get(name) or "").lower(), (found[2] or "").lower() == "desc"


EXPANDABLE = ("owners", "members", "memberOf")


def _expanded(ctx: Context, doc: Doc, object_id: str) -> Doc:
    asked = ctx.call.query.get("$expand")
    if not asked:
        return doc
    for item in re.split(r",(?![^(]*\))", asked):
        name = item.split("(")[0].strip()
        if name not in EXPANDABLE:
            bad_request(
                f"Parsing OData Select and Expand failed: Could not find a property named '{name}'.", code="BadRequest"
            )
        selected = re.search(r"\$select=([\w,]+)", item)
        names = set(selected[1].split(",")) if selected else None
        found = [
            one if names is None else {key: value for key, value in one.items() if key in names or key.startswith("@")}
            for one in linked(ctx, object_id, name)[:20]
        ]
        doc = {**doc, name: found}
    return doc


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


def get_object(ctx: Context, kind: Kind, object_id: str) -> Reply:
    """One object."""
    may_read(ctx, kind)
    doc = ctx.get(kind, object_id)
    reply = ctx.one(shown(ctx, doc, kind), kind)
    return Reply(200, _expanded(ctx, reply.body, object_id))


def _count(ctx: Context, kind: Kind) -> Reply:
    may_read(ctx, kind)
    if ctx.call.headers.get("consistencylevel", "").lower() != "eventual":
        bad_request("$count is not currently supported.", code="Request_BadRequest")
    return Reply(200, str(ctx.world.directory.count(kind.name)).encode(), {"Content-Type": "text/plain"})


def _register(kind: Kind) -> None:
    routes.add("GET", kind.plural)(lambda ctx: list_objects(ctx, kind))
    routes.add("GET", f"{kind.plural}/$count")(lambda ctx: _count(ctx, kind))
    routes.add("GET", f"{kind.plural}/*")(lambda ctx, one: get_object(ctx, kind, one))


for _kind in PLURALS.values():
    _register(_kind)
