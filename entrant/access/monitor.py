"""The calls of Azure Monitor that the tokens are for: query a Log Analytics workspace, read Application Insights, send a metric."""

import datetime as dt
import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import quote

from entrant import http
from entrant.errors import ConfigurationError, PartialResultError, RefusedError
from entrant.explain import error_text, next_step
from entrant.facts.clouds import Cloud
from entrant.facts.scopes import ScopeError, is_guid, parse_scope
from entrant.words import counted

OLDEST_METRIC = dt.timedelta(minutes=20)
AHEAD = dt.timedelta(minutes=5)
"""How old, and how far ahead, the time of a custom metric may be (custom metrics documentation)."""
_COMPONENTS_VERSION = "2020-02-02"
MOST_DIMENSIONS = 10
LONGEST_NAME = 255
"""Dimensions of a custom metric, and characters of its name, its namespace, a dimension's name and value, at most (custom metrics
documentation, "Quotas and limits")."""
MOST_SERIES = 500
"""Series in one request at most, so that no request grows with the file that it comes from."""
_MOST_FAULTS = 10


@dataclass(frozen=True, slots=True)
class Table:
    """The result of a query: column names, and rows of JSON values in that order."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def query_logs(
    cloud: Cloud, token: str, workspace: str, query: str, *, timespan: str | None = None, others: Sequence[str] = ()
) -> Table:
    """Run a KQL query.

    Args:
        workspace: the workspace's GUID (its customer id) or its resource id.
        others: further workspaces to query together with it, by GUID or resource id.
        timespan: an ISO 8601 duration or interval, such as `P1D`; without it the query alone decides.

    Raises:
        ConfigurationError: `workspace` is neither.
        RefusedError: the API's own codes and messages; 403 InsufficientAccessError when no role allows it (yet).
        PartialResultError: the result is not whole; it carries the rows that there are.
    """
    path = f"/workspaces/{workspace}" if is_guid(workspace) else _resource_id(workspace, "a workspace GUID")
    body = (
        {"query": query}
        | ({"timespan": timespan} if timespan else {})
        | ({"workspaces": list(others)} if others else {})
    )
    url = http.address(f"{cloud.logs}/v1", f"{path}/query")
    return _table(cloud.logs, http.call("POST", url, token=token, json=body, repeat=True))


def _resource_id(text: str, otherwise: str) -> str:
    """A text that is a resource id, where it is not the other thing that it may be."""
    try:
        scope = parse_scope(text)
    except ScopeError as error:
        step = str(error) if text.startswith("/") else None
        raise ConfigurationError(f'"{text}" is neither {otherwise} nor a resource id', next_step=step) from None
    if scope.kind == "root":
        raise ConfigurationError(f'"{text}" is neither {otherwise} nor a resource id')
    return scope.id


def _table(api: str, answer: Mapping[str, Any]) -> Table:
    """The table of an answer.

    Raises:
        RefusedError: there is none, or only a part of it.
    """
    try:
        table = answer["tables"][0]
        columns = tuple(column["name"] for column in table["columns"])
        result = Table(columns, tuple(tuple(row) for row in table["rows"]))
    except (KeyError, IndexError, TypeError) as error:
        raise RefusedError(f"{api} answered without a table", status=200) from error
    if answer.get("error"):
        code, message = error_text(answer)
        step = next_step(json.dumps(answer["error"]))
        raise PartialResultError(
            f"the query gave only a part of its result: {message}", result, code=code, next_step=step
        )
    return result


# -------------------------------------------------------------------------------------------------- Application Insights


def component_id(text: str) -> str:
    """The resource id of a component of Application Insights.

    Raises:
        ConfigurationError: the text is none.
    """
    component = _resource_id(text, "an application id (AppId, a GUID)")
    found = parse_scope(component).resource_type
    if found.lower() != "microsoft.insights/components":
        raise ConfigurationError(
            f"{component} is no component of Application Insights, but of the type {found}",
            next_step="name one by its application id or by its resource id, …/providers/Microsoft.Insights/components/NAME",
        )
    return component


def application_id(cloud: Cloud, token: str, component: str) -> str:
    """The application id (`AppId`) of an Application Insights component, which the API of Application Insights goes by.

    Args:
        token: one for Resource Manager (`arm`).
        component: its resource id.

    Raises:
        ConfigurationError: `component` is none.
        RefusedError: it is not there, or the token's app has no role that reads it.
    """
    url = http.address(cloud.resource_manager, component_id(component))
    found = http.get_json(url, token=token, params={"api-version": _COMPONENTS_VERSION})
    try:
        return str(found["properties"]["AppId"])
    except (KeyError, TypeError) as error:
        raise RefusedError(f"{component} has no application id", status=200) from error


def query_insights(cloud: Cloud, token: str, app_id: str, query: str, *, timespan: str | None = None) -> Table:
    """Run a KQL query of one Application Insights component; tables have their classic names there (`requests`, `traces`, …).

    Args:
        token: one for `insights`.
        app_id: the component's application id; see `application_id`.
        timespan: an ISO 8601 duration or interval, such as `P1D`; without it the query alone decides.

    Raises:
        RefusedError: the API's own code and message; 403 InsufficientAccessError when no role allows it (yet: up to an hour).
    """
    body = {"query": query} | ({"timespan": timespan} if timespan else {})
    url = f"{cloud.insights}/v1/apps/{_guid(app_id)}/query"
    return _table(cloud.insights, http.call("POST", url, token=token, json=body, repeat=True))


def insights_metric(cloud: Cloud, token: str, app_id: str, metric: str, **parameters: str | None) -> dict[str, Any]:
    """The value of a metric of Application Insights, such as `requests/count` or `customMetrics/queue_length`.

    Args:
        parameters: `timespan` (PT12H unless given), `interval`, `aggregation`, `segment`, `top`, `orderby` and `filter`, as the
            API has them; those that are None are left out.

    Returns:
        `start`, `end` and `{metric: {aggregation: number}}`; with an `interval` or a `segment` a list of `segments` like that.

    Raises:
        RefusedError: the API's own code and message.
    """
    if not re.fullmatch(r"[\w.$/% -]+", metric):
        raise ConfigurationError(f'"{metric}" is no metric of Application Insights', next_step="such as requests/count")
    query = {name: value for name, value in parameters.items() if value is not None}
    url = f"{cloud.insights}/v1/apps/{_guid(app_id)}/metrics/{quote(metric)}"
    value: dict[str, Any] = http.get_json(url, token=token, params=query)["value"]
    return value


def insights_events(
    cloud: Cloud, token: str, app_id: str, kind: str, *, timespan: str | None = None, **options: str | None
) -> list[dict[str, Any]]:
    """Events of an Application Insights component, newest first.

    Args:
        kind: `requests`, `traces`, `exceptions`, `dependencies`, `customEvents`, … or `$all`.
        options: OData's `filter`, `search`, `orderby`, `select`, `top`, `skip`; those that are None are left out.

    Raises:
        RefusedError: the API's own code and message.
    """
    if not re.fullmatch(r"\$?\w+", kind):
        raise ConfigurationError(f'"{kind}" is no type of event', next_step="such as requests, traces or $all")
    query = {f"${name}": value for name, value in options.items() if value is not None}
    url = f"{cloud.insights}/v1/apps/{_guid(app_id)}/events/{kind}"
    found: list[dict[str, Any]] = http.get_json(
        url, token=token, params=query | ({"timespan": timespan} if timespan else {})
    )["value"]
    return found


def _guid(app_id: str) -> str:
    if not is_guid(app_id):
        raise ConfigurationError(
            f'"{app_id}" is no application id', next_step="it is a GUID: the property AppId of the component"
        )
    return app_id


# -------------------------------------------------------------------------------------------------------- custom metrics


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a custom metric. `time` is when it was measured, with its zone; now unless given."""

    name: str
    value: float
    namespace: str = "entrant"
    dimensions: Mapping[str, str] = field(default_factory=dict)
    time: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class MetricRequest:
    """The body of one request, and which of the samples given are in it, counted from 0."""

    body: dict[str, Any]
    samples: tuple[int, ...]


