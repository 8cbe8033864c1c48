"""The Application Insights REST API: ``/v1/apps/{application id}/query``, ``…/metrics`` and ``…/events``.

Source: azure-rest-api-specs (applicationinsights/data-plane, v1), Microsoft, "Access the Application Insights API with Microsoft
Entra authentication", "Azure permissions for Monitor". A caller needs ``Microsoft.Insights/components/query/read``,
``…/metrics/read`` or ``…/events/read`` on the component (Reader and Monitoring Reader have them all). A new role takes up to an
hour there; the setting `propagation.insights` is its delay here, and that of all roles unless it is set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from entrant.facts.scopes import parse_scope
from local_azure import components, logs
from local_azure.access import Caller, authenticate, permitted
from local_azure.components import SHARED, TABLES, Telemetry
from local_azure.graph.odata import parse_filter, read_path
from local_azure.kql import Row
from local_azure.resources import Doc
from local_azure.wire import Call, Refused, Reply, new_guid, refuse, seconds_of, span_of, utc
from local_azure.world import World

USUAL_SPAN = "PT12H"
MOST_EVENTS = 500
MOST_SEGMENTS = 1000
AGGREGATIONS: dict[str, Callable[[list[Any]], float]] = {
    "sum": math.fsum,
    "avg": lambda values: math.fsum(values) / len(values),
    "min": min,
    "max": max,
    "count": len,
    "unique": lambda values: len(set(values)),
}


def handle(world: World, call: Call) -> Reply | None:
    """Answer a request to the API; `None` when the path is none of its own."""
    segments = call.segments
    if [part.lower() for part in segments[:2]] != ["v1", "apps"]:
        return None
    caller = authenticate(world, call, "insights", wrong_audience=403)
    match (call.method, [part.lower() for part in segments[3:4]], segments[4:]):
        case ("GET" | "POST", ["query"], []):
            query, timespan = logs.query_of(call)
            component = _component(world, caller, segments[2], "query")
            source = Telemetry(world, component, *logs.span(timespan, world.store.now()))
            return Reply(200, logs.answered(world, query, source))
        case ("GET", ["metrics"], ["metadata"]):
            _component(world, caller, segments[2], "metrics")
            return Reply(200, _metadata())
        case ("GET", ["metrics"], [_, *_]):
            component = _component(world, caller, segments[2], "metrics")
            return Reply(200, _metric(world, component, "/".join(segments[4:]), call.query))
        case ("POST", ["metrics"], []):
            return Reply(200, _metrics(world, _component(world, caller, segments[2], "metrics"), call))
        case ("GET", ["events"], [kind]) if kind != "$metadata":
            return Reply(200, _events(world, _component(world, caller, segments[2], "events"), kind, call))
        case ("GET", ["events"], [kind, item]):
            return Reply(200, _event(world, _component(world, caller, segments[2], "events"), kind, item, call))
    refuse(404, "PathNotFoundError", "The requested path does not exist")


def _component(world: World, caller: Caller, app_id: str, what: str) -> Doc:
    """The component with an application id, if the caller may read `what` of it."""
    found = components.find(world, app_id)
    action = f"{components.TYPE}/{what}/read"
    scope = parse_scope(found["id"] if found is not None else "/")
    # [?] What the API says of an unknown application id; a caller without any access must not learn the difference.
    if not permitted(world, caller, action, scope, at="insights"):
        logs.insufficient()
    if found is None:
        text = f"The application could not be found: {app_id[:100]}"
        refuse(404, "ApplicationNotFoundError", text, correlationId=new_guid())
    return found


def _not_here(what: str) -> NoReturn:
    logs.bad_argument(f"'{what}' is not supported by this local Azure.")


# Rows as events


PLACES: dict[str, tuple[str, str]] = {
    "OperationName": ("operation", "name"),
    "OperationId": ("operation", "id"),
    "ParentId": ("operation", "parentId"),
    "SyntheticSource": ("operation", "syntheticSource"),
    "SessionId": ("session", "id"),
    "UserId": ("user", "id"),
    "UserAuthenticatedId": ("user", "authenticatedId"),
    "UserAccountId": ("user", "accountId"),
    "AppVersion": ("application", "version"),
    "AppRoleName": ("cloud", "roleName"),
    "AppRoleInstance": ("cloud", "roleInstance"),
    **{
        f"Client{name}": ("client", name.lower() if name.isupper() else name[0].lower() + name[1:])
        for name in components.CLIENT
    },
    "ResourceGUID": ("ai", "appId"),
    "IKey": ("ai", "iKey"),
    "SDKVersion": ("ai", "sdkVersion"),
}
"""Where an event has the columns that every table has; its own are below the name of its kind."""


def _shaped(table: str, row: Row, component: Doc) -> Doc:
    """A row of a table `App…` as an event of the API."""
    kind = TABLES[table]
    event: Doc = {
        "id": row.get("_ItemId"),
        "count": row.get("ItemCount"),
        "type": kind.item,
        "timestamp": _wire(row["TimeGenerated"]),
        "customDimensions": row.get("Properties"),
        "customMeasurements": row.get("Measurements"),
    }
    for column, (group, name) in PLACES.items():
        event.setdefault(group, {})[name] = row.get(column)
    event["ai"]["appName"] = component["name"]
    event[kind.item] = components.classic_row(table, row, component["name"])
    event[kind.item] = {name: value for name, value in event[kind.item].items() if name in _own_names(table)}
    return event


def _own_names(table: str) -> set[str]:
    shared = {old for old, _ in SHARED.values()} | {"itemType", "appName"}
    return set(components.classic_columns(table)) - shared


def _wire(time: datetime) -> str:
    return utc(time.timestamp(), digits=3)


def _interval(query: Any, now: float) -> tuple[float, float]:
    """Start and end of what is asked for."""
    try:
        since, until = span_of(query.get("timespan") or USUAL_SPAN, now)
    except ValueError:
        logs.bad_argument(f"The timespan '{str(query.get('timespan'))[:80]}' is not an ISO 8601 duration or interval.")
    return since, now if until is None else until


def _filtered(text: str | None) -> Callable[[Doc], bool]:
    if not text:
        return lambda event: True
    try:
        return parse_filter(text).test
    except Refused as error:
        logs.bad_argument(f"The filter is not valid: {error.message}")


# Events


def _tables(kind: str) -> list[str]:
    if kind.lower() == "$all":
        return list(TABLES)
    found = [name for name, table in TABLES.items() if table.classic.lower() == kind.lower()]
    if not found:
        known = ", ".join(table.classic for table in TABLES.values())
        logs.bad_argument(f"The event type '{kind[:60]}' is not one of $all, {known}.")
    return found


def _all(world: World, component: Doc, kind: str, query: Any) -> Iterable[Doc]:
    span = _interval(query, world.store.now())
    source = Telemetry(world, component, *span)
    return (_shaped(table, row, component) for table in _tables(kind) for row in source.rows(table))


def _events(world: World, component: Doc, kind: str, call: Call) -> Doc:
    query = call.query
    for name in ("$apply", "$select"):
        if query.get(name):
            _not_here(name)
    test, words = _filtered(query.get("$filter")), (query.get("$search") or "").lower()
    found = [one for one in _all(world, component, kind, query) if test(one) and (not words or words in _text_in(one))]
    path, _, direction = (query.get("$orderby") or "timestamp desc").partition(" ")
    held = [one for one in found if read_path(one, path.split("/")) is not None]
    try:
        held.sort(key=lambda one: read_path(one, path.split("/")), reverse=direction.strip().lower() == "desc")
    except TypeError:
        logs.bad_argument(f"Events cannot be ordered by '{path[:60]}'.")
    top, skip = (_number(query, name, usual) for name, usual in (("$top", MOST_EVENTS), ("$skip", 0)))
    here = f"{world.url}/v1/apps/{call.segments[2]}/events/$metadata#{kind}"
    counted = {"@odata.count": len(held)} if (query.get("$count") or "").lower() == "true" else {}
    return {"@odata.context": here, "@ai.messages": [], **counted, "value": held[skip : skip + min(top, MOST_EVENTS)]}


def _event(world: World, component: Doc, kind: str, item: str, call: Call) -> Doc:
    found = next((one for one in _all(world, component, kind, call.query) if one["id"] == item), None)
    if found is None:
        refuse(404, "EventNotFoundError", f"The event could not be found: {item[:60]}")
    here = f"{world.url}/v1/apps/{call.segments[2]}/events/$metadata#{kind}/$entity"
    return {"@odata.context": here, "@ai.messages": [], "value": [found]}


def _text_in(value: Any) -> str:
    """Everything in an event that can be searched."""
    if isinstance(value, dict):
        return "\n".join(_text_in(one) for one in value.values())
    return str(value).lower()


def _number(query: Any, name: str, usual: int) -> int:
    text = query.get(name) or str(usual)
    if not text.isdecimal() or len(text) > 9:
        logs.bad_argument(f"'{name}' must be a whole number.")
    return int(text)


# Metrics


@dataclass(frozen=True, slots=True)
class _Standard:
    """A standard metric: of which table, which value of a row counts, and how values are put together unless asked otherwise."""

    table: str
    value: Callable[[Row], Any]
    usual: str
    offered: tuple[str, ...]


NUMBERS = ("avg", "sum", "min", "max", "count")


def _counted(table: str, where: Callable[[Row], bool] = lambda row: True) -> _Standard:
    return _Standard(table, lambda row: row.get("ItemCount") or 1 if where(row) else None, "sum", ("sum",))


def _measured(table: str, column: str) -> _Standard:
    return _Standard(table, lambda row: row.get(column), "avg", NUMBERS)


def _distinct(column: str) -> _Standard:
    return _Standard("AppRequests", lambda row: row.get(column), "unique", ("unique",))


METRICS: dict[str, _Standard] = {
    "requests/count": _counted("AppRequests"),
    "requests/duration": _measured("AppRequests", "DurationMs"),
    "requests/failed": _counted("AppRequests", lambda row: row.get("Success") is False),
    "dependencies/count": _counted("AppDependencies"),
    "dependencies/duration": _measured("AppDependencies", "DurationMs"),
    "dependencies/failed": _counted("AppDependencies", lambda row: row.get("Success") is False),
    "exceptions/count": _counted("AppExceptions"),
    "exceptions/server": _counted("AppExceptions", lambda row: row.get("ClientType") != "Browser"),
    "exceptions/browser": _counted("AppExceptions", lambda row: row.get("ClientType") == "Browser"),
    "pageViews/count": _counted("AppPageViews"),
    "pageViews/duration": _measured("AppPageViews", "DurationMs"),
    "customEvents/count": _counted("AppEvents"),
    "traces/count": _counted("AppTraces"),
    "users/count": _distinct("UserId"),
    "users/authenticated": _distinct("UserAuthenticatedId"),
    "sessions/count": _distinct("SessionId"),
    "availabilityResults/count": _counted("AppAvailabilityResults"),
    "availabilityResults/duration": _measured("AppAvailabilityResults", "DurationMs"),
    "availabilityResults/availabilityPercentage": _Standard(
        "AppAvailabilityResults", lambda row: 100.0 if row.get("Success") else 0.0, "avg", NUMBERS
    ),
    "performanceCounters/processCpuPercentage": _Standard(
        "AppPerformanceCounters",
        lambda row: row.get("Value") if str(row.get("Name")).startswith("% Processor Time") else None,
        "avg",
        NUMBERS,
    ),
}
"""Metric id → what it is. Those of `customMetrics/…` are by name; others of Azure's are not here."""


