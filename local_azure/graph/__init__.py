"""Microsoft Graph, v1.0 and beta."""

from __future__ import annotations

from local_azure.access import accepts, bearer, caller_of
from local_azure.graph import (
    applications,
    credentials,
    federated,
    grants,
    links,
    people,
    reading,
    reports,
    roles,
    tenant,
    units,
)
from local_azure.graph.context import Context, dispatch
from local_azure.graph.errors import refuse
from local_azure.tokens import TokenError
from local_azure.wire import Call, Reply
from local_azure.world import World

__all__ = [
    "applications",
    "credentials",
    "federated",
    "grants",
    "handle",
    "links",
    "people",
    "reading",
    "reports",
    "roles",
    "tenant",
    "units",
]


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
