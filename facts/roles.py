"""Azure's built-in roles and how a role decides about an operation.

Source of the table (`builtin_roles.json`): Microsoft's list of built-in role definitions, 928 roles with their permissions,
one role a line as `[name, id, [[actions, notActions, dataActions, notDataActions], …]]`.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Permission:
    """One permission block of a role definition; patterns may hold `*` and are compared without regard to case."""

    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()

    @classmethod
    def of(cls, entry: Mapping[str, Sequence[str]]) -> "Permission":
        """From the JSON that Resource Manager writes: `actions`, `notActions`, `dataActions`, `notDataActions`."""
        return cls(
            *(tuple(entry.get(part) or ()) for part in ("actions", "notActions", "dataActions", "notDataActions"))
        )

    def permits(self, action: str, *, data: bool = False) -> bool:
        """Whether this block grants `action`: matched by an action and by no notAction (dataActions when `data`)."""
        granted, denied = (self.data_actions, self.not_data_actions) if data else (self.actions, self.not_actions)
        return any(matches(pattern, action) for pattern in granted) and not any(
            matches(pattern, action) for pattern in denied
        )


@dataclass(frozen=True, slots=True)
class BuiltInRole:
    """A built-in role: `name` as the portal shows it, `id` the GUID of its role definition (the same in every tenant)."""

    name: str
    id: str
    permissions: tuple[Permission, ...]


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.lower().split("*")))


def matches(pattern: str, action: str) -> bool:
    """Whether an action pattern such as `Microsoft.Insights/*/read` covers `action`.

    `*` stands for any run of characters, slashes included (Azure role definitions documentation, "Actions format").
    """
    return pattern == "*" or _pattern(pattern).fullmatch(action.lower()) is not None


def permits(permissions: Iterable[Permission], action: str, *, data: bool = False) -> bool:
    """Whether any of a role's permission blocks grants `action`; a notAction takes away only from its own block."""
    return any(block.permits(action, data=data) for block in permissions)


@cache
def builtin_roles() -> tuple[BuiltInRole, ...]:
    """Every built-in role, sorted by name."""
    table = json.loads((files(__package__) / "builtin_roles.json").read_text("utf-8"))
    return tuple(
        BuiltInRole(name, guid, tuple(Permission(*(tuple(patterns) for patterns in block)) for block in blocks))
        for name, guid, blocks in table
    )


@cache
def _index() -> dict[str, BuiltInRole]:
    return {key.lower(): role for role in builtin_roles() for key in (role.name, role.id)}


def find_role(name_or_guid: str) -> BuiltInRole | None:
    """The built-in role with this name or role definition GUID, compared without regard to case; None if there is none."""
    return _index().get(name_or_guid.strip().lower())
