"""`entrant logs`: KQL queries as an app."""

from pathlib import Path

import click

from entrant.access import monitor
from entrant.commands import options, source
from entrant.commands.tables import only_grant, show_table


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
    where, *others = workspaces or [only_grant(who, "Microsoft.OperationalInsights/workspaces", "--workspace")]
    credential, found = source.token(who, "logs")
    show_table(
        lambda: monitor.query_logs(
            credential.cloud, found.access_token, where, query, timespan=timespan, others=others
        ),
        form,
    )
