"""Administrative units: parts of the directory that directory roles can be limited to.

Source: Microsoft Graph, "administrativeUnit resource type". Members are users and groups; a role that is limited to a unit counts
for what is a member of it directly (Microsoft, "Administrative units in Microsoft Entra ID").
"""

from __future__ import annotations

from local_azure.graph.context import Context, routes
from local_azure.graph.errors import bad_request
from local_azure.graph.links import add_reference
from local_azure.graph.people import create_group
from local_azure.graph.reading import shown
from local_azure.graph.rights import GROUP, UNIT, may_write
from local_azure.wire import Reply, new_guid


@routes.add("POST", UNIT.plural)
def _create(ctx: Context) -> Reply:
    may_write(ctx, UNIT, None)
    body = UNIT.checked(ctx.body(), ctx.version)
    if not body.get("displayName"):
        bad_request(f"A value is required for property 'displayName' of resource '{UNIT.title}'.")
    doc = UNIT.new(body, id=new_guid())
    ctx.make_room()
    ctx.world.directory.create("administrativeUnit", doc)
    return ctx.one(shown(ctx, doc, UNIT), UNIT, status=201)


@routes.add("PATCH", f"{UNIT.plural}/*")
def _update(ctx: Context, object_id: str) -> Reply:
    doc = ctx.get(UNIT, object_id)
    may_write(ctx, UNIT, object_id)
    changes = UNIT.checked(ctx.body(), ctx.version)
    if "displayName" in changes and not changes["displayName"]:
        bad_request("Invalid value specified for property 'displayName'.")
    ctx.world.directory.update(UNIT.merged(doc, changes))
    return Reply(204)


@routes.add("POST", f"{UNIT.plural}/*/members")
def _create_member(ctx: Context, object_id: str) -> Reply:
    """A new group that is a member from the start."""
    ctx.get(UNIT, object_id)
    may_write(ctx, UNIT, object_id)
    if ctx.body().get("@odata.type") != GROUP.odata_type:
        bad_request(f"Only a {GROUP.odata_type} can be created in an administrative unit.")
    made = create_group(ctx)
    add_reference(ctx, UNIT, object_id, "members", made.body["id"])
    return made


@routes.add("DELETE", f"{UNIT.plural}/*")
def _delete(ctx: Context, object_id: str) -> Reply:
    """It can be restored with its members for 30 days. [?] The roles that were limited to it are gone for good."""
    ctx.get(UNIT, object_id)
    may_write(ctx, UNIT, object_id)
    directory = ctx.world.directory
    for _, held in list(directory.scan("roleAssignment")):
        if held["directoryScopeId"] == scope_of(object_id):
            directory.purge(held["id"])
    directory.delete(object_id)
    return Reply(204)


def scope_of(object_id: str) -> str:
    """A unit as the `directoryScopeId` of a role assignment."""
    return f"/administrativeUnits/{object_id.lower()}"
