"""References between objects: owners, members, a user's manager."""

from __future__ import annotations

import re
from typing import Any

from local_azure.graph.context import KINDS, Context, Kind, routes
from local_azure.graph.errors import bad_request, not_found
from local_azure.graph.reading import linked, typed
from local_azure.graph.rights import (
    APPLICATION,
    GROUP,
    PRINCIPAL,
    UNIT,
    USER,
    WRITE,
    may_read,
    may_write,
    may_write_group,
)
from local_azure.wire import Reply, is_guid

Doc = dict[str, Any]


def bound(ctx: Context, body: Doc, relation: str) -> list[str]:
    """The object ids of an ``…@odata.bind`` list, each of which must exist."""
    urls = body.get(f"{relation}@odata.bind") or []
    if not isinstance(urls, list) or len(urls) > 20:
        bad_request(f"Invalid value specified for property '{relation}@odata.bind'.")
    return [reference(ctx, url) for url in dict.fromkeys(str(url) for url in urls)]


def reference(ctx: Context, url: Any) -> str:
    """The id of the existing object that a reference URL names; its host does not matter."""
    found = re.search(r"([0-9a-fA-F-]{36})(?:'?\))?/?\Z", url[-60:]) if isinstance(url, str) else None
    if found is None or not is_guid(found[1]):
        bad_request("Invalid URL format specified in payload.", code="Request_BadRequest")
    if ctx.world.directory.kind_of(found[1]) is None:
        not_found(found[1].lower())
    return found[1].lower()


def add_link(ctx: Context, kind: Kind, object_id: str, relation: str) -> Reply:
    """Add an owner or a member."""
    ctx.get(kind, object_id)
    may_link(ctx, kind, object_id, relation)
    add_reference(ctx, kind, object_id, relation, reference(ctx, ctx.body().get("@odata.id")))
    return Reply(204)


def add_reference(ctx: Context, kind: Kind, object_id: str, relation: str, target: str) -> None:
    """Link an object that exists, or refuse what cannot be an owner or member or already is."""
    target_kind = ctx.world.directory.kind_of(target)
    allowed = ("user", "servicePrincipal") if relation == "owners" else ("user", "servicePrincipal", "group")
    allowed = ("user", "group") if kind is UNIT else allowed
    if target_kind not in allowed or (target == object_id.lower() and kind is GROUP):
        text = f"The reference to the object with id '{target}' cannot be added to '{relation}': it is a {target_kind}."
        bad_request(text)
    if kind is GROUP and target_kind == "group" and ctx.get(GROUP, object_id)["isAssignableToRole"]:
        # [?] The text; the rule is in "Use Microsoft Entra groups to manage role assignments".
        bad_request("A group cannot be a member of a role-assignable group.")
    if not ctx.world.directory.link(object_id, relation, target):
        bad_request(
            f"One or more added object references already exist for the following modified properties: '{relation}'."
        )


def remove_link(ctx: Context, kind: Kind, object_id: str, relation: str, target: str) -> Reply:
    """Remove an owner or a member."""
    ctx.get(kind, object_id)
    may_link(ctx, kind, object_id, relation)
    if not ctx.world.directory.unlink(object_id, relation, target):
        not_found(target)
    return Reply(204)


def may_link(ctx: Context, kind: Kind, object_id: str, relation: str) -> None:
    """403 unless the caller may change owners or members."""
    if kind is GROUP and relation == "members":
        may_write_group(ctx, object_id, "GroupMember.ReadWrite.All", *WRITE["group"])
    else:
        may_write(ctx, kind, object_id)


def list_links(ctx: Context, kind: Kind, object_id: str, relation: str, only: Kind | None = None) -> Reply:
    """Owners, members, or what an object is a member of; `only` those of a kind."""
    may_read(ctx, kind)
    ctx.get(kind, object_id)
    found = linked(ctx, object_id, relation)
    if only is None:
        return ctx.many(found, "directoryObjects")
    return ctx.many([one for one in found if one["@odata.type"] == only.odata_type], only.plural, only)


def count_links(ctx: Context, kind: Kind, object_id: str, relation: str) -> Reply:
    """How many owners or members there are, as text."""
    may_read(ctx, kind)
    ctx.get(kind, object_id)
    if ctx.call.headers.get("consistencylevel", "").lower() != "eventual":
        bad_request("$count is not currently supported.", code="Request_BadRequest")
    count = len(linked(ctx, object_id, relation))
    return Reply(200, str(count).encode(), {"Content-Type": "text/plain"})


