"""What `logs`, `insights`, `metrics` share."""

from collections.abc import Callable

import click

from entrant import outputs, terminal
from entrant.access import monitor
from entrant.errors import ConfigurationError, PartialResultError
from entrant.facts.scopes import parse_scope
from entrant.tokens import formats
from entrant.words import counted


def show_table(ask: Callable[[], monitor.Table], form: str) -> None:
    """Print the table of a query; of one that is not whole the rows that there are, and then the error."""
    try:
        table = ask()
    except PartialResultError as partial:
        click.echo(formats.table(partial.table.columns, partial.table.rows, form), file=terminal.results(), nl=False)
        raise
    click.echo(formats.table(table.columns, table.rows, form), file=terminal.results(), nl=False)


def only_grant(app: outputs.App, resource_type: str | None, option: str) -> str:
    """The one resource (of a type) that the app has a role on."""
    scopes = {
        grant.scope.lower(): scope
        for grant in app.grants
        if (scope := parse_scope(grant.scope)).kind == "resource"
        and (resource_type is None or scope.resource_type.lower() == resource_type.lower())
    }
    if len(scopes) != 1:
        of_type = f" of type {resource_type}" if resource_type else ""
        found = ", ".join(scope.id for scope in scopes.values())
        raise ConfigurationError(
            f"{app.name} has roles on {counted(len(scopes), 'resource')}{of_type}: {found}"
            if scopes
            else f"{app.name} has no role on any single resource{of_type}",
            next_step=f"say which with {option}",
        )
    return next(iter(scopes.values())).id
