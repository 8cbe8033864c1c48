"""The two calls of Azure Monitor that the tokens are for: query a Log Analytics workspace, send a custom metric."""

import datetime as dt
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from entrant import http
from entrant.errors import ConfigurationError, PartialResultError, RefusedError
from entrant.explain import next_step, told
from facts.clouds import Cloud
from facts.scopes import is_guid

OLDEST_METRIC = dt.timedelta(minutes=20)
AHEAD = dt.timedelta(minutes=5)
"""How old, and how far ahead, the time of a custom metric may be (custom metrics documentation)."""


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
        RefusedError: the API's own codes and messages; 403 InsufficientAccessError when no role allows it (yet).
        PartialResultError: the result is not whole; it carries the rows that there are.
    """
    path = f"/workspaces/{workspace}" if is_guid(workspace) else workspace
    if not path.startswith("/"):
        raise ConfigurationError(f'"{workspace}" is neither a workspace GUID nor a resource id')
    body = (
        {"query": query}
        | ({"timespan": timespan} if timespan else {})
        | ({"workspaces": list(others)} if others else {})
    )
    answer = http.call("POST", f"{cloud.logs}/v1{path}/query", token=token, json=body, repeat=True)
    try:
        table = answer["tables"][0]
        columns = tuple(column["name"] for column in table["columns"])
        result = Table(columns, tuple(tuple(row) for row in table["rows"]))
    except (KeyError, IndexError, TypeError) as error:
        raise RefusedError(f"{cloud.logs} answered without a table", status=200) from error
    if answer.get("error"):
        code, said = told(answer)
        step = next_step(json.dumps(answer["error"]))
        raise PartialResultError(f"the query gave only a part of its result: {said}", result, code=code, next_step=step)
    return result


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a custom metric. `time` is when it was measured; now unless given."""

    name: str
    value: float
    namespace: str = "entrant"
    dimensions: Mapping[str, str] = field(default_factory=dict)
    time: dt.datetime | None = None


def read_samples(text: str) -> list[Sample]:
    """Samples from JSON lines: `{"name": …, "value": …}` with `namespace`, `dimensions` and `time` (RFC 3339) as wanted.

    Raises:
        ConfigurationError: with the number of the line that is wrong, and why.
    """
    samples: list[Sample] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            given = json.loads(line)
            if "time" in given:
                given["time"] = dt.datetime.fromisoformat(str(given["time"]).replace("Z", "+00:00"))
            sample = Sample(**given)
            metrics([sample])
        except ConfigurationError as error:
            raise ConfigurationError(f"line {number}: {error}", next_step=error.next_step) from None
        except (ValueError, TypeError, AttributeError):
            raise ConfigurationError(
                f"line {number} is not a sample",
                next_step='write {"name": "queue", "value": 7, "dimensions": {"q": "mail"}, "time": "2026-11-24T08:00:00Z"}',
            ) from None
    return samples


def metric(name: str, value: float, **more: Any) -> dict[str, Any]:
    """The request for one sample; `more` as in `Sample`."""
    return metrics([Sample(name, value, **more)])[0]


def metrics(samples: Iterable[Sample]) -> list[dict[str, Any]]:
    """The requests for samples, as Azure Monitor wants them: those of one metric and second with the same dimensions together.

    Samples with equal dimension values are added up (minimum, maximum, sum, count).

    Raises:
        ConfigurationError: a sample that Azure Monitor would refuse: no name, no number, too old or too far ahead.
    """
    now = dt.datetime.now(dt.UTC)
    groups: dict[tuple[str, ...], dict[tuple[str, ...], list[float]]] = {}
    for sample in samples:
        moment = (sample.time or now).astimezone(dt.UTC)
        if not (
            isinstance(sample.name, str) and sample.name and isinstance(sample.namespace, str) and sample.namespace
        ):
            raise ConfigurationError("a metric needs a name and a namespace")
        number = isinstance(sample.value, int | float) and not isinstance(sample.value, bool)
        if not (number and math.isfinite(sample.value)):
            raise ConfigurationError(f"the value of {sample.name} is not a number")
        if not -AHEAD <= now - moment <= OLDEST_METRIC:
            raise ConfigurationError(
                f"{sample.name} was measured at {moment:%Y-%m-%dT%H:%M:%SZ}; custom metrics are taken up to "
                f"{OLDEST_METRIC.seconds // 60} minutes old and {AHEAD.seconds // 60} ahead",
                next_step="send it sooner; check this machine's clock",
            )
        key = (f"{moment:%Y-%m-%dT%H:%M:%SZ}", sample.name, sample.namespace, *sample.dimensions)
        groups.setdefault(key, {}).setdefault(tuple(sample.dimensions.values()), []).append(sample.value)
    return [
        {
            "time": time,
            "data": {
                "baseData": {
                    "metric": name,
                    "namespace": namespace,
                    "dimNames": names,
                    "series": [
                        {
                            "dimValues": list(values),
                            "min": min(all_),
                            "max": max(all_),
                            "sum": sum(all_),
                            "count": len(all_),
                        }
                        for values, all_ in series.items()
                    ],
                }
            },
        }
        for (time, name, namespace, *names), series in groups.items()
    ]


def send_metrics(
    cloud: Cloud, token: str, resource: str, bodies: Sequence[Mapping[str, Any]], *, region: str | None = None
) -> int:
    """Send custom metrics for a resource, one request for each body; how many were accepted.

    Args:
        resource: the resource's id; subscriptions and resource groups take no custom metrics.
        region: the resource's region, such as `westeurope`; it is part of the address in Microsoft's clouds.

    Raises:
        RefusedError: at the first that is not accepted.
        ConfigurationError: a region is needed and not given.
    """
    address = cloud.metrics
    if "{region}" in address:
        if not region or not re.fullmatch(r"[a-z0-9]+", region):
            raise ConfigurationError(
                "custom metrics go to the resource's region", next_step="give it, such as --region westeurope"
            )
        address = address.replace("{region}", region)
    for body in bodies:
        http.call("POST", f"{address}{resource}/metrics", token=token, json=body)
    return len(bodies)