def cast_links(ctx: Context, kind: Kind, object_id: str, relation: str, cast: str) -> Reply:
    """The owners or members of one type, such as `microsoft.graph.servicePrincipal`."""
    may_read(ctx, kind)
    ctx.get(kind, object_id)
    wanted = next((one for one in KINDS.values() if f"microsoft.graph.{one.name}".lower() == cast.lower()), None)
    if wanted is None:
        bad_request(f"Resource not found for the segment '{cast[:60]}'.", code="BadRequest")
    docs = [one for one in linked(ctx, object_id, relation) if one["@odata.type"] == wanted.odata_type]
    return ctx.many(docs, wanted.plural)


def list_refs(ctx: Context, kind: Kind, object_id: str, relation: str) -> Reply:
    """The URLs of owners or members."""
    may_read(ctx, kind)
    ctx.get(kind, object_id)
    ids = ctx.world.directory.targets(object_id, relation)
    urls = [
        {"@odata.id": f"{ctx.base}/directoryObjects/{one}/Microsoft.DirectoryServices.DirectoryObject"} for one in ids
    ]
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#Collection($ref)", "value": urls})


def _register(kind: Kind, relation: str) -> None:
    path = f"{kind.plural}/*/{relation}"
    routes.add("GET", path)(lambda ctx, one: list_links(ctx, kind, one, relation))
    routes.add("GET", f"{path}/$ref")(lambda ctx, one: list_refs(ctx, kind, one, relation))
    routes.add("GET", f"{path}/$count")(lambda ctx, one: count_links(ctx, kind, one, relation))
    routes.add("GET", f"{path}/*")(lambda ctx, one, cast: cast_links(ctx, kind, one, relation, cast))
    routes.add("POST", f"{path}/$ref")(lambda ctx, one: add_link(ctx, kind, one, relation))
    routes.add("DELETE", f"{path}/*/$ref")(lambda ctx, one, target: remove_link(ctx, kind, one, relation, target))


def _register_membership(kind: Kind) -> None:
    for name in ("memberOf", "transitiveMemberOf"):
        path = f"{kind.plural}/*/{name}"
        routes.add("GET", path)(lambda ctx, one, name=name: list_links(ctx, kind, one, name))
        routes.add("GET", f"{path}/microsoft.graph.group")(
            lambda ctx, one, name=name: list_links(ctx, kind, one, name, GROUP)
        )


for _kind in (APPLICATION, PRINCIPAL, GROUP):
    _register(_kind, "owners")
_register(GROUP, "members")
_register(UNIT, "members")
for _kind in (PRINCIPAL, GROUP, USER):
    _register_membership(_kind)


@routes.add("GET", "groups/*/transitiveMembers")
def _transitive_members(ctx: Context, object_id: str) -> Reply:
    may_read(ctx, GROUP)
    ctx.get(GROUP, object_id)
    found: dict[str, Doc] = {}
    edge = [object_id]
    while edge:
        inner = [one for group in edge for one in linked(ctx, group, "members") if one["id"] not in found]
        found |= {one["id"]: one for one in inner}
        edge = [one["id"] for one in inner if one["@odata.type"] == GROUP.odata_type]
    return ctx.many(list(found.values()), "directoryObjects")


@routes.add("GET", "users/*/manager")
def _manager(ctx: Context, object_id: str) -> Reply:
    may_read(ctx, USER)
    ctx.get(USER, object_id)
    found = ctx.world.directory.targets(object_id, "manager")
    manager = typed(ctx, found[0]) if found else None
    if manager is None:
        not_found("manager")
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#directoryObjects/$entity", **ctx.select(manager, None)})


@routes.add("PUT", "users/*/manager/$ref")
def _set_manager(ctx: Context, object_id: str) -> Reply:
    ctx.get(USER, object_id)
    may_write(ctx, USER, object_id)
    target = reference(ctx, ctx.body().get("@odata.id"))
    if ctx.world.directory.kind_of(target) != "user":
        bad_request("The manager must be a user.")
    for old in ctx.world.directory.targets(object_id, "manager"):
        ctx.world.directory.unlink(object_id, "manager", old)
    ctx.world.directory.link(object_id, "manager", target)
    return Reply(204)


@routes.add("DELETE", "users/*/manager/$ref")
def _remove_manager(ctx: Context, object_id: str) -> Reply:
    ctx.get(USER, object_id)
    may_write(ctx, USER, object_id)
    for old in ctx.world.directory.targets(object_id, "manager"):
        ctx.world.directory.unlink(object_id, "manager", old)
    return Reply(204)
