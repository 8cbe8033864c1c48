"""The tags that tell what Entrant declares from anything else in a directory."""

from collections.abc import Iterable
from typing import Final

MARK: Final = "entrant"
"""A tag of every registration and service principal that was declared, by whichever stack."""


def of_stack(project: str, stack: str) -> str:
    """The tag beside it, which names the stack: `entrant:PROJECT/STACK`."""
    return f"{MARK}:{project}/{stack}"


def stack_in(tags: Iterable[str]) -> str | None:
    """`PROJECT/STACK` of the first of these tags that names a stack."""
    return next((tag.removeprefix(f"{MARK}:") for tag in tags if tag.startswith(f"{MARK}:")), None)
