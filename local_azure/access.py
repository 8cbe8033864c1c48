"""Who is calling, and whether they may: bearer tokens, audiences, and role-based access control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from entrant.facts.scopes import Scope
from local_azure import first_party
from local_azure.resources import Allowed
from local_azure.tokens import TokenError
from local_azure.wire import Call, refuse, utc
from local_azure.world import World

Attributes = Mapping[tuple[str, str], Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """The service principal behind a token: its object id, its application id, and every id whose roles it has."""

    object_id: str
    app_id: str
    principals: frozenset[str]
    claims: dict[str, Any]


def bearer(call: Call) -> str | None:
    """The bearer token of a request, or `None`."""
    kind, _, token = call.headers.get("authorization", "").partition(" ")
    return token.strip() or None if kind.lower() == "bearer" else None


def accepts(world: World, audience: str, *shorts: str) -> bool:
    """Whether an audience is this server itself or one of these first-party APIs (trailing slash ignored)."""
    return audience.lower().rstrip("/") == world.url or first_party.stands_for(audience, shorts)


def caller_of(world: World, claims: dict[str, Any]) -> Caller:
    """The caller that a valid token speaks for, noted for the request log."""
    object_id = claims["oid"]
    world.asking = {"client_id": claims.get("appid") or claims.get("azp", ""), "object_id": object_id}
    if "app_displayname" in claims:
        world.asking["name"] = claims["app_displayname"]
    return Caller(
        object_id,
        claims.get("appid") or claims.get("azp", ""),
        frozenset({object_id, *world.directory.groups_of(object_id)}),
        claims,
    )


def authenticate(world: World, call: Call, *shorts: str, wrong_audience: int = 401) -> Caller:
    """The caller of a request to Resource Manager or a data plane, or the refusal that Azure gives.

    `wrong_audience` is the status for a valid token made for another API: 401 at Resource Manager, 403 at Log Analytics.
    """
    challenge = {
        "WWW-Authenticate": f'Bearer authorization_uri="{world.url}/{world.tenant_id}", error="invalid_token", '
        'error_description="The access token is missing or invalid."'
    }
    token = bearer(call)
    if token is None:
        text = "Authentication failed. The 'Authorization' header is missing."
        if "authorization" in call.headers:
            text = "Authentication failed. The 'Authorization' header is provided in an invalid format."
        refuse(401, "AuthenticationFailed", text, headers=challenge)
    try:
        claims = world.signer.verify(token)
    except TokenError as error:
        if error.expired_at is not None:
            text = (
                f"The access token expiry UTC time '{utc(error.expired_at)}' is earlier than current UTC time "
                f"'{utc(world.store.now())}'."
            )
            refuse(401, "ExpiredAuthenticationToken", text, headers=challenge)
        refuse(401, "InvalidAuthenticationToken", "The access token is invalid.", headers=challenge)
    audience = str(claims["aud"])
    if not accepts(world, audience, *shorts):
        allowed = first_party.audiences_of(*shorts)
        wanted = ",".join(f"'{text}/','{text}'" for text in allowed[:2])
        text = (
            f"The access token has been obtained for wrong audience or resource '{audience}'. It should exactly match with one of "
            f"the allowed audiences {wanted}."
        )
        refuse(
            wrong_audience,
            "InvalidAuthenticationTokenAudience",
            text,
            headers=challenge if wrong_audience == 401 else None,
        )
    return caller_of(world, claims)


def permitted(
    world: World, caller: Caller, action: str, scope: Scope, *, data: bool = False, at: str = "roles"
) -> bool:
    """Whether a caller's roles permit an action at a scope now; `at` names the propagation delay that counts."""
    return _allowed(world, caller, action, scope, data, {}, at) == "yes"


def _allowed(
    world: World, caller: Caller, action: str, scope: Scope, data: bool, attributes: Attributes, at: str = "roles"
) -> Allowed:
    now = {("environment", "utcnow"): utc(world.store.now())}
    delay = world.propagation(at)
    return world.resources.allowed(
        caller.principals, action, scope, data=data, delay=delay, attributes={**now, **attributes}
    )


def demand(world: World, caller: Caller, action: str, scope: Scope, attributes: Attributes | None = None) -> None:
    """Refuse as Resource Manager does (403 AuthorizationFailed) unless the caller may do `action` at `scope`.

    `attributes` of the request are what conditions of role assignments may look at.
    """
    found = _allowed(world, caller, action, scope, False, attributes or {})
    if found == "yes":
        return
    unfulfilled = " or an ABAC condition not fulfilled" if found == "conditional" else ""
    text = (
        f"The client '{caller.app_id}' with object id '{caller.object_id}' does not have authorization{unfulfilled} to perform "
        f"action '{action}' over scope '{scope.id}' or the scope is invalid. If access was recently granted, please refresh your "
        "credentials."
    )
    refuse(403, "AuthorizationFailed", text)
