"""`entrant deliver`: client secrets and certificates, to the places that use them."""

import json
import os
from pathlib import Path

import click

from entrant import config, engine, project
from entrant.commands import options
from entrant.delivery import deliver as delivery
from entrant.errors import ConfigurationError
from entrant.tokens import clouds

MISSING = 7
"""Exit code of `--check` when a place does not hold the newest."""
MARKS = {"held": "✓", "delivered": "✓", "missing": "!", "failed": "✗"}


@click.command()
@click.argument("apps", nargs=-1, shell_complete=options.complete_apps)
@options.stack
@options.cwd
@click.option("--check", is_flag=True, help="Only say what each place holds; exit code 7 if one lacks the newest.")
@options.patience
@options.form("text", "json", default="text")
def deliver(apps: tuple[str, ...], stack: str, cwd: Path | None, check: bool, patience: float, form: str) -> int:
    """Deliver the newest client secret and certificates of each app to the places under `deliver` in its file, after an `up`.

    A place that holds it already is left alone: beside it the place keeps the id of the key, which is compared. Nothing goes
    anywhere before it has proved itself by tokens. Each place is tried, and what failed is said; the exit code is then that of the
    first failure. Each place's own tools say who signs in: GH_TOKEN, AZURE_DEVOPS_EXT_PAT, GITLAB_TOKEN, kubectl.

    \b
    pulumi up -s dev && python3 -m entrant deliver -s dev
    python3 -m entrant deliver -s dev log-reader --check
    """
    root = project.find(cwd)
    environment = declared(stack, cwd)
    for app in apps:
        if app not in environment.apps:
            raise ConfigurationError(
                f"{stack} declares no app {app}", next_step=f"name one of: {', '.join(environment.apps)}"
            )
        if not environment.apps[app].deliveries:
            click.echo(
                f"! {app}: there is no `deliver` under its `secret` or a certificate, so nothing is delivered", err=True
            )
    outputs = engine.stack_outputs(stack, cwd=cwd)

    def tell(result: delivery.Result) -> None:
        if form == "text":
            show(result)

    results = delivery.deliver(
        outputs,
        environment,
        clouds.resolve(outputs.cloud, os.environ),
        root,
        check=check,
        apps=apps or None,
        patience=patience,
        tell=tell,
    )
    if form == "json":
        click.echo(json.dumps(records(results), indent=2))
    elif not results and not apps:
        click.echo(f"✓ {stack}: nothing is to be delivered: no app has `deliver` under its `secret` or a certificate")
    return exit_code(results)


def declared(stack: str, cwd: Path | None) -> config.Environment:
    """The environment of a stack, as its file has it.

    Raises:
        ConfigurationError: it has errors, or there is none.
    """
    try:
        return config.load(engine.environment_of(stack, cwd=cwd), root=project.find(cwd))
    except config.ConfigError as error:
        raise ConfigurationError(
            str(error), next_step="correct the file; `python3 -m entrant validate` checks it"
        ) from None


def records(results: list[delivery.Result]) -> list[dict[str, str | None]]:
    """Results as JSON has them."""
    fields = ("app", "calendar", "secret", "where", "state", "said", "next_step")
    return [{name: getattr(result, name) for name in fields} for result in results]


def show(result: delivery.Result) -> None:
    """A result, for people."""
    click.echo(f"{MARKS[result.state]} {result.app}: {result.where}: {result.said}")
    if result.next_step:
        click.echo(f"    {result.next_step}")


def exit_code(results: list[delivery.Result]) -> int:
    """The first failure's, else 7 where something is missing, else 0."""
    failed = next((result.exit_code for result in results if result.state == "failed"), 0)
    return failed or (MISSING if any(result.state == "missing" for result in results) else 0)
