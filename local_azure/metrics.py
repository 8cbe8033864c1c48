"""Custom metrics: ``POST {resourceId}/metrics``, and reading them back.

Source: Microsoft, "Send custom metrics for an Azure resource to the Azure Monitor metric store by using a REST API". The audience
is exactly ``https://monitoring.azure.com/``, the role needs the data action ``Microsoft.Insights/Metrics/Write``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from entrant.facts.scopes import Scope, ScopeError, parse_scope
from local_azure.access import Caller, authenticate, demand, permitted
from local_azure.resources import key_of
from local_azure.tree import require
from local_azure.wire import Call, Reply, epoch_of, refuse, seconds_of, span_of, utc
from local_azure.world import World

OLDEST = 20 * 60
NEWEST = 5 * 60
MOST_DIMENSIONS = 10
GRAINS = ("PT1M", "PT5M", "PT15M", "PT30M", "PT1H", "PT6H", "PT12H", "P1D", "FULL")
AGGREGATIONS = ("average", "count", "maximum", "minimum", "total")
LATEST = 1e11
MOST_POINTS = 10_000
"""Intervals of one time series."""
AUDIENCES = ("https://monitoring.azure.com/", "https://monitoring.azure.us/", "https://monitoring.azure.cn/")


def handle(world: World, call: Call) -> Reply | None:
    """Answer a request to the ingestion endpoint; `None` when the path is none of its own."""
    segments = call.segments
    if call.method == "POST" and segments[::2] == ["subscriptions", "metrics:getBatch"] and len(segments) == 3:
        return batch(world, call)
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


# Reading back


def read(world: World, call: Call, caller: Caller, scope: Scope, what: str) -> Reply:
    """``{resource}/providers/Microsoft.Insights/metrics``, ``metricDefinitions`` or ``metricNamespaces`` (2024-02-01, 2018-01-01).

    Only what was sent is there: Azure's own metrics of a resource are not. Needs `Microsoft.Insights/metrics/read` (or that of the
    definitions, the namespaces), which Reader and Monitoring Reader have.
    """
    name = {"metricdefinitions": "metricDefinitions", "metricnamespaces": "metricNamespaces"}.get(what, what)
    demand(world, caller, f"Microsoft.Insights/{name}/read", scope)
    require(world, scope)
    if scope.kind != "resource":
        _bad("Metrics are read of a resource; for a subscription or a resource group there are none here.")
    if what == "metricdefinitions":
        return Reply(200, {"value": _definitions(world, scope, call.query.get("metricnamespace"))})
    samples = world.telemetry.metrics(key_of(scope.id))
    if what == "metricnamespaces":
        names = sorted({sample["namespace"] for sample in samples})
        return Reply(200, {"value": [_namespace(scope, one) for one in names]})
    return Reply(200, _charts(world, scope, _wanted(world, call)))


def batch(world: World, call: Call) -> Reply:
    """``POST /subscriptions/{id}/metrics:getBatch``: of several resources, each of which the caller must be able to read."""
    caller = authenticate(world, call, "metrics-query", "arm")
    wanted = _wanted(world, call)
    try:
        body = call.json()
    except ValueError:
        body = None
    ids = body.get("resourceids") if isinstance(body, dict) else None
    if not isinstance(ids, list) or not 0 < len(ids) <= 50 or not all(isinstance(one, str) for one in ids):
        _bad("'resourceids' must be a list of 1 to 50 resource ids.")
    found = []
    for text in ids:
        try:
            scope = parse_scope(text)
        except ScopeError as error:
            _bad(f"The resource id is not valid: {str(error)[:200]}")
        if scope.subscription is None or scope.subscription.lower() != call.segments[1].lower():
            _bad("All resources must be of the subscription in the path.")
        demand(world, caller, "Microsoft.Insights/metrics/read", scope)
        require(world, scope)
        about = _charts(world, scope, wanted)
        start, _, end = about.pop("timespan").partition("/")
        found.append({**about, "starttime": start, "endtime": end, "resourceid": scope.id})
    return Reply(200, {"values": found})


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked of metrics; times in seconds since 1970."""

    names: tuple[str, ...]
    namespace: str
    since: float
    until: float
    interval: str
    aggregations: tuple[str, ...]
    dimensions: tuple[tuple[str, frozenset[str]], ...]
    """Dimensions to split by, each with the values that count; none for all."""
    top: int