def read_samples(text: str) -> dict[int, Sample]:
    """Samples from JSON lines, by the number of their line: `{"name": …, "value": …}` with `namespace`, `dimensions` and `time`
    (RFC 3339, with its zone) as wanted. Empty lines are passed over.

    Raises:
        ConfigurationError: with the numbers of the lines that are wrong, and why; or there is no sample.
    """
    samples: dict[int, Sample] = {}
    faults: list[tuple[int, ConfigurationError]] = []
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: JSON may hold other line separators
        if not line.strip():
            continue
        try:
            sample = _sample(line)
            metrics([sample])
        except ConfigurationError as error:
            faults.append((number, error))
        else:
            samples[number] = sample
    if faults:
        raise _of_lines(faults)
    if not samples:
        raise ConfigurationError("there is no sample", next_step=_EXAMPLE)
    return samples


_EXAMPLE = 'write one a line, such as {"name": "queue", "value": 7, "dimensions": {"q": "mail"}, "time": "2026-11-24T08:00:00Z"}'


def _of_lines(faults: Sequence[tuple[int, ConfigurationError]]) -> ConfigurationError:
    """One error for all lines: one remedy where it is the same for all, else each line with its own."""
    shown = faults[:_MOST_FAULTS]
    remedies = {error.next_step for _, error in faults}
    one = len(remedies) == 1
    lines = [
        f"line {number}: {error}{'' if one or not error.next_step else f'; {error.next_step}'}"
        for number, error in shown
    ]
    if more := len(faults) - len(shown):
        lines.append(f"and {counted(more, 'more line')} {'is' if more == 1 else 'are'} wrong")
    return ConfigurationError("\n".join(lines), next_step=remedies.pop() if one else "correct these lines")


