"""`entrant comment`: a review as the one comment on a pull request."""

from pathlib import Path

import click

from entrant.commands import options
from entrant.errors import ConfigurationError
from entrant.pipeline import code_host


@click.command()
@options.stack
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def comment(stack: str, file: Path) -> None:
    """Make the Markdown of FILE, written by `review` or `drift`, the one comment of STACK on this pull request.

    On GitHub, GitLab and Azure DevOps, found from the pipeline's variables; with GITHUB_TOKEN, GITLAB_TOKEN or SYSTEM_ACCESSTOKEN.
    A comment that is there is changed in place; others' comments are left alone.

    \b
    python3 -m entrant review -s dev --format markdown > review.md
    python3 -m entrant comment -s dev review.md
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{file} cannot be read: {why}") from None
    done, where = code_host.post(stack, text)
    options.remark(f"{where}: the comment of {stack} {done}")
