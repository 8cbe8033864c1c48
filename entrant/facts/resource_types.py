"""Which resource providers, resource types and child types there are, and which of them a misspelt one may stand for.

Source of the table (`resource_types.json`): the types in Microsoft's published API specifications, by the index of Bicep's types of
August 2026, one provider a line, each type with its children. The operations of Azure's built-in roles name some more.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from .roles import builtin_roles


@dataclass(frozen=True, slots=True)
class Type:
    """A provider (`Microsoft.Compute`) or a type, and by their lower-case names the types below it."""

    name: str
    children: dict[str, "Type"] = field(default_factory=dict)

    def child(self, name: str) -> "Type":
        """The type of this name below it; a new one if there is none."""
        return self.children.setdefault(name.lower(), Type(name))


@dataclass(frozen=True, slots=True)
class Unknown:
    """The first part of a resource type that is not known."""

    what: str
    """It, after those before it: `Microsoft.KeyVault/vault`."""
    meant: str | None
    """What it is a slip of the pen for, if it is one: `Microsoft.KeyVault/vaults`."""

    @property
    def provider(self) -> bool:
        """Whether it is a provider, and no type."""
        return "/" not in self.what

    @property
    def child(self) -> bool:
        """Whether it is a child type, and neither a provider nor an outermost type."""
        return self.what.count("/") > 1


@cache
def known() -> Type:
    """All providers with their types; not every one, as Azure gets new ones all the time."""
    root = Type("")
    _add(root, json.loads(Path(__file__).with_name("resource_types.json").read_text("utf-8")))
    operations = {
        operation: None
        for role in builtin_roles()
        for block in role.permissions
        for part in (block.actions, block.not_actions, block.data_actions, block.not_data_actions)
        for operation in part
    }
    for operation in operations:
        found = root
        for part in _types_of(operation):
            found = root if part == _ANEW else found.child(part)
    return root


def _add(to: Type, below: Mapping[str, Any]) -> None:
    for name, children in below.items():
        _add(to.child(name), children)


_ANEW = "providers"
"""What stands before the provider of a resource that extends another."""


def _types_of(operation: str) -> Iterator[str]:
    """The provider and the types that an operation or a pattern names, as far as no wildcard hides them."""
    provider, *parts = operation.split("/")
    of = parts[: -2 if parts and parts[-1].lower() == "action" else -1]
    for part in (provider, *of) if "." in provider else ():
        if "*" in part:
            return
        yield _ANEW if part.lower() == _ANEW else part


def unknown(provider: str, types: Iterable[str]) -> Unknown | None:
    """What of a resource's type is not known, if anything; `types` as in a scope."""
    parts = [provider]
    for type_ in types:
        parts += [_ANEW, *type_.split("/")] if "/" in type_ else [type_]
    return _unknown(tuple(parts))


def unknown_operation(operation: str) -> Unknown | None:
    """What is not known of the type that an operation of Azure RBAC is of, if anything."""
    return _unknown(tuple(_types_of(operation)))


@lru_cache(4096)
def _unknown(parts: tuple[str, ...]) -> Unknown | None:
    found, written, right = known(), list[str](), list[str]()
    for part in parts:
        if part == _ANEW:
            found, written, right = known(), [], []
            continue
        written.append(part)
        below = found.children.get(part.lower())
        if below is None:
            meant = _misspelt(part, [each.name for each in found.children.values()])
            return Unknown("/".join(written), meant and "/".join((*right, meant)))
        right.append(below.name)
        found = below
    return None


def _misspelt(name: str, names: Iterable[str]) -> str | None:
    """The known name that differs in its plural alone, else the nearest of those with at most two letters of a long name wrong,
    one of a short one. A digit is no slip: `l2Networks` are not `l3Networks`."""
    near: list[tuple[int, str]] = []
    length = len(name.rpartition(".")[2])
    for candidate in names:
        one, other = sorted((name.lower(), candidate.lower()), key=len)
        if other in (f"{one}s", f"{one}es", f"{one.removesuffix('y')}ies"):
            return candidate
        steps = SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
        wrong = sum(max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in steps if tag != "equal")
        if wrong == 2 and sorted(one) == sorted(other):  # two letters that changed places
            wrong = 1
        same_digits = re.findall(r"\d", one) == re.findall(r"\d", other)
        if same_digits and wrong <= (2 if length >= 8 else 1 if length >= 4 else 0):
            near.append((wrong, candidate))
    return min(near)[1] if near else None
