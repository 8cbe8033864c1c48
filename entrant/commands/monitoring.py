"""`logs query` and `metrics send`: the two calls of Azure Monitor, as an app."""

from pathlib import Path

import click

from entrant import formats, monitor, outputs
from entrant.commands import source
from entrant.errors import ConfigurationError
from facts.scopes import parse_scope


@click.group()
def logs() -> None:
    """Log Analytics."""


@logs.command("query")
@source.app_and("QUERY")
@source.source
@click.option(
    "-w", "--workspace", metavar="ID", help="Workspace GUID or resource id; without it, the one the app has a role on."
)
@click.option("--timespan", metavar="ISO8601", help="Such as P1D, or start/end.")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def logs_query(
    words: tuple[str, ...],
    stack: str | None,
    file: str | None,
    cwd: Path | None,
    workspace: str | None,
    timespan: str | None,
    form: str,
) -> None:
    """Run a KQL query as an app.

    \b
    python3 -m entrant logs query -s dev log-reader 'Heartbeat | take 5'
    """
    app, query = words
    who = source.app(app, stack, file, cwd)
    where = workspace or _only_grant(who, "Microsoft.OperationalInsights/workspaces", "--workspace")
    credential, found = source.token(who, "logs")
    table = monitor.query_logs(credential.cloud, found.access_token, where, query, timespan=timespan)
    click.echo(formats.table(table.columns, table.rows, form), nl=False)


@click.group()
def metrics() -> None:
    """Azure Monitor custom metrics."""


@metrics.command("send")
@source.app_and("NAME", "VALUE")
@source.source
@click.option("-r", "--resource", metavar="ID", help="The resource's id; without it, the one the app has a role on.")
@click.option("--namespace", default="entrant", show_default=True)
@click.option("-d", "--dimension", "dimensions", multiple=True, metavar="NAME=VALUE")
@click.option("--region", help="The resource's region, part of the address in Microsoft's clouds.")
def metrics_send(
    words: tuple[str, ...],
    stack: str | None,
    file: str | None,
    cwd: Path | None,
    resource: str | None,
    namespace: str,
    dimensions: tuple[str, ...],
    region: str | None,
) -> None:
    """Send one value of a custom metric as an app.

    \b
    python3 -m entrant metrics send -s dev metrics-writer queue_length 7 -d queue=mail --region westeurope
    """
    app, name, number = words
    try:
        value = float(number)
    except ValueError:
        raise ConfigurationError(f'the value of a metric is a number, not "{number}"') from None
    pairs = dict(_pair(text) for text in dimensions)
    who = source.app(app, stack, file, cwd)
    where = resource or _only_grant(who, None, "--resource")
    body = monitor.metric(name, value, namespace=namespace, dimensions=pairs)
    credential, found = source.token(who, "metrics")
    monitor.send_metrics(credential.cloud, found.access_token, where, [body], region=region)
    click.echo(f"accepted: {namespace}/{name} = {value:g} for {where}", err=True)


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
