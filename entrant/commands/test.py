"""`entrant test`: every test, the linter and the type checker."""

import subprocess
import sys

import click

from entrant import project


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(arguments: tuple[str, ...]) -> int:
    """Run every test, the linter and the type checker; arguments go to pytest.

    \b
    python3 -m entrant test
    python3 -m entrant test tests/config -k extends
    """
    checks: list[list[str]] = (
        []
        if arguments
        else [
            ["ruff", "check", "."],
            ["ruff", "format", "--check", "."],
            ["mypy"],
        ]
    )
    failed = 0
    for check in checks:
        click.echo(f"$ {' '.join(check)}", err=True)
        failed |= subprocess.call([sys.executable, "-m", *check], cwd=project.SOURCE)
    chosen = arguments or ("-n", "auto", "--dist", "loadfile")  # files side by side: each has an Azure of its own
    code = subprocess.call([sys.executable, "-m", "pytest", *chosen], cwd=project.SOURCE)
    return code or (1 if failed else 0)
