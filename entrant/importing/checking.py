"""What `validate` refuses of what was read: taken out where Azure keeps it, else the whole app is left out, and said why."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from entrant.config import Problem

from .entries import Entry, Sheet

_AT: Final = re.compile(
    r"(?P<part>apps|role_definitions|scopes)\.(?P<name>[a-z][a-z0-9_-]*+)(?P<rest>[^:\s]*): (?P<message>.*)", re.DOTALL
)
_STEP: Final = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")
_APART: Final = frozenset(
    {"roles", "federated", "groups", "directory_roles", "certificates", "kept_credentials", "owners"}
)
"""Keys of an app of which Azure keeps what the file does not say."""


def settle(sheet: Sheet, check: Callable[[], Iterable[Problem]]) -> list[Problem]:
    """Take out what is refused until nothing is; what is left that nothing can be done about.

    Args:
        sheet: what is to be written; it is changed.
        check: writes it as a file and gives its errors.
    """
    while True:
        problems = list(check())
        if not problems:
            return []
        refused: dict[tuple[str, str, tuple[str | int, ...]], list[tuple[str, str]]] = {}
        for problem in problems:
            if found := _AT.match(problem.message):
                steps = [step[1] or int(step[2]) for step in _STEP.finditer(found["rest"])]
                place = found["part"], found["name"], tuple(steps[: 1 if steps[:1] == ["owners"] else 2])
                refused.setdefault(place, []).append((found["rest"], found["message"]))
        # from the ends of lists, so that places stay; what holds something refused is looked at again without that
        last_first = sorted(refused, key=lambda place: [-step for step in place[2] if isinstance(step, int)])
        holding = {(part, name, steps[:-1]) for part, name, steps in refused if len(steps) > 1}
        if not any([_out(sheet, *place, refused[place]) for place in last_first if place not in holding]):
            return problems


def _out(sheet: Sheet, part: str, name: str, steps: Sequence[str | int], refusals: Sequence[tuple[str, str]]) -> bool:
    """Take out what stands at a place, where `refusals` say in which part of it and why; whether there is less to refuse now."""
    rest, message = refusals[0][0], "; ".join(message for _, message in refusals)
    if part == "role_definitions":
        return _without_definition(sheet, name)
    if part == "scopes":
        return _without_scope(sheet, name, message)
    entry = next((entry for entry in sheet.apps if entry.key == name and not entry.faults), None)
    if entry is None:
        return False
    if "allow_privileged: true" in message:
        entry.data |= {"allow_privileged": True, "reason": "As it was taken over."}
        entry.note("allow_privileged", f"decide: {message.partition(';')[0]}. Narrow it, or say why.")
        return True
    if not steps or not _without(entry, steps, message):
        entry.faults.append(f"{rest.lstrip('.') or name}: {message}")
    return True


def _without(entry: Entry, steps: Sequence[Any], message: str) -> bool:
    """Take a value out of an app where Azure keeps it; whether that is so."""
    key, *inner = steps
    value = entry.data.get(key)
    if key == "permissions" and inner and isinstance(value, list):
        permission = value[inner[0]]
        if "application" in permission or "delegated" in permission:
            return False
    elif key not in _APART or value is None:
        return False
    if key == "owners" or not inner:
        what: Any = entry.data.pop(key)
    elif (isinstance(value, list) and isinstance(inner[0], int) and inner[0] < len(value)) or (
        isinstance(value, dict) and inner[0] in value
    ):
        what = value.pop(inner[0])
        if not value:
            entry.data.pop(key)
    else:
        return False
    entry.unsaid.append(f"{key}: {_name(what)}: {message}")
    return True


def _name(what: Any) -> str:
    if isinstance(what, dict):
        return next(
            (str(what[name]) for name in ("name", "role", "adopt", "group", "key_id") if name in what), str(what)
        )
    return ", ".join(map(str, what)) if isinstance(what, list) else str(what)


def _without_definition(sheet: Sheet, name: str) -> bool:
    """Name a custom role by its GUID instead."""
    definition = sheet.role_definitions.pop(name, None)
    if definition is None:
        return False
    for entry in sheet.apps:
        for role in entry.data.get("roles", ()):
            if role["role"] == name:
                role["role"] = definition["adopt"]
                entry.note("roles", f"{definition['adopt']} is the custom role {definition.get('name', name)}")
    return True


def _without_scope(sheet: Sheet, name: str, message: str) -> bool:
    if sheet.scopes.pop(name, None) is None:
        return False
    for key in [key for key, each in sheet.role_definitions.items() if name in each["assignable_scopes"]]:
        _without_definition(sheet, key)
    for entry in sheet.apps:
        kept = [role for role in entry.data.get("roles", ()) if role["scope"] != name]
        gone = len(entry.data.get("roles", ())) - len(kept)
        if gone:
            entry.unsaid.append(f"roles: {gone} at {name}: {message}")
            entry.data["roles"] = kept
            if not kept:
                entry.data.pop("roles")
    return True
