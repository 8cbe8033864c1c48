"""`local`: the local Azure by itself, for trying other clients of Azure."""

import os
import shlex
import shutil
from pathlib import Path

import click

import local_azure
from entrant import bootstrap
from entrant.errors import ConfigurationError

_STATE = bootstrap.STATE / "local-azure"
_state = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=_STATE,
    help="Its directory; by default .entrant/local-azure. A rehearsal's is .entrant/rehearsal/STACK/azure.",
)


def _running(state: Path) -> local_azure.LocalAzure:
    found = local_azure.find(state)
    if found is None:
        raise ConfigurationError("the local Azure is not running", next_step="run `python3 -m entrant local start`")
    return found


@click.group()
def local() -> None:
    """The local Azure by itself: Entra ID, Graph, Resource Manager, Log Analytics and custom metrics on this machine."""


@local.command()
@_state
@click.option("--port", type=click.IntRange(1, 65535), help="By default the one of last time, or a free one.")
@click.option(
    "--propagation", type=click.FloatRange(0, 3600), default=0.0, show_default=True, help="Seconds until roles work."
)
def start(state: Path, port: int | None, propagation: float) -> None:
    """Start it, in the background, unless it runs; prints its address.

    \b
    python3 -m entrant local start --propagation 5
    """
    click.echo(local_azure.start(state, port=port, propagation=propagation).url)


@local.command()
@_state
def stop(state: Path) -> None:
    """Stop it; its state stays.

    \b
    python3 -m entrant local stop
    """
    local_azure.stop(state)


@local.command()
@_state
def status(state: Path) -> int:
    """Whether it runs, and where; exit code 1 if not.

    \b
    python3 -m entrant local status
    """
    found = local_azure.find(state)
    if found is None:
        click.echo("not running")
        return 1
    click.echo(f"{found.url}  process {found.pid}  tenant {found.tenant_id}  subscription {found.subscription_id}")
    return 0


@local.command()
@_state
def env(state: Path) -> None:
    """Print shell settings that point Azure's clients at it, as its deployer; for eval.

    \b
    eval "$(python3 -m entrant local env)" && python3 -m entrant token arm
    """
    azure = _running(state)
    bundle = str(azure.ca_bundle())
    settings = azure.settings() | {
        "AZURE_TENANT_ID": azure.tenant_id,
        "AZURE_CLIENT_ID": azure.client_id,
        "AZURE_CLIENT_SECRET": azure.client_secret,
        "AZURE_SUBSCRIPTION_ID": azure.subscription_id,
        "SSL_CERT_FILE": bundle,
        "REQUESTS_CA_BUNDLE": bundle,
        "NODE_EXTRA_CA_CERTS": str(azure.ca_file),
        "ENTRANT_METRICS_ENDPOINT": azure.url,
    }
    for name, value in settings.items():
        click.echo(f"export {name}={shlex.quote(value)}")


@local.command()
@_state
def reset(state: Path) -> None:
    """Stop it and remove everything in it, its certificate authority included.

    \b
    python3 -m entrant local reset
    """
    local_azure.stop(state)
    if (state / "state.db").exists():  # nothing else is removed by this name
        shutil.rmtree(state)


@local.command()
@_state
@click.option("-n", "--lines", type=click.IntRange(1), default=50, show_default=True, help="The last so many.")
def log(state: Path, lines: int) -> None:
    """Print what it was asked and what it answered, newest last.

    \b
    python3 -m entrant local log -n 10
    """
    file = state / "server.log"
    if not file.exists():
        raise ConfigurationError(f"there is no log in {os.path.relpath(state)}")
    click.echo("\n".join(file.read_text("utf-8", errors="replace").splitlines()[-lines:]))