def _standard(metric: str) -> _Standard:
    group, _, name = metric.partition("/")
    if group == "customMetrics" and name:

        def value(row: Row) -> Any:
            total = row.get("Sum")
            return None if row.get("Name") != name or total is None else total / (row.get("ItemCount") or 1)

        return _Standard("AppMetrics", value, "avg", NUMBERS)
    if metric not in METRICS:
        logs.bad_argument(f"The metric '{metric[:100]}' is not one that this local Azure has: {', '.join(METRICS)}.")
    return METRICS[metric]


def _metric(world: World, component: Doc, metric: str, query: Any) -> Doc:
    """The answer to one metric: a value, or with `interval` or `segment` values for each."""
    standard, (since, until) = _standard(metric), _interval(query, world.store.now())
    aggregations = [one.strip() for one in (query.get("aggregation") or standard.usual).split(",")]
    wrong = [one for one in aggregations if one not in standard.offered]
    if wrong:
        offered = ", ".join(standard.offered)
        logs.bad_argument(f"The aggregation '{wrong[0][:40]}' is not one of the metric '{metric}': {offered}.")
    segments = [one.strip() for one in (query.get("segment") or "").split(",") if one.strip()]
    places = {f"{group}/{name}".lower() for group, name in PLACES.values()}
    own = {f"{TABLES[standard.table].item}/{name}".lower() for name in _own_names(standard.table)}
    for one in segments:
        if one.lower() not in places | own and not one.startswith("customDimensions/"):
            logs.bad_argument(f"The segment '{one[:60]}' is not one of the metric '{metric}'.")
    test = _filtered(query.get("filter"))
    points = []
    for row in Telemetry(world, component, since, until).rows(standard.table):
        value, event = standard.value(row), _shaped(standard.table, row, component)
        if value is not None and test(event):
            points.append((row["TimeGenerated"].timestamp(), event, value))
    body: Doc = {"start": utc(since, digits=3), "end": utc(until, digits=3)}

    def put(some: list[tuple[float, Doc, Any]], left: list[str]) -> Doc:
        """The values of some points, split by what is left to split by."""
        if not left:
            values = [value for _, _, value in some]
            return {metric: {one: AGGREGATIONS[one](values) if values else None for one in aggregations}}
        groups: dict[str, list[tuple[float, Doc, Any]]] = {}
        for point in some:
            groups.setdefault(str(read_path(point[1], left[0].split("/"), fold=True) or ""), []).append(point)
        return {"segments": [{**put(group, left[1:]), left[0]: name} for name, group in groups.items()][:top]}

    top = _number(query, "top", MOST_SEGMENTS)
    step = _step(query.get("interval"), until - since)
    if step is None:
        return {"value": body | put(points, segments)}
    parts = []
    for at in range(math.ceil((until - since) / step)):
        low, high = since + at * step, min(since + (at + 1) * step, until)
        here = [point for point in points if low <= point[0] < high or (point[0] == high == until)]
        parts.append({"start": utc(low, digits=3), "end": utc(high, digits=3)} | put(here, segments))
    return {"value": body | {"interval": query.get("interval"), "segments": parts}}


