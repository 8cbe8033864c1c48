"""Azure roles in the vocabulary: assignments, the custom roles that they use, and names for scopes."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from entrant.config.values import NAME
from entrant.facts import risks
from entrant.facts.roles import RolePermission, find_role
from entrant.facts.scopes import Scope, ScopeError, parse_scope

from .entries import Entry, There, slug, words
from .properties import stated
from .reading import Found

Doc = dict[str, Any]

_PARTS: Final = {
    "actions": "actions",
    "notActions": "not_actions",
    "dataActions": "data_actions",
    "notDataActions": "not_data_actions",
}


def custom_roles(found: Sequence[Found]) -> dict[str, str]:
    """The roles that are not built in, by the GUID of the definition, each with a scope at which it is assigned."""
    used: dict[str, str] = {}
    for each in found:
        for assignment in each.roles:
            guid = str(assignment["properties"]["roleDefinitionId"]).rpartition("/")[2].lower()
            if find_role(guid) is None:
                used.setdefault(guid, str(assignment["properties"]["scope"]))
    return used


class Roles:
    """The Azure roles of apps, where `definitions` are those of custom roles by GUID."""

    def __init__(self, found: Sequence[Found], definitions: Mapping[str, Doc], there: There) -> None:
        self.definitions, self.there = definitions, there
        self.scopes = Scopes(found, definitions.values(), there)
        self.declared: dict[str, Doc] = {}
        """What goes under `role_definitions`."""
        self._keys = dict(there.roles)
        for guid, definition in sorted(definitions.items()):
            self._definition(guid, definition)

    def _definition(self, guid: str, definition: Doc) -> None:
        """A custom role under `role_definitions`, where it can be said."""
        found = definition["properties"]
        blocks: Sequence[Doc] = found.get("permissions") or ()
        if guid in self._keys or found.get("type") == "BuiltInRole" or len(blocks) != 1:
            return
        if any(value for name, value in blocks[0].items() if name not in _PARTS):
            return
        scopes = [self.scopes.reference(scope) for scope in found.get("assignableScopes") or ()]
        if not scopes or None in scopes:
            return
        plain = slug(str(found.get("roleName")), guid[:8])
        taken = {*self.declared, *self.there.role_names}
        key = next(name for name in (plain, f"{plain}-{guid[:4]}", f"{plain}-{guid}") if name not in taken)
        self._keys[guid] = key
        self.declared[key] = stated(
            name=found.get("roleName") if found.get("roleName") != key else None,
            description=found.get("description"),
            adopt=guid,
            on_remove="keep",
            **{name: list(blocks[0].get(wire) or ()) for wire, name in _PARTS.items()},
            assignable_scopes=scopes,
        )

    def of(self, entry: Entry, each: Found) -> Iterator[Doc]:
        """The entries of `roles` of an app."""
        for assignment in each.roles:
            found = assignment["properties"]
            guid = str(found["roleDefinitionId"]).rpartition("/")[2].lower()
            scope, version = self.scopes.reference(found["scope"]), found.get("conditionVersion")
            known = find_role(guid)
            definition = self.definitions.get(guid)
            name = known.name if known else str((definition or {}).get("properties", {}).get("roleName") or guid)
            if (
                scope is None
                or (found.get("condition") and version != "2.0")
                or found.get("delegatedManagedIdentityResourceId")
            ):
                entry.unsaid.append(f"role assignment {assignment['name']}: {words(name)} at {found['scope']}")
                continue
            parsed = parse_scope(found["scope"])
            blocks = [
                RolePermission.of(block) for block in (definition or {}).get("properties", {}).get("permissions") or ()
            ]
            why = risks.of_role(name, guid, blocks, conditioned=bool(found.get("condition")))
            entry.privileged += [reason for reason in (why, risks.of_scope(name, parsed)) if reason]
            role = known.name if known else self._keys.get(guid, guid)
            if role == guid and name != guid:
                entry.note("roles", f"{guid} is {words(name)}")
            yield stated(
                role=role,
                scope=scope,
                description=found.get("description"),
                condition=found.get("condition"),
                condition_version="2.0" if found.get("condition") else None,
                adopt=str(assignment["name"]).lower(),
            )


class Scopes:
    """The scopes that the apps use, named where that makes the file shorter."""

    def __init__(self, found: Sequence[Found], definitions: Iterable[Doc], there: There) -> None:
        uses = [str(entry["properties"]["scope"]) for each in found for entry in each.roles]
        uses += [
            str(scope) for definition in definitions for scope in definition["properties"].get("assignableScopes") or ()
        ]
        parsed = [scope for text in uses if (scope := _scope(text)) is not None]
        first = {scope.id.lower(): scope for scope in reversed(parsed)}
        count = Counter(scope.id.lower() for scope in parsed)
        inside = Counter(
            scope.subscription for scope in parsed if scope.subscription and scope.kind == "resource_group"
        )
        usual = max(inside, key=lambda name: (inside[name], name), default=None)
        self.subscription = usual if not (there.apps or there.subscription) else None
        """The subscription that the file is to name once; None where it does already, or need not."""
        self._usual = there.subscription or self.subscription
        self.names = dict(there.scopes)
        self.declared: dict[str, Any] = {}
        taken = set(there.scope_names)
        for id_, scope in sorted(first.items()):
            if id_ in self.names or scope.kind == "root" or (count[id_] < 2 and scope.kind != "resource"):
                continue
            plain = slug("subscription" if scope.kind == "subscription" else scope.name, "scope").removeprefix("app-")
            plain = plain if re.fullmatch(NAME, plain) else f"scope-{plain}"
            others = (f"{plain}-{number}" for number in range(2, len(first) + 3 + len(taken)))
            name = next(name for name in (plain, *others) if name not in taken)
            taken.add(name)
            self.names[id_] = name
            self.declared[name] = self._inline(scope)

    def reference(self, text: Any) -> Any:
        """How a role names a scope; None for what is no scope."""
        scope = _scope(str(text))
        return None if scope is None else self.names.get(scope.id.lower()) or self._inline(scope)

    def _inline(self, scope: Scope) -> Any:
        if scope.kind == "subscription":
            return {"subscription": scope.subscription}
        if scope.kind == "management_group":
            return {"management_group": scope.name}
        if scope.kind == "resource_group":
            here = {"resource_group": scope.resource_group}
            return here if scope.subscription == self._usual else here | {"subscription": scope.subscription}
        return scope.id


def _scope(text: str) -> Scope | None:
    try:
        return parse_scope(text)
    except ScopeError:
        return None
