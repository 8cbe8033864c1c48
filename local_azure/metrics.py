"""Custom metrics: ``POST {resourceId}/metrics``, and reading them back.

Source: Microsoft, "Send custom metrics for an Azure resource to the Azure Monitor metric store by using a REST API". The audience
is exactly ``https://monitoring.azure.com/``, the role needs the data action ``Microsoft.Insights/Metrics/Write``.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

from facts.scopes import Scope, ScopeError, parse_scope
from local_azure.access import authenticate, permitted
from local_azure.resources import key_of
from local_azure.wire import Call, Refused, Reply, epoch_of, refuse
from local_azure.world import World

OLDEST = 20 * 60
NEWEST = 5 * 60
MOST_DIMENSIONS = 10
AUDIENCES = ("https://monitoring.azure.com/", "https://monitoring.azure.us/", "https://monitoring.azure.cn/")


def handle(world: World, call: Call) -> Reply | None:
    """Answer a request to the ingestion endpoint; `None` when the path is none of its own."""
    segments = call.segments
    if (
        call.method != "POST"
        or len(segments) < 3
        or segments[-1].lower() != "metrics"
        or segments[0].lower() != "subscriptions"
    ):
        return None
    if "api-version" in call.query:
        return None
    caller = authenticate(world, call, "metrics")
    audience = str(caller.claims["aud"])
    if audience not in AUDIENCES:
        text = f"The access token's audience '{audience}' is not 'https://monitoring.azure.com/': the trailing slash counts."
        refuse(401, "InvalidAuthenticationTokenAudience", text)
    try:
        scope = parse_scope("/" + "/".join(segments[:-1]))
    except ScopeError:
        _bad("The resource id in the path is not valid.")
    if scope.kind != "resource":
        _bad("Custom metrics can be sent for a resource only, not for a subscription or a resource group.")
    if not permitted(world, caller, "Microsoft.Insights/Metrics/Write", scope, data=True):
        # [?] The text of this refusal is not documented; status and meaning are.
        text = (
            f"The client '{caller.app_id}' with object id '{caller.object_id}' does not have permission to perform the data action "
            f"'Microsoft.Insights/Metrics/Write' on '{scope.id}'. If access was recently granted, please refresh your credentials."
        )
        refuse(403, "AuthorizationFailed", text)
    if world.resources.get(scope.id) is None:
        refuse(404, "ResourceNotFound", f"The resource '{scope.id}' could not be found.")
    with world.store.write():
        return _accept(world, call, scope)


def _bad(text: str) -> NoReturn:
    refuse(400, "BadRequest", text)


def _accept(world: World, call: Call, scope: Scope) -> Reply:
    try:
        body = call.json()
    except ValueError:
        _bad("The request body is not valid JSON.")
    if (
        not isinstance(body, dict)
        or not isinstance(body.get("data"), dict)
        or not isinstance(body["data"].get("baseData"), dict)
    ):
        _bad("The request body must have 'time' and 'data.baseData'.")
    base: dict[str, Any] = body["data"]["baseData"]
    time, now = _time(body.get("time")), world.store.now()
    if time < now - OLDEST or time > now + NEWEST:
        _bad("The timestamp must be within the past 20 minutes and no more than 5 minutes in the future.")
    metric, namespace = base.get("metric"), base.get("namespace")
    for name, value in (("metric", metric), ("namespace", namespace)):
        if not isinstance(value, str) or not 0 < len(value) <= 255:
            _bad(f"'{name}' must be a string of 1 to 255 characters.")
    names, series = base.get("dimNames") or [], base.get("series")
    if not _strings(names) or len(names) > MOST_DIMENSIONS:
        _bad("'dimNames' must be a list of at most 10 strings.")
    if not isinstance(series, list) or not series or len(series) > 1000:
        _bad("'series' must be a list with at least one entry.")
    docs = []
    for entry in series:
        if not isinstance(entry, dict):
            _bad("Each entry of 'series' must be an object.")
        values = entry.get("dimValues") or []
        if not _strings(values) or len(values) != len(names):
            _bad(f"'dimValues' must be a list of {len(names)} strings, as many as there are 'dimNames'.")
        numbers: dict[str, Any] = {part: entry.get(part) for part in ("min", "max", "sum", "count")}
        for part, number in numbers.items():
            if (
                isinstance(number, bool)
                or not isinstance(number, int | float)
                or not math.isfinite(number)
                or abs(number) > 1e300
            ):
                _bad(f"'{part}' of a series must be a number.")
        if numbers["count"] < 1 or numbers["min"] > numbers["max"]:
            _bad("'count' must be at least 1 and 'min' at most 'max'.")
        docs.append({"dimensions": dict(zip(names, values, strict=True)), **numbers})
    world.telemetry.add_metrics(key_of(scope.id), str(namespace), str(metric), time, docs)
    return Reply(200)


def _time(text: Any) -> float:
    try:
        return epoch_of(text)
    except (ValueError, TypeError, OverflowError):
        _bad("'time' must be an ISO 8601 timestamp.")


def _strings(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) and len(value) <= 255 for value in values)


__all__ = ["Refused", "handle"]
