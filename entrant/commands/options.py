"""Options that commands of several modules have."""

from pathlib import Path

import click

stack = click.option("-s", "--stack", required=True, metavar="STACK", help="The Pulumi stack.")
"""`-s`, for commands that are about one stack."""
cwd = click.option("-C", "--cwd", type=click.Path(file_okay=False, exists=True, path_type=Path), help="Run as if here.")
"""`-C`, for commands that run Pulumi or git."""
