"""`entrant insights`: Application Insights, read as an app."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from entrant import terminal
from entrant.access import monitor
from entrant.commands import options, source
from entrant.commands.tables import only_grant, show_table
from entrant.errors import RefusedError
from entrant.facts.clouds import Cloud
from entrant.facts.scopes import is_guid
from entrant.tokens import formats


@click.group()
def insights() -> None:
    """Application Insights."""


_component = click.option(
    "--component",
    metavar="ID",
    help="Application id (AppId) or resource id of the component; without it, the one the app has a role on.",
)


_timespan = click.option("--timespan", metavar="ISO8601", help="Such as P1D, or start/end.")


@insights.command("query")
@source.app_and("QUERY")
@source.source
@_component
@_timespan
@options.form("table", "json", "csv", default="table")
def insights_query(
    words: tuple[str, ...], component: str | None, timespan: str | None, form: str, **whose: Any
) -> None:
    """Run a KQL query of an Application Insights component as an app. What is not whole is printed as by `logs query`.

    \b
    python3 -m entrant insights query -s dev log-reader 'requests | summarize count() by resultCode'
    python3 -m entrant insights query -s dev log-reader 'exceptions | take 5' --timespan P1D --format json
    """
    app, query = words
    cloud, bearer, app_id = _insights(app, component, whose)
    show_table(lambda: monitor.query_insights(cloud, bearer, app_id, query, timespan=timespan), form)


@insights.command("metrics")
@source.app_and("METRIC")
@source.source
@_component
@_timespan
@click.option("--interval", metavar="ISO8601", help="A value for each part of the time span, such as PT1H.")
@click.option("--aggregation", metavar="NAMES", help="avg, sum, min, max, count or unique, several with commas.")
@click.option("--segment", metavar="NAMES", help="A value for each of these, such as request/resultCode.")
@click.option("--filter", metavar="ODATA", help="Only of these, such as \"cloud/roleName eq 'shop'\".")
@options.form("table", "json", "csv", default="table")
def insights_metrics(words: tuple[str, ...], component: str | None, form: str, **options: Any) -> None:
    """Print a metric of an Application Insights component: requests/count, requests/duration, customMetrics/NAME, …

    JSON is what the API answers: start, end, and the value by the metric's name.

    \b
    python3 -m entrant insights metrics -s dev log-reader requests/count
    python3 -m entrant insights metrics -s dev log-reader requests/duration --timespan P1D --interval PT1H
    """
    app, metric = words
    query = {name: options.pop(name) for name in ("timespan", "interval", "aggregation", "segment", "filter")}
    cloud, bearer, app_id = _insights(app, component, options)
    value = monitor.insights_metric(cloud, bearer, app_id, metric, **query)
    if form == "json":
        click.echo(json.dumps(value), file=terminal.results())
        return
    rows = list(_rows(value, metric, {}))
    columns = list(dict.fromkeys(name for row in rows for name in row))
    click.echo(
        formats.table(columns, [[row.get(name) for name in columns] for row in rows], form),
        file=terminal.results(),
        nl=False,
    )


def _rows(value: Mapping[str, Any], metric: str, outer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The values of a metric as rows: when, which segment, and a column for each aggregation."""
    here = {**outer, **{name: part for name, part in value.items() if name not in (metric, "segments", "interval")}}
    for part in value.get("segments", ()):
        yield from _rows(part, metric, here)
    if metric in value:
        yield {**here, **value[metric]}


@insights.command("events")
@source.app_and("TYPE")
@source.source
@_component
@_timespan
@click.option("--filter", metavar="ODATA", help="Such as \"request/resultCode eq '500'\".")
@click.option("--search", metavar="TEXT", help="Only events with this text anywhere.")
@click.option("--orderby", metavar="PATH", help="Such as 'request/duration desc'; the newest first unless given.")
@click.option("--top", type=click.IntRange(1, 500), default=100, show_default=True, help="So many at most.")
def insights_events(words: tuple[str, ...], component: str | None, top: int, **options: Any) -> None:
    """Print events of an Application Insights component, a JSON object a line: requests, traces, exceptions, …, or $all.

    \b
    python3 -m entrant insights events -s dev log-reader exceptions --timespan P1D
    python3 -m entrant insights events -s dev log-reader requests --filter "request/resultCode eq '500'" --top 5
    """
    app, kind = words
    query = {name: options.pop(name) for name in ("timespan", "filter", "search", "orderby")}
    cloud, bearer, app_id = _insights(app, component, options)
    for event in monitor.insights_events(cloud, bearer, app_id, kind, top=str(top), **query):
        click.echo(json.dumps(event), file=terminal.results())


def _insights(app: str | None, component: str | None, whose: Mapping[str, Any]) -> tuple[Cloud, str, str]:
    """The cloud, a token for Application Insights, and the application id of the component that is meant."""
    who = source.app(app, **whose)
    where = component or only_grant(who, "Microsoft.Insights/components", "--component")
    if not is_guid(where):
        where = monitor.component_id(where)
    credential, found = source.token(who, "insights")
    if is_guid(where):
        return credential.cloud, found.access_token, where
    try:
        known = monitor.application_id(credential.cloud, source.token(who, "arm")[1].access_token, where)
    except RefusedError as error:
        remedy = (
            "a new role takes minutes; or name the component by its application id: --component GUID (property AppId)"
        )
        raise RefusedError(str(error), status=error.status, code=error.code, next_step=remedy) from None
    return credential.cloud, found.access_token, known