def _wanted(world: World, call: Call) -> _Wanted:
    query, now = {name.lower(): value for name, value in call.query.items()}, world.store.now()
    interval = query.get("interval") or "PT1M"
    try:
        since, until = span_of(query.get("timespan") or "PT1H", now)
        if "starttime" in query or "endtime" in query:
            until = epoch_of(query["endtime"]) if "endtime" in query else now
            since = epoch_of(query["starttime"]) if "starttime" in query else until - 3600
        step = seconds_of(interval) if interval != "FULL" else 1.0
    except ValueError as error:
        _bad(f"The time span or the interval is not one: {str(error)[:100]}")
    until = now if until is None else until
    if interval not in GRAINS:
        _bad(f"The interval '{interval[:20]}' is not supported. Supported are {', '.join(GRAINS)}.")
    if not 0 <= since < until <= LATEST or ((until - since) / step > MOST_POINTS and interval != "FULL"):
        _bad(f"The time span must be one of this age and have at most {MOST_POINTS} intervals.")
    aggregations = [one.strip().lower() for one in (query.get("aggregation") or "average").split(",")]
    wrong = [one for one in aggregations if one not in AGGREGATIONS]
    if wrong:
        _bad(f"The aggregation '{wrong[0][:40]}' is not supported. Supported are {', '.join(AGGREGATIONS)}.")
    top = query.get("top") or "10"
    names = tuple(one.strip() for one in (query.get("metricnames") or "").split(",") if one.strip())
    return _Wanted(
        names[:20],
        query.get("metricnamespace") or "",
        since,
        until,
        interval,
        tuple(aggregations),
        _split(query.get("$filter") or query.get("filter") or ""),
        int(top) if re.fullmatch(r"\d{1,6}", top, re.ASCII) else 10,
    )


