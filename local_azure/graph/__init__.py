"""Microsoft Graph, v1.0 and beta."""

from __future__ import annotations

from local_azure.access import accepts, bearer, caller_of
from local_azure.graph import credentials, objects
from local_azure.graph.context import KEYED, PLURALS, Context, routes
from local_azure.graph.errors import bad_request, not_found, refuse
from local_azure.tokens import TokenError
from local_azure.wire import Call, Reply
from local_azure.world import World

__all__ = ["credentials", "dispatch", "handle", "objects"]


def handle(world: World, call: Call) -> Reply | None:
    """Answer a request to Graph; `None` when the path is none of its own."""
    segments = call.segments
    if not segments or segments[0].lower() not in ("v1.0", "beta"):
        return None
    token = bearer(call)
    if token is None:
        refuse(401, "InvalidAuthenticationToken", "Access token is empty.")
    try:
        claims = world.signer.verify(token)
    except TokenError as error:
        expired = error.expired_at is not None
        text = (
            "Lifetime validation failed, the token is expired."
            if expired
            else "Access token validation failure. Invalid token."
        )
        refuse(401, "InvalidAuthenticationToken", text)
    if not accepts(world, str(claims["aud"]), "graph"):
        refuse(401, "InvalidAuthenticationToken", "Access token validation failure. Invalid audience.")
    return dispatch(Context(world, call, caller_of(world, claims), segments[0].lower()))


def dispatch(ctx: Context) -> Reply:
    """Find the handler of a request's path and call it, as one transaction when it changes something."""
    segments = ctx.call.segments[1:]
    if segments and (keyed := KEYED.match(segments[0])):
        kind = PLURALS.get(keyed["collection"].lower())
        if kind is None or keyed["key"] not in ("appId", "uniqueName", "userPrincipalName", "roleTemplateId", "id"):
            bad_request(f"Resource not found for the segment '{segments[0]}'.", code="BadRequest")
        found = list(ctx.world.directory.scan(kind.name, index=(keyed["key"], "eq", [keyed["value"]])))  # type: ignore[arg-type]
        if not found:
            not_found(keyed["value"])
        segments = [keyed["collection"], found[0][1]["id"], *segments[1:]]
    handler, ids = routes.find(ctx.call.method, segments)
    if ctx.call.method == "GET":
        return handler(ctx, *ids)
    with ctx.world.store.write():
        return handler(ctx, *ids)
