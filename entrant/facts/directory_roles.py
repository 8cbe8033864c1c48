"""Microsoft Entra's built-in directory roles.

Source of the table (`directory_roles.json`): Microsoft's page "Microsoft Entra built-in roles" of January 2026, one role a line as
`[name, template id, privileged]`; privileged is Microsoft's own label. A template id is the role's id in every tenant.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DirectoryRole:
    """A directory role: `id` is its template id, which assignments take as their role definition id."""

    name: str
    id: str
    privileged: bool


@cache
def directory_roles() -> tuple[DirectoryRole, ...]:
    """Every built-in directory role, sorted by name."""
    table = json.loads(Path(__file__).with_name("directory_roles.json").read_text("utf-8"))
    return tuple(DirectoryRole(name, template, privileged) for name, template, privileged in table)


@cache
def _index() -> dict[str, DirectoryRole]:
    return {key.lower(): role for role in directory_roles() for key in (role.name, role.id)}


def find_directory_role(name_or_guid: str) -> DirectoryRole | None:
    """The directory role with this name or template id, compared without regard to case; None if there is none."""
    return _index().get(name_or_guid.strip().lower())