def _split(text: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """The dimensions of a filter such as ``Queue eq 'mail' or Queue eq 'fax' and Region eq '*'``."""
    found: dict[str, set[str]] = {}
    for part in re.split(
        r"(?<!\s)\s+(?:and|or)\s+", text.strip().replace("(", "").replace(")", ""), flags=re.IGNORECASE
    ):
        if not part:
            continue
        one = re.fullmatch(r"(\S{1,255})\s+eq\s+'((?:[^']|'')*)'", part, re.IGNORECASE)
        if one is None:
            _bad(
                f"The filter '{part[:100]}' is not supported: a dimension, eq, and a value or '*', joined by and and or."
            )
        found.setdefault(one[1].lower(), set()).add(one[2].replace("''", "'").lower())
    return tuple((name, frozenset() if "*" in values else frozenset(values)) for name, values in found.items())


def _charts(world: World, scope: Scope, wanted: _Wanted) -> dict[str, Any]:
    """Every metric that is asked for, in intervals."""
    namespace = wanted.namespace or scope.resource_type
    samples = [
        (epoch_of(sample["time"]), sample)
        for sample in world.telemetry.metrics(key_of(scope.id))
        if sample["namespace"].lower() == namespace.lower()
    ]
    known = {sample["metric"].lower(): sample["metric"] for _, sample in samples}
    names = wanted.names or tuple(known.values())[:1]
    unknown = [name for name in names if name.lower() not in known]
    if unknown or not names:
        kind = scope.resource_type.partition("/")
        _bad(
            f"Failed to find metric configuration for provider: {kind[0]}, resource Type: {kind[2]}, metric: "
            f"{(unknown or [''])[0][:100]}, Valid metrics: {','.join(known.values())}"
        )
    value = []
    for name in names:
        own = [
            one for one in samples if one[1]["metric"].lower() == name.lower() and wanted.since <= one[0] < wanted.until
        ]
        series: dict[tuple[tuple[str, str], ...], list[tuple[float, dict[str, Any]]]] = {}
        for time, sample in own:
            values = {key.lower(): text for key, text in sample["dimensions"].items()}
            place = tuple((key, values.get(key, "")) for key, _ in wanted.dimensions)
            if all(not some or values.get(key, "").lower() in some for key, some in wanted.dimensions):
                series.setdefault(place, []).append((time, sample))
        value.append(
            {
                "id": f"{scope.id}/providers/Microsoft.Insights/metrics/{known[name.lower()]}",
                "type": "Microsoft.Insights/metrics",
                "name": _named(known[name.lower()]),
                "unit": "Count",
                "timeseries": [
                    {
                        "metadatavalues": [{"name": _named(key), "value": text} for key, text in place],
                        "data": _points(some, wanted),
                    }
                    for place, some in list(series.items())[: wanted.top]
                ],
                "errorCode": "Success",
            }
        )
    about = world.resources.get(scope.id) or {}
    return {
        "cost": 0,
        "timespan": f"{utc(wanted.since)}/{utc(wanted.until)}",
        "interval": wanted.interval,
        "namespace": namespace,
        "resourceregion": about.get("location", "global"),
        "value": value,
    }


def _points(samples: list[tuple[float, dict[str, Any]]], wanted: _Wanted) -> list[dict[str, Any]]:
    """The intervals from first to last, an empty one with its time alone."""
    step = wanted.until - wanted.since if wanted.interval == "FULL" else seconds_of(wanted.interval)
    start = wanted.since if wanted.interval == "FULL" else wanted.since // step * step
    held: dict[int, list[dict[str, Any]]] = {}
    for time, sample in samples:
        held.setdefault(int((time - start) // step), []).append(sample)
    return [
        {"timeStamp": utc(start + at * step)} | _aggregated(held.get(at, []), wanted.aggregations)
        for at in range(math.ceil((wanted.until - start) / step))
    ]


def _aggregated(samples: list[dict[str, Any]], aggregations: tuple[str, ...]) -> dict[str, Any]:
    if not samples:
        return {}
    total, count = (math.fsum(one[part] for one in samples) for part in ("sum", "count"))
    found = {
        "average": total / count,
        "count": count,
        "maximum": float(max(one["max"] for one in samples)),
        "minimum": float(min(one["min"] for one in samples)),
        "total": total,
    }
    return {name: found[name] for name in aggregations}


def _definitions(world: World, scope: Scope, namespace: str | None) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], set[str]] = {}
    for sample in world.telemetry.metrics(key_of(scope.id)):
        if namespace is None or sample["namespace"].lower() == namespace.lower():
            found.setdefault((sample["namespace"], sample["metric"]), set()).update(sample["dimensions"])
    return [
        {
            "id": f"{scope.id}/providers/microsoft.insights/metricdefinitions/{name}",
            "resourceId": scope.id,
            "namespace": space,
            "name": _named(name),
            "isDimensionRequired": False,
            "unit": "Count",
            "primaryAggregationType": "Average",
            "supportedAggregationTypes": ["None", "Average", "Minimum", "Maximum", "Total", "Count"],
            "metricAvailabilities": [{"timeGrain": grain, "retention": "P93D"} for grain in GRAINS if grain != "FULL"],
            "dimensions": [_named(one) for one in sorted(dimensions)],
        }
        for (space, name), dimensions in found.items()
    ]


def _namespace(scope: Scope, name: str) -> dict[str, Any]:
    return {
        "id": f"{scope.id}/providers/microsoft.insights/metricNamespaces/{name}",
        "type": "Microsoft.Insights/metricNamespaces",
        "name": name,
        "classification": "Custom",
        "properties": {"metricNamespaceName": name},
    }


def _named(name: str) -> dict[str, str]:
    return {"value": name, "localizedValue": name}
