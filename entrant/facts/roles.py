"""Azure's built-in roles and how a role decides about an operation.

Source of the table (`builtin_roles.json`): Microsoft's list of built-in role definitions, 928 roles with their permissions,
one role a line as `[name, id, [[actions, notActions, dataActions, notDataActions], …]]`.
"""

import fnmatch
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RolePermission:
    """One permission block of a role definition; patterns may hold `*` and are compared without regard to case."""

    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()

    @classmethod
    def of(cls, entry: Mapping[str, Sequence[str]]) -> "RolePermission":
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
    permissions: tuple[RolePermission, ...]


@lru_cache(8192)
def _pattern(pattern: str) -> re.Pattern[str]:
    # Of a run of wildcards fnmatch makes a pattern that never goes back; `?` and `[` are none of ours.
    return re.compile(fnmatch.translate(pattern.lower().replace("[", "[[]").replace("?", "[?]")))


def matches(pattern: str, action: str) -> bool:
    """Whether an action pattern such as `Microsoft.Insights/*/read` covers `action`.

    `*` stands for any run of characters, slashes included (Azure role definitions documentation, "Actions format").
    """
    return pattern == "*" or _pattern(pattern).match(action.lower()) is not None


def permits(permissions: Iterable[RolePermission], action: str, *, data: bool = False) -> bool:
    """Whether any of a role's permission blocks grants `action`; a notAction takes away only from its own block."""
    return any(block.permits(action, data=data) for block in permissions)


@cache
def builtin_roles() -> tuple[BuiltInRole, ...]:
    """Every built-in role, sorted by name."""
    table = json.loads(Path(__file__).with_name("builtin_roles.json").read_text("utf-8"))
    return tuple(
        BuiltInRole(name, guid, tuple(RolePermission(*(tuple(patterns) for patterns in block)) for block in blocks))
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
_CALLED = {
    "authorization roleassignments": "role assignments",
    "authorization roledefinitions": "role definitions",
    "compute virtualmachines": "virtual machines",
    "containerregistry pull": "images of container registries",
    "containerregistry push": "images of container registries",
    "containerregistry registries": "container registries",
    "containerservice managedclusters": "Kubernetes clusters",
    "insights components": "Application Insights components",
    "insights metrics": "metrics",
    "insights telemetry": "telemetry",
    "keyvault certificates": "certificates of key vaults",
    "keyvault keys": "keys of key vaults",
    "keyvault secrets": "secrets of key vaults",
    "keyvault vaults": "key vaults",
    "operationalinsights analytics": "logs",
    "operationalinsights logs": "logs",
    "operationalinsights workspaces": "Log Analytics workspaces",
    "storage blobs": "blobs",
    "storage containers": "blob containers",
    "storage entities": "rows of tables",
    "storage fileshares": "file shares",
    "storage messages": "messages of queues",
    "storage storageaccounts": "storage accounts",
    "web serverfarms": "App Service plans",
    "web sites": "web apps and functions",
}
"""What people call some resource types, by namespace and last type in lower case."""
_VERBS = (
    "does everything with data of",
    "reads data of",
    "writes data of",
    "deletes data of",
    "may, with data,",
    "obtains keys of",
    "manages",
    "changes",
    "deletes",
    "may",
    "reads",
)
"""In the order in which they are said; data first."""
_KEYS = re.compile(
    r"(list|regenerate)\w*(key|keys|sas|credential|credentials|secrets|connectionstrings)", re.IGNORECASE
)


def describe(permissions: Iterable[RolePermission]) -> str:
    """What a role lets its holder do at its scope, in words, such as `reads everything in it`.

    Made from the permission blocks: `…/read` reads, `…/write` changes, `…/delete` deletes, `…/action` is an operation of its own
    (`listKeys` and its like hand out keys), `*` at the end manages; data actions are told apart. What notActions take away is said
    at the end, but for what Contributor lacks too.
    """
    blocks = tuple(permissions)
    phrases: list[str] = []
    everything = any("*" in block.actions for block in blocks)
    reads = everything or any("*/read" in block.actions for block in blocks)
    assigns = permits(blocks, ASSIGN)
    if everything:
        phrases.append("does everything in it" if assigns else "does everything in it except giving access")
    elif reads:
        phrases.append("reads everything in it")
    if assigns:
        phrases.append("gives itself and others any role")
    verbs: dict[str, dict[str, None]] = {}
    for block in blocks:
        for data, granted in ((False, block.actions), (True, block.data_actions)):
            for pattern in granted:
                if not data and (everything or pattern == "*/read" or _usual(pattern)):
                    continue
                if any(matches(denied, pattern) for denied in (block.not_data_actions if data else block.not_actions)):
                    continue
                verb, subject = _verb(pattern, data=data)
                if not (verb == "reads" and reads):
                    verbs.setdefault(verb, {})[subject] = None
    managed = verbs.get("manages", {})
    for verb in _VERBS:
        subjects = [subject for subject in verbs.get(verb, ()) if verb == "manages" or subject not in managed]
        if subjects:
            more = f" and {len(subjects) - _NAMED} more" if len(subjects) > _NAMED else ""
            phrases.append(f"{verb} {', '.join(subjects[:_NAMED])}{more}")
    missing = dict.fromkeys(denied for block in blocks for denied in _missing(block))
    if phrases and missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        phrases.append(f"except {', '.join(list(missing)[:_NAMED])}{more}")
    if not phrases:
        return "does nothing by itself" if not any(b.actions for b in blocks) else "reads what surrounds it"
    return "; ".join(phrases)


def _missing(block: RolePermission) -> Iterator[str]:
    """What a block's wildcards would allow and its notActions take away."""
    contributor = find_role("Contributor")
    usual = {denied.lower() for own in (contributor.permissions if contributor else ()) for denied in own.not_actions}
    for granted, denied_ones in ((block.actions, block.not_actions), (block.data_actions, block.not_data_actions)):
        for denied in denied_ones:
            if denied.lower() not in usual and any(matches(pattern, denied) for pattern in granted):
                yield denied


def _usual(pattern: str) -> bool:
    """What nearly every role has, and the registration of a provider, say nothing about it."""
    parts = pattern.lower().split("/")
    return pattern.lower() in _BOILERPLATE or parts[1:] == ["register", "action"]


def _verb(pattern: str, *, data: bool) -> tuple[str, str]:
    parts = [part for part in pattern.split("/") if part]
    last = parts[-1].lower()
    if pattern == "*":
        return ("does everything with data of" if data else "manages"), "everything in it"
    if last == "read":
        return ("reads data of" if data else "reads"), _subject(parts[:-1])
    if last == "write":
        return ("writes data of" if data else "changes"), _subject(parts[:-1])
    if last == "delete":
        return ("deletes data of" if data else "deletes"), _subject(parts[:-1])
    if last == "action" and len(parts) > 2:
        what, of = parts[-2], _subject(parts[:-2])
        if data and re.match("get|read|list", what, re.IGNORECASE):
            return "reads data of", of
        if not data and _KEYS.fullmatch(what):
            return "obtains keys of", of
        return ("may, with data," if data else "may"), f"{_spaced(what)} ({of})"
    return ("does everything with data of" if data else "manages"), _subject(parts)


def _subject(parts: Sequence[str]) -> str:
    words = [part for part in parts if part != "*"]
    if not words:
        return "everything in it"
    namespace = words[0].removeprefix("Microsoft.").removeprefix("microsoft.")
    if len(words) == 1:
        return namespace
    return _CALLED.get(f"{namespace} {words[-1]}".lower()) or f"{_spaced(words[-1])} of {namespace}"


def _spaced(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()
