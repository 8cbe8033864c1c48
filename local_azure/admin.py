"""``/_local/…``: the switches of this local Azure, for its owner alone (bearer key in `admin.key`)."""

from __future__ import annotations

import hmac
from typing import Any, NoReturn

from facts.scopes import Scope, ScopeError, parse_scope
from local_azure import arm
from local_azure.access import bearer
from local_azure.resources import key_of
from local_azure.seed import add_subscription
from local_azure.wire import Call, Reply, refuse
from local_azure.world import World

Doc = dict[str, Any]


def handle(world: World, call: Call, key: str) -> Reply | None:
    """Answer a request to ``/_local/…``; `None` for any other path."""
    segments = call.segments
    if not segments or segments[0] != "_local":
        return None
    if not hmac.compare_digest((bearer(call) or "").encode(), key.encode()):
        refuse(401, "AdminKeyRequired", "Send the content of the state directory's admin.key as bearer token.")
    match call.method, segments[1:]:
        case "GET", ["settings"]:
            return Reply(200, settings(world))
        case "PATCH", ["settings"]:
            with world.store.write():
                _change(world, _body(call))
            return Reply(200, settings(world))
        case "POST", ["ensure"]:
            with world.store.write():
                return Reply(200, {"created": ensure(world, _body(call))})
        case "GET", ["metrics"]:
            return Reply(200, {"value": world.telemetry.metrics(key_of(call.query.get("resource", "")))})
        case "POST", ["keys", "rotate"]:
            with world.store.write():
                world.signer.rotate()
            return Reply(204)
    refuse(404, "NotFound", f"There is no {call.method} {call.path[:100]}.")


def settings(world: World) -> Doc:
    """What can be changed, as it is now."""
    return {
        "propagation": {what: world.propagation(what) for what in ("roles", "secrets")},
        "clock": {"now": world.store.now(), "speed": world.store.clock_speed},
    }


def set_propagation(world: World, what: str, seconds: Any) -> None:
    """Let new roles or secrets take effect `seconds` after they are made."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 86400:
        _bad(f"The propagation delay of {what} must be 0 to 86400 seconds.")
    world.store.set_setting(f"propagation.{what}", repr(float(seconds)))


def _change(world: World, body: Doc) -> None:
    for name, value in body.items():
        if name == "propagation" and isinstance(value, int | float):
            for what in ("roles", "secrets"):
                set_propagation(world, what, value)
        elif name == "propagation" and isinstance(value, dict) and value.keys() <= {"roles", "secrets"}:
            for what, seconds in value.items():
                set_propagation(world, what, seconds)
        elif name == "clock" and isinstance(value, dict) and value.keys() <= {"offset", "speed"}:
            numbers = {part: number for part, number in value.items() if isinstance(number, int | float)}
            if (
                len(numbers) != len(value)
                or not 0 < numbers.get("speed", 1) <= 100_000
                or abs(numbers.get("offset", 0)) > 1e10
            ):
                _bad("The clock takes 'offset' in seconds and a 'speed' above 0.")
            world.store.set_clock(offset=numbers.get("offset"), speed=numbers.get("speed"))
        else:
            _bad(f"'{name}' is no setting, or its value is not valid.")


def ensure(world: World, body: Doc) -> list[str]:
    """Make scopes exist: subscriptions, resource groups and resources, with all that encloses them; the ids that were new."""
    scopes, location = body.get("scopes"), body.get("location", "westeurope")
    if not isinstance(scopes, list) or not isinstance(location, str) or len(scopes) > 10_000:
        _bad("'scopes' must be a list of resource ids.")
    created: list[str] = []
    for text in scopes:
        try:
            scope = parse_scope(text if isinstance(text, str) else "")
        except ScopeError as error:
            _bad(str(error))
        for one in reversed(list(scope.parents())):
            if one.kind != "root" and world.resources.get(one.id) is None:
                _make(world, one, location)
                created.append(one.id)
    return created


def _make(world: World, scope: Scope, location: str) -> None:
    if scope.kind == "subscription":
        add_subscription(world, str(scope.subscription).lower(), f"Subscription {str(scope.subscription)[:8]}")
    elif scope.kind == "resource_group":
        group = {
            "id": scope.id,
            "name": scope.name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": location,
            "properties": {"provisioningState": "Succeeded"},
        }
        world.resources.put(scope.id, scope.resource_type, group)
    elif scope.kind == "management_group":
        doc = {
            "id": scope.id,
            "type": "Microsoft.Management/managementGroups",
            "name": scope.name,
            "properties": {"tenantId": world.tenant_id, "displayName": scope.name, "details": {"version": 1}},
        }
        world.resources.put(scope.id, scope.resource_type, doc)
    else:
        arm.put_resource(world, scope, {"location": location}, None)


def _body(call: Call) -> Doc:
    try:
        value = call.json()
    except ValueError:
        _bad("The request body is not valid JSON.")
    if not isinstance(value, dict):
        _bad("The request body is not a JSON object.")
    return value


def _bad(text: str) -> NoReturn:
    refuse(400, "BadRequest", text)
