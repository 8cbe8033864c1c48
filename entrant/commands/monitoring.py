"""`logs query` and `metrics send`: the two calls of Azure Monitor, as an app."""

from pathlib import Path
from typing import Any, TextIO

import click

from entrant import formats, monitor, outputs
from entrant.commands import source
from entrant.errors import ConfigurationError, PartialResultError
from facts.scopes import parse_scope


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
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
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
    try:
        table = monitor.query_logs(credential.cloud, found.access_token, where, query, timespan=timespan, others=others)
    except PartialResultError as partial:  # the rows that there are, and then the error
        click.echo(formats.table(partial.table.columns, partial.table.rows, form), nl=False)
        raise
    click.echo(formats.table(table.columns, table.rows, form), nl=False)


@click.group()
def metrics() -> None:
    """Azure Monitor custom metrics."""


@metrics.command("send")
@click.argument("words", nargs=-1, metavar="[APP] NAME VALUE")
@source.source
@click.option(
    "-f",
    "--from",
    "samples",
    type=click.File("r"),
    help="Send the samples of a file of JSON lines, or - for standard input.",
)
@click.option("-r", "--resource", metavar="ID", help="The resource's id; without it, the one the app has a role on.")
@click.option("--namespace", default="entrant", show_default=True)
@click.option("-d", "--dimension", "dimensions", multiple=True, metavar="NAME=VALUE")
@click.option("--region", help="The resource's region, part of the address in Microsoft's clouds.")
def metrics_send(
    words: tuple[str, ...],
    samples: TextIO | None,
    resource: str | None,
    namespace: str,
    dimensions: tuple[str, ...],
    region: str | None,
    **whose: Any,
) -> None:
    """Send one value of a custom metric as an app; with --from many, a JSON object with name, value, dimensions, time a line.

    \b
    python3 -m entrant metrics send -s dev metrics-writer queue_length 7 -d queue=mail --region westeurope
    measure | python3 -m entrant metrics send -s dev metrics-writer --from - --region westeurope
    """
    named = 0 if samples else 2
    if len(words) not in (named, named + 1):
        raise click.UsageError("takes [APP] NAME VALUE, or [APP] --from FILE")
    app = words[0] if len(words) > named else None
    if samples:
        bodies = monitor.metrics(monitor.read_samples(samples.read()))
    else:
        name, number = words[-2:]
        try:
            value = float(number)
        except ValueError:
            raise ConfigurationError(f'the value of a metric is a number, not "{number}"') from None
        pairs = dict(_pair(text) for text in dimensions)
        bodies = [monitor.metric(name, value, namespace=namespace, dimensions=pairs)]
    who = source.app(app, **whose)
    where = resource or _only_grant(who, None, "--resource")
    credential, found = source.token(who, "metrics")
    count = monitor.send_metrics(credential.cloud, found.access_token, where, bodies, region=region)
    click.echo(f"accepted: {count} request{'s' if count != 1 else ''} for {where}", err=True)


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