def _step(text: str | None, whole: float) -> float | None:
    if not text:
        return None
    try:
        step = seconds_of(text)
    except ValueError:
        logs.bad_argument(f"The interval '{text[:40]}' is not an ISO 8601 duration.")
    if step <= 0 or whole / step > MOST_SEGMENTS:
        logs.bad_argument(f"The interval '{text[:40]}' makes none or more than {MOST_SEGMENTS} parts of the time span.")
    return step


def _metrics(world: World, component: Doc, call: Call) -> list[Doc]:
    """``POST …/metrics``: several metrics, each answered by itself."""
    try:
        body = call.json()
    except ValueError:
        body = None
    if not isinstance(body, list) or len(body) > 50 or not all(isinstance(one, dict) for one in body):
        logs.bad_argument("The request body must be a list of at most 50 objects with 'id' and 'parameters'.")
    answers = []
    for one in body:
        parameters = one.get("parameters")
        try:
            if not isinstance(parameters, dict) or not isinstance(parameters.get("metricId"), str):
                logs.bad_argument("'parameters' must be an object with 'metricId'.")
            query = {
                name: ",".join(map(str, value)) if isinstance(value, list) else str(value)
                for name, value in parameters.items()
                if value is not None
            }
            answers.append(
                {"id": one.get("id"), "status": 200, "body": _metric(world, component, query["metricId"], query)}
            )
        except Refused as error:
            answers.append({"id": one.get("id"), "status": error.reply.status, "body": error.reply.body})
    return answers


def _metadata() -> Doc:
    """The metrics that there are, and what can be asked of each."""
    return {
        "metrics": {
            name: {
                "supportedAggregations": list(one.offered),
                "defaultAggregation": one.usual,
                "supportedGroupBy": {"all": sorted(f"{group}/{place}" for group, place in PLACES.values())},
            }
            for name, one in METRICS.items()
        },
        "dimensions": {f"{group}/{name}": {"displayName": f"{group} {name}"} for group, name in PLACES.values()},
    }
