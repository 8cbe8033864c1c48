"""Azure's built-in roles and how a role decides about an operation.

Source of the table (`builtin_roles.json`): Microsoft's list of built-in role definitions, 928 roles with their permissions,
one role a line as `[name, id, [[actions, notActions, dataActions, notDataActions], …]]`.
"""

import fnmatch
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
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


@lru_cache(8192)
def _pattern(pattern: str) -> re.Pattern[str]:
    # Of a run of wildcards fnmatch makes a pattern that never goes back; `?` and `[` are none of ours.
    return re.compile(fnmatch.translate(pattern.lower().replace("[", "[[]").replace("?", "[?]")))


def matches(pattern: str, action: str) -> bool:
    """Whether an action pattern such as `Microsoft.Insights/*/read` covers `action`.

    `*` stands for any run of characters, slashes included (Azure role definitions documentation, "Actions format").
    """
    return pattern == "*" or _pattern(pattern).match(action.lower()) is not None


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


_BOILERPLATE = (
    "microsoft.authorization/*/read",
    "microsoft.insights/alertrules/*",
    "microsoft.resources/deployments/*",
    "microsoft.resources/subscriptions/resourcegroups/read",
    "microsoft.resourcehealth/availabilitystatuses/read",
    "microsoft.support/*",
)
"""What nearly every built-in role has beside what it is for."""

ASSIGN = "Microsoft.Authorization/roleAssignments/write"
"""The action that lets a principal give roles, to itself as well."""

_NAMED = 3


def describe(permissions: Iterable[Permission]) -> str:
    """What a role lets its holder do at its scope, in words, such as `reads everything in it`.

    Made from the permission blocks: `…/read` reads, `…/write` changes, `…/delete` deletes, `…/action` is an operation of its own,
    `*` at the end manages; data actions are told apart. notActions count where they decide whether roles can be given.
    """
    blocks = tuple(permissions)
    said: list[str] = []
    everything = any("*" in block.actions for block in blocks)
    assigns = permits(blocks, ASSIGN)
    if everything:
        said.append("does everything in it" if assigns else "does everything in it except giving access")
    elif any("*/read" in block.actions for block in blocks):
        said.append("reads everything in it")
    if assigns:
        said.append("gives itself and others any role")
    verbs: dict[str, dict[str, None]] = {}
    for block in blocks:
        for data, granted in ((False, block.actions), (True, block.data_actions)):
            for pattern in granted:
                if not data and (everything or pattern == "*/read" or pattern.lower() in _BOILERPLATE):
                    continue
                verb, subject = _verb(pattern, data=data)
                verbs.setdefault(verb, {})[subject] = None
    managed = verbs.get("manages", {})
    for verb in ("manages", "reads", "changes", "deletes", "may", "works on data of", "reads data of", "writes data of",
                 "deletes data of", "may, on data,"):  # fmt: skip
        subjects = [subject for subject in verbs.get(verb, ()) if verb == "manages" or subject not in managed]
        if subjects:
            more = f" and {len(subjects) - _NAMED} more" if len(subjects) > _NAMED else ""
            said.append(f"{verb} {', '.join(subjects[:_NAMED])}{more}")
    if not said:
        return "does nothing by itself" if not any(b.actions for b in blocks) else "reads what surrounds it"
    return "; ".join(said)


def _verb(pattern: str, *, data: bool) -> tuple[str, str]:
    parts = [part for part in pattern.split("/") if part]
    last = parts[-1].lower()
    if pattern == "*":
        return ("works on data of" if data else "manages"), "everything in it"
    if last == "read":
        return ("reads data of" if data else "reads"), _subject(parts[:-1])
    if last == "write":
        return ("writes data of" if data else "changes"), _subject(parts[:-1])
    if last == "delete":
        return ("deletes data of" if data else "deletes"), _subject(parts[:-1])
    if last == "action" and re.match("get|read|list", parts[-2], re.IGNORECASE) and data:
        return "reads data of", _subject(parts[:-2])
    if last == "action":
        return ("may, on data," if data else "may"), f"{parts[-2]} ({_subject(parts[:-2])})"
    return ("works on data of" if data else "manages"), _subject(parts)


def _subject(parts: Sequence[str]) -> str:
    words = [part for part in parts if part != "*"]
    if not words:
        return "everything in it"
    namespace = words[0].removeprefix("Microsoft.").removeprefix("microsoft.")
    return f"{namespace} {words[-1]}" if len(words) > 1 else namespace