_KEYS = tuple(each.name for each in fields(Sample))


def _sample(line: str) -> Sample:
    try:
        parsed = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise ConfigurationError("not a sample: it is not JSON", next_step=_EXAMPLE) from None
    if not isinstance(parsed, dict):
        kind = "a list" if isinstance(parsed, list) else "a single value"
        raise ConfigurationError(f"not a sample: it is {kind}, and a sample is an object", next_step=_EXAMPLE)
    for key in parsed:
        if key not in _KEYS:
            shown = json.dumps(key[:40], ensure_ascii=False)
            meant = difflib.get_close_matches(key.lower(), _KEYS, 1, 0.6)
            known = f"did you mean {json.dumps(meant[0])}?" if meant else f"a sample has {', '.join(_KEYS)}"
            raise ConfigurationError(f"not a sample: {shown} is no key of one", next_step=known)
    for key in ("name", "value"):
        if key not in parsed:
            raise ConfigurationError(f'not a sample: "{key}" is missing', next_step=_EXAMPLE)
    if "time" in parsed:
        try:
            parsed["time"] = dt.datetime.fromisoformat(parsed["time"])
        except (ValueError, TypeError):
            shown = json.dumps(parsed["time"], ensure_ascii=False)[:60]
            step = "write it so: 2026-11-24T08:00:00Z"
            raise ConfigurationError(f"the time {shown} cannot be read", next_step=step) from None
    return Sample(**parsed)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, of which `json` would keep the last of several equal names."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigurationError(f'"{twice}" is given twice', next_step="give it once")
    return found


def metric(name: str, value: float, **more: Any) -> dict[str, Any]:
    """The request body for one sample; `more` as in `Sample`."""
    return metrics([Sample(name, value, **more)])[0].body


def metrics(samples: Iterable[Sample]) -> list[MetricRequest]:
    """The requests for samples, as Azure Monitor wants them: those of one metric and second with the same dimensions together.

    Samples with equal dimension values are added up (minimum, maximum, sum, count). No request has more than `MOST_SERIES` series.

    Raises:
        ConfigurationError: a sample that Azure Monitor would refuse: no name, no number, dimensions that are no text or too many,
            a time without a zone, too old or too far ahead.
    """
    now = dt.datetime.now(dt.UTC)
    groups: dict[tuple[str, ...], dict[tuple[str, ...], list[int]]] = {}
    wanted = list(samples)
    for index, sample in enumerate(wanted):
        moment = _checked(sample, now)
        key = (f"{moment:%Y-%m-%dT%H:%M:%SZ}", sample.name, sample.namespace, *sample.dimensions)
        groups.setdefault(key, {}).setdefault(tuple(sample.dimensions.values()), []).append(index)
    requests = []
    for (time, name, namespace, *names), series in groups.items():
        every = list(series.items())
        for first in range(0, len(every), MOST_SERIES):
            part = every[first : first + MOST_SERIES]
            base = {
                "metric": name,
                "namespace": namespace,
                "dimNames": names,
                "series": [_series(values, [wanted[index].value for index in members]) for values, members in part],
            }
            body = {"time": time, "data": {"baseData": base}}
            requests.append(MetricRequest(body, tuple(sorted(index for _, members in part for index in members))))
    return requests


