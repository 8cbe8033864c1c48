"""`logs query`, `insights query|metrics|events` and `metrics send`: the calls of Azure Monitor, as an app."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import click

from entrant import outputs
from entrant.access import monitor
from entrant.commands import options, source
from entrant.errors import ConfigurationError, EntrantError, PartialResultError, RefusedError
from entrant.facts.clouds import Cloud
from entrant.facts.scopes import is_guid, parse_scope
from entrant.tokens import formats


@click.group()
def logs() -> None:
    """Log Analytics."""


@logs.command("query")
@source.app_and("QUERY")
@source.source
@click.option(
    "-w",
    "--workspace",
    "workspaces",
    multiple=True,
    metavar="ID",
    help="Workspace GUID or resource id, repeatable; without it, the one the app has a role on.",
)
@click.option("--timespan", metavar="ISO8601", help="Such as P1D, or start/end.")
@options.form("table", "json", "csv", default="table")
def logs_query(
    words: tuple[str, ...],
    stack: str | None,
    file: str | None,
    cwd: Path | None,
    workspaces: tuple[str, ...],
    timespan: str | None,
    form: str,
) -> None:
    """Run a KQL query as an app. A result that is not whole is printed as far as it goes, with exit code 4.

    \b
    python3 -m entrant logs query -s dev log-reader 'Heartbeat | take 5'
    python3 -m entrant logs query -s dev log-reader 'Heartbeat | count' --timespan P1D --format csv
    """
    app, query = words
    who = source.app(app, stack, file, cwd)
    where, *others = workspaces or [_only_grant(who, "Microsoft.OperationalInsights/workspaces", "--workspace")]
    credential, found = source.token(who, "logs")
    _show(
        lambda: monitor.query_logs(
            credential.cloud, found.access_token, where, query, timespan=timespan, others=others
        ),
        form,
    )


def _show(ask: Callable[[], monitor.Table], form: str) -> None:
    """Print the table of a query; of one that is not whole the rows that there are, and then the error."""
    try:
        table = ask()
    except PartialResultError as partial:
        click.echo(formats.table(partial.table.columns, partial.table.rows, form), nl=False)
        raise
    click.echo(formats.table(table.columns, table.rows, form), nl=False)


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
    _show(lambda: monitor.query_insights(cloud, bearer, app_id, query, timespan=timespan), form)


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
    asked = {name: options.pop(name) for name in ("timespan", "interval", "aggregation", "segment", "filter")}
    cloud, bearer, app_id = _insights(app, component, options)
    value = monitor.insights_metric(cloud, bearer, app_id, metric, **asked)
    if form == "json":
        click.echo(json.dumps(value))
        return
    rows = list(_rows(value, metric, {}))
    columns = list(dict.fromkeys(name for row in rows for name in row))
    click.echo(formats.table(columns, [[row.get(name) for name in columns] for row in rows], form), nl=False)


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
    asked = {name: options.pop(name) for name in ("timespan", "filter", "search", "orderby")}
    cloud, bearer, app_id = _insights(app, component, options)
    for event in monitor.insights_events(cloud, bearer, app_id, kind, top=str(top), **asked):
        click.echo(json.dumps(event))


def _insights(app: str | None, component: str | None, whose: Mapping[str, Any]) -> tuple[Cloud, str, str]:
    """The cloud, a token for Application Insights, and the application id of the component that is meant."""
    who = source.app(app, **whose)
    where = component or _only_grant(who, "Microsoft.Insights/components", "--component")
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


@click.group()
def metrics() -> None:
    """Azure Monitor custom metrics."""


class _WithNumbers(click.Command):
    """A command whose last argument may be a negative number, which would be taken for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put a negative number behind `--`."""
        numbers = [] if "--" in args else [arg for arg in args if arg.startswith("-") and _number(arg) is not None]
        if numbers:
            args = [*(arg for arg in args if arg not in numbers), "--", *numbers]
        return super().parse_args(ctx, args)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@metrics.command("send", cls=_WithNumbers)
@click.argument("words", nargs=-1, metavar="[APP] NAME VALUE", shell_complete=options.complete_apps)
@source.source
@click.option(
    "-f",
    "--from",
    "samples",
    type=click.File("rb"),
    help="Send the samples of a file of JSON lines, or - for standard input.",
)
@click.option("-r", "--resource", metavar="ID", help="The resource's id; without it, the one the app has a role on.")
@click.option("--namespace", help="The metric's namespace; entrant unless given.")
@click.option("-d", "--dimension", "dimensions", multiple=True, metavar="NAME=VALUE")
@click.option("--region", help="The resource's region, part of the address in Microsoft's clouds.")
def metrics_send(
    words: tuple[str, ...],
    samples: BinaryIO | None,
    resource: str | None,
    namespace: str | None,
    dimensions: tuple[str, ...],
    region: str | None,
    **whose: Any,
) -> None:
    """Send one value of a custom metric as an app; with --from many, a JSON object with name, value, dimensions, time a line.

    Everything is checked before anything is sent. Lines of one metric and second with the same dimensions are added up and go
    together; if a request fails, what was accepted before is named.

    \b
    python3 -m entrant metrics send -s dev metrics-writer queue_length 7 -d queue=mail --region westeurope
    measure | python3 -m entrant metrics send -s dev metrics-writer --from - --region westeurope
    """
    named = 0 if samples else 2
    if len(words) not in (named, named + 1):
        raise click.UsageError("takes [APP] NAME VALUE, or [APP] --from FILE")
    app = words[0] if len(words) > named else None
    if samples:
        if namespace is not None or dimensions:
            raise ConfigurationError(
                "--namespace and --dimension are of one value",
                next_step='with --from, write "namespace" and "dimensions" on each line',
            )
        if samples.name == "<stdin>" and whose["file"] == "-":
            raise ConfigurationError("standard input holds the samples", next_step="give the outputs another way")
        lines, requests = _read(samples)
    else:
        name, number = words[-2:]
        value = _number(number)
        if value is None:
            raise ConfigurationError(f'the value of a metric is a number, not "{number}"')
        sample = monitor.Sample(name, value, namespace or "entrant", _pairs(dimensions))
        lines, requests = [], monitor.metrics([sample])
    who = source.app(app, **whose)
    where = resource or _only_grant(who, None, "--resource")
    credential, found = source.token(who, "metrics")
    accepted = 0
    try:
        for request in requests:
            monitor.send_metrics(credential.cloud, found.access_token, where, [request.body], region=region)
            accepted += 1
    except EntrantError:
        if accepted:
            done, rest = (
                sorted(lines[index] for request in part for index in request.samples)
                for part in (requests[:accepted], requests[accepted:])
            )
            click.echo(f"accepted for {where}: lines {_ranges(done)}; not accepted: lines {_ranges(rest)}", err=True)
        raise
    values = f"{_count(len(lines), 'value')} in " if samples else ""
    options.remark(f"accepted: {values}{_count(accepted, 'request')} for {where}")


def _read(file: BinaryIO) -> tuple[list[int], list[monitor.MetricRequest]]:
    """The lines that hold samples, and the requests for these."""
    name = "standard input" if file.name == "<stdin>" else file.name
    try:
        found = monitor.read_samples(file.read().decode("utf-8-sig"))
        return list(found), monitor.metrics(found.values())
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name} is not UTF-8; nothing was sent") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: nothing was sent: {error}", next_step=error.next_step) from None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _ranges(numbers: list[int]) -> str:
    """
    >>> _ranges([1, 2, 3, 7])
    '1-3, 7'
    """
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, value = _pair(text)
        if name in pairs:
            raise ConfigurationError(f'the dimension "{name}" is given twice', next_step="give it once")
        pairs[name] = value
    return pairs


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ConfigurationError(f'"{text}" is not NAME=VALUE')
    return name, value


def _only_grant(app: outputs.App, resource_type: str | None, option: str) -> str:
    """The one resource (of a type) that the app has a role on."""
    scopes = {
        grant.scope.lower(): scope
        for grant in app.grants
        if (scope := parse_scope(grant.scope)).kind == "resource"
        and (resource_type is None or scope.resource_type.lower() == resource_type.lower())
    }
    if len(scopes) != 1:
        found = ", ".join(scope.id for scope in scopes.values()) or "none"
        raise ConfigurationError(
            f"{app.name} has roles on {len(scopes)} such resources ({found})", next_step=f"say which with {option}"
        )
    return next(iter(scopes.values())).id
