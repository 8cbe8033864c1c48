"""The two calls of Azure Monitor that the tokens are for: query a Log Analytics workspace, send a custom metric."""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from entrant import http
from entrant.errors import ConfigurationError, RefusedError
from facts.clouds import Cloud
from facts.scopes import is_guid

OLDEST_METRIC = dt.timedelta(minutes=20)
"""How old a custom metric's time may be, and 5 minutes ahead at most (custom metrics documentation)."""


@dataclass(frozen=True, slots=True)
class Table:
    """The result of a query: column names, and rows of JSON values in that order."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def query_logs(cloud: Cloud, token: str, workspace: str, query: str, *, timespan: str | None = None) -> Table:
    """Run a KQL query.

    Args:
        workspace: the workspace's GUID (its customer id) or its resource id.
        timespan: an ISO 8601 duration or interval, such as `P1D`; without it the query alone decides.

    Raises:
        RefusedError: the API's own code and message; 403 InsufficientAccessError when no role allows it (yet).
    """
    path = f"/workspaces/{workspace}" if is_guid(workspace) else workspace
    if not path.startswith("/"):
        raise ConfigurationError(f'"{workspace}" is neither a workspace GUID nor a resource id')
    body = {"query": query} | ({"timespan": timespan} if timespan else {})
    answer = http.call("POST", f"{cloud.logs}/v1{path}/query", token=token, json=body)
    try:
        table = answer["tables"][0]
        columns = tuple(column["name"] for column in table["columns"])
        result = Table(columns, tuple(tuple(row) for row in table["rows"]))
    except (KeyError, IndexError, TypeError) as error:
        raise RefusedError(f"{cloud.logs} answered without a table", status=200) from error
    if "error" in answer:
        problem = answer["error"]
        raise RefusedError(
            f"the query gave only a part of its result: {problem.get('message')}", status=200, code=problem.get("code")
        )
    return result


def metric(
    name: str,
    value: float,
    *,
    namespace: str = "entrant",
    dimensions: Mapping[str, str] | None = None,
    time: dt.datetime | None = None,
) -> dict[str, Any]:
    """The body for one value of a custom metric, as Azure Monitor wants it; `time` is now unless given."""
    given = dimensions or {}
    moment = (time or dt.datetime.now(dt.UTC)).astimezone(dt.UTC)
    if not name or not namespace:
        raise ConfigurationError("a metric needs a name and a namespace")
    series = {"dimValues": list(given.values()), "min": value, "max": value, "sum": value, "count": 1}
    base = {"metric": name, "namespace": namespace, "dimNames": list(given), "series": [series]}
    return {"time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"), "data": {"baseData": base}}


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