def _series(dimensions: tuple[str, ...], values: list[float]) -> dict[str, Any]:
    total = math.fsum(values) if any(isinstance(value, float) for value in values) else sum(values)
    return {
        "dimValues": list(dimensions),
        "min": min(values),
        "max": max(values),
        "sum": total,
        "count": len(values),
    }


def _checked(sample: Sample, now: dt.datetime) -> dt.datetime:
    """When the sample was measured, UTC; an error if Azure Monitor would not take it as it is meant."""
    for word, what in (("name", sample.name), ("namespace", sample.namespace)):
        if not isinstance(what, str) or not what.strip():
            raise ConfigurationError("a metric needs a name and a namespace")
        if len(what) > LONGEST_NAME:
            raise ConfigurationError(
                f"the {word} of a metric has at most {LONGEST_NAME} characters, and {what[:40]}… more"
            )
    name = sample.name
    number = isinstance(sample.value, int | float) and not isinstance(sample.value, bool)
    if not number or not abs(sample.value) <= _LARGEST:
        raise ConfigurationError(f"the value of {name} is not a number")
    _check_dimensions(name, sample.dimensions)
    moment = sample.time or now
    if moment.tzinfo is None:
        raise ConfigurationError(
            f"the time of {name}, {moment:%Y-%m-%dT%H:%M:%S}, has no zone",
            next_step="end it with Z for UTC, or with an offset such as +01:00",
        )
    moment = moment.astimezone(dt.UTC)
    if not -AHEAD <= now - moment <= OLDEST_METRIC:
        raise ConfigurationError(
            f"{name} was measured at {moment:%Y-%m-%dT%H:%M:%SZ}; custom metrics are taken up to "
            f"{OLDEST_METRIC.seconds // 60} minutes old and {AHEAD.seconds // 60} ahead",
            next_step="send it sooner; check this machine's clock",
        )
    return moment


_LARGEST = 1e300
"""A value larger than this is taken for an error; sums of values stay finite."""


def _check_dimensions(metric: str, dimensions: Any) -> None:
    if not isinstance(dimensions, Mapping):
        raise ConfigurationError(f"the dimensions of {metric} are not names with values", next_step=_EXAMPLE)
    if len(dimensions) > MOST_DIMENSIONS:
        raise ConfigurationError(
            f"{metric} has {len(dimensions)} dimensions; custom metrics have at most {MOST_DIMENSIONS}",
            next_step="leave some out",
        )
    for name, value in dimensions.items():
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(f"a dimension of {metric} has no name")
        if not isinstance(value, str):
            shown = json.dumps(value, default=str)[:80]
            raise ConfigurationError(
                f"the dimension {name[:40]} of {metric} is {shown}, and a dimension's value is text",
                next_step="write it in quotation marks",
            )
        if max(len(name), len(value)) > LONGEST_NAME:
            raise ConfigurationError(
                f"the dimension {name[:40]} of {metric} is too long: its name and its value have at most {LONGEST_NAME} characters"
            )
    if len({name.casefold() for name in dimensions}) < len(dimensions):
        raise ConfigurationError(
            f"{metric} has a dimension twice, apart from upper and lower case", next_step="name it once"
        )


def send_metrics(
    cloud: Cloud, token: str, resource: str, bodies: Sequence[Mapping[str, Any]], *, region: str | None = None
) -> int:
    """Send custom metrics for a resource, one request for each body; how many were accepted.

    Args:
        resource: the resource's id; subscriptions and resource groups take no custom metrics.
        region: the resource's region, such as `westeurope`; it is part of the address in Microsoft's clouds.

    Raises:
        RefusedError: at the first that is not accepted.
        ConfigurationError: a region is needed and not given, or `resource` is no resource.
    """
    try:
        kind = parse_scope(resource).kind
    except ScopeError as error:
        raise ConfigurationError(f"{resource} is no resource id: {error}") from None
    if kind != "resource":
        raise ConfigurationError(
            f"{resource} takes no custom metrics", next_step="name a resource: only those do, such as a virtual machine"
        )
    address = cloud.metrics
    if "{region}" in address:
        if not region or not re.fullmatch(r"[a-z0-9]+", region):
            raise ConfigurationError(
                "custom metrics go to the resource's region", next_step="give it, such as --region westeurope"
            )
        address = address.replace("{region}", region)
    for body in bodies:
        http.call("POST", http.address(address, f"{resource}/metrics"), token=token, json=body)
    return len(bodies)
