"""`entrant assertion`: who this job is."""

import os

import click

from entrant import terminal


@click.command()
@click.option(
    "--cloud",
    type=click.Choice(["public", "usgovernment", "china"]),
    default="public",
    show_default=True,
    help="Whose Entra ID it is for.",
)
def assertion(cloud: str) -> None:
    """Ask this job's forge for an assertion of who it is, and print it: what Entra ID takes instead of a secret.

    In a GitHub job with `id-token: write`, or a step of Azure Pipelines with a service connection. Each is good for minutes.

    \b
    umask 077 && python3 -m entrant assertion > "$RUNNER_TEMP/assertion"
    AZURE_FEDERATED_TOKEN_FILE="$RUNNER_TEMP/assertion" pulumi login azblob://state
    """
    from entrant.tokens import assertions

    in_github = assertions.in_github(os.environ)
    terminal.say_exactly(
        assertions.from_github(cloud, os.environ) if in_github else assertions.from_azure_devops(os.environ)
    )
