"""Tags with a meaning: those that tell what Entrant declares from anything else in a directory, and Microsoft's own."""

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


FEATURES: Final = {
    "custom_single_sign_on": "WindowsAzureActiveDirectoryCustomSingleSignOnApplication",
    "enterprise": "WindowsAzureActiveDirectoryIntegratedApp",
    "gallery": "WindowsAzureActiveDirectoryGalleryApplicationNonPrimaryV1",
    "hide": "HideApp",
}
"""Tags with a meaning for Microsoft Entra, by their names in `feature_tags`."""
