"""What goes into the file, app by app: its data, its comments, and how apps refer to one another."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from entrant.config.source import scalar
from entrant.config.values import NAME
from entrant.facts.contract import output_name
from entrant.facts.unsafe_text import harmless

from .reading import Found

Doc = dict[str, Any]

LONGEST_KEY: Final = 50


@dataclass(slots=True)
class Entry:
    """One app as it goes into the file."""

    key: str
    client_id: str
    data: Doc = field(default_factory=dict)
    comments: dict[str, list[str]] = field(default_factory=dict)
    """Lines above a key of the app, or above them all where the key is empty."""
    unsaid: list[str] = field(default_factory=list)
    """What is there and cannot be said: it stays as it is."""
    faults: list[str] = field(default_factory=list)
    """Why the app cannot be taken over unchanged; with one it stands in the file as a comment."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Files beside the environment's, by name."""
    privileged: list[str] = field(default_factory=list)

    def in_folder(self, folder: str) -> None:
        """Name the files in their folder."""
        if "logo" in self.data:
            self.data["logo"] = f"{folder}/{self.data['logo']}"
        for certificate in self.data.get("certificates", {}).values():
            certificate["path"] = f"{folder}/{certificate['path']}"

    def note(self, key: str, line: str) -> None:
        """Add a comment above a key."""
        self.comments.setdefault(key, []).append(line)


@dataclass(slots=True)
class Sheet:
    """An environment to be written: what is beside the apps, and these."""

    tenant: str
    cloud: str
    subscription: str | None
    scopes: dict[str, Any]
    role_definitions: dict[str, Doc]
    apps: list[Entry]


@dataclass(frozen=True, slots=True)
class There:
    """What the file has already: names that are taken, and those of what is found there again."""

    apps: frozenset[str] = frozenset()
    registrations: Mapping[str, str] = field(default_factory=dict)
    """The apps that it takes over by the object ids of their registrations."""
    principals: Mapping[str, str] = field(default_factory=dict)
    """The same by the object ids of their service principals."""
    scopes: Mapping[str, str] = field(default_factory=dict)
    """By id in lower case."""
    scope_names: frozenset[str] = frozenset()
    roles: Mapping[str, str] = field(default_factory=dict)
    """Custom roles by GUID."""
    role_names: frozenset[str] = frozenset()
    subscription: str | None = None
    keeps: bool = True
    """Whether the environment says that what is removed from it is kept."""


def slug(text: str, otherwise: str) -> str:
    """A text as a name of the vocabulary: lower-case letters, digits and hyphens, a letter first."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:LONGEST_KEY].strip("-") or otherwise
    if not re.fullmatch(NAME, words) or not isinstance(scalar(words), str):
        words = f"app-{words}"
    return words[:LONGEST_KEY].strip("-")


def keys(found: Sequence[Found], taken: Iterable[str] = ()) -> dict[str, str]:
    """The key of each app by its client id. Of several with one name the oldest has it, the others the begin of their client id
    besides, so that one that comes later changes nobody's key.
    """
    used = {output_name(name, "") for name in (*taken, "deployer")}
    chosen = {}
    for each in sorted(found, key=lambda one: (str(one.registration.get("createdDateTime")), one.id)):
        plain = slug(str(each.registration.get("displayName") or ""), each.client_id[:8])
        wanted = (plain, *(f"{plain}-{each.client_id[:length]}" for length in (4, 8, 36)))
        key = next(name for name in wanted if output_name(name, "") not in used)
        used.add(output_name(key, ""))
        chosen[each.client_id] = key
    return chosen


class References:
    """How apps are referred to: by their keys, where that leads in no circle.

    Args:
        found: the apps.
        keys: their keys by client id, and those of apps that the file has already; not of those that are left out of it.
        principals: the keys of apps that the file has already, by the object id of the service principal.
    """

    def __init__(self, found: Sequence[Found], keys: Mapping[str, str], principals: Mapping[str, str]) -> None:
        self.apps = keys
        self.principals = dict(principals) | {
            str(each.principal["id"]).lower(): keys[each.client_id]
            for each in found
            if each.principal and each.client_id in keys
        }
        """Keys by the object id of the service principal."""
        self._needs: dict[str, set[str]] = {}

    def may(self, one: str, other: str) -> bool:
        """Whether an app may need the other's id: not where that leads in a circle, for which a GUID is written."""
        edge, seen = [other], set()
        while edge:
            name = edge.pop()
            if name == one:
                return False
            seen.add(name)
            edge += self._needs.get(name, set()) - seen
        self._needs.setdefault(one, set()).add(other)
        return True


def words(text: Any) -> str:
    """Words of the tenant, for a comment or a terminal."""
    shown = " ".join(harmless(str(text)).split())
    return shown if len(shown) <= 80 else f"{shown[:79]}…"
