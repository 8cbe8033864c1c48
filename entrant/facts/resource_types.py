"""Which resource providers and types there are, as far as Azure's built-in roles name them in their operations."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache, lru_cache

from .roles import builtin_roles


@dataclass(frozen=True, slots=True)
class Provider:
    """A resource provider: its namespace (`Microsoft.Compute`) and its outermost types by their lower-case names."""

    namespace: str
    types: dict[str, str]


@cache
def providers() -> dict[str, Provider]:
    """The providers by their lower-case namespaces; not every one, nor every type."""
    found: dict[str, Provider] = {}
    for role in builtin_roles():
        for block in role.permissions:
            for action in (*block.actions, *block.not_actions, *block.data_actions, *block.not_data_actions):
                namespace, _, rest = action.partition("/")
                if "." in namespace and "*" not in namespace:
                    provider = found.setdefault(namespace.lower(), Provider(namespace, {}))
                    type_, _, more = rest.partition("/")
                    if more and "*" not in type_:
                        provider.types.setdefault(type_.lower(), type_)
    return found


@lru_cache(4096)
def unknown(namespace: str, type_: str) -> tuple[str, str | None] | None:
    """What of a resource type is not known, and what is meant if it is a slip of the pen; None when all is known."""
    found = providers()
    provider = found.get(namespace.lower())
    if provider is None:
        meant = _misspelt(namespace, (each.namespace for each in found.values()))
        return namespace, meant
    if type_.lower() in provider.types:
        return None
    meant = _misspelt(type_, provider.types.values())
    return f"{namespace}/{type_}", meant and f"{provider.namespace}/{meant}"


def _misspelt(name: str, known: Iterable[str]) -> str | None:
    """The known name with at most two letters of a long name wrong, one of a short one."""
    for candidate in known:
        steps = SequenceMatcher(None, name.lower(), candidate.lower(), autojunk=False).get_opcodes()
        wrong = sum(max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in steps if tag != "equal")
        length = len(name.rpartition(".")[2])
        if wrong <= (2 if length >= 8 else 1 if length >= 4 else 0):
            return candidate
    return None
