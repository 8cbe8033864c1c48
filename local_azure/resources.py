"""Azure Resource Manager's state: subscriptions, groups, resources, role definitions and role assignments, and who may do what.

Ids compare without regard to case, so every row is found by its lower-case `key`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from entrant.facts.conditions import Facts, fulfilled
from entrant.facts.roles import BuiltInRole, RolePermission, find_role, permits
from entrant.facts.scopes import Scope
from local_azure.directory import Directory
from local_azure.store import Store

Doc = dict[str, Any]
Allowed = Literal["yes", "no", "conditional"]

MANAGEMENT_GROUPS = "/providers/Microsoft.Management/managementGroups/"
"""What the id of a management group begins with."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A role assignment: `doc` is its `properties` on the wire, `role` the GUID of the role definition."""

    name: str
    scope: str
    role: str
    principal: str
    created: float
    doc: Doc


class Resources:
    """Reads and writes of the resource tree and of its access control."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # The tree

    def get(self, resource_id: str) -> Doc | None:
        """The resource (group, subscription) with this id, or `None`."""
        found = self.store.row("SELECT doc FROM resource WHERE key = ?", key_of(resource_id))
        return None if found is None else json.loads(found[0])

    def put(self, resource_id: str, kind: str, doc: Doc) -> None:
        """Create or replace a resource; `kind` is its type such as `Microsoft.Compute/virtualMachines`."""
        self.store.run(
            "INSERT INTO resource (key, id, type, parent, doc) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET doc = excluded.doc",
            *(key_of(resource_id), resource_id, kind.lower(), parent_of(resource_id), json.dumps(doc)),
        )

    def delete(self, resource_id: str) -> None:
        """Remove a resource, all below it, the role assignments there and the service principals of managed identities.

        Key vaults are kept among the deleted ones.
        """
        key = key_of(resource_id)
        low, high = key + "/", key + "0"
        identities = self.store.rows(
            "SELECT json_extract(doc, '$.properties.principalId') FROM resource "
            "WHERE type = ? AND (key = ? OR (key >= ? AND key < ?))",
            *("microsoft.managedidentity/userassignedidentities", key, low, high),
        )
        for (principal,) in identities:
            Directory(self.store).purge(principal)
        self.store.run(
            "UPDATE vault SET deleted = ? WHERE deleted IS NULL AND (key = ? OR (key >= ? AND key < ?))",
            *(self.store.now(), key, low, high),
        )
        for table, column in (
            ("resource", "key"),
            ("management", "child"),
            ("role_assignment", "scope_key"),
            ("workspace", "key"),
            ("metric", "resource"),
            ("log_table", "workspace"),
            ("log_row", "workspace"),
        ):
            self.store.run(
                f"DELETE FROM {table} WHERE {column} = ? OR ({column} >= ? AND {column} < ?)", key, low, high
            )

    def below(
        self, scope_id: str, *, kind: str | None = None, after: int = 0, limit: int = -1
    ) -> list[tuple[int, Doc]]:
        """Resources at any depth under a scope, of one type when `kind` is given, as (sequence number, resource) in its order."""
        key = key_of(scope_id)
        rows = self.store.rows(
            "SELECT seq, doc FROM resource WHERE key >= ? AND key < ? AND seq > ? AND (? IS NULL OR type = ?) ORDER BY seq LIMIT ?",
            *(key + "/", key + "0", after, kind and kind.lower(), kind and kind.lower(), limit),
        )
        return [(row[0], json.loads(row[1])) for row in rows]

    def subscriptions(self) -> list[Doc]:
        """Every subscription of the tenant."""
        rows = self.store.rows(
            "SELECT doc FROM resource WHERE parent = '' AND key LIKE '/subscriptions/%' ORDER BY seq"
        )
        return [json.loads(row[0]) for row in rows]

    # Management groups

    def management_groups(self) -> list[Doc]:
        """Every management group that was made."""
        low = key_of(MANAGEMENT_GROUPS)
        rows = self.store.rows("SELECT doc FROM resource WHERE key > ? AND key < ? ORDER BY seq", low + "/", low + "0")
        return [json.loads(row[0]) for row in rows]

    def parent_group(self, child: str) -> str | None:
        """The id of the management group right above a subscription or management group; `None` for the root."""
        key, root = key_of(child), f"{MANAGEMENT_GROUPS}{self.store.setting('tenant_id')}"
        if key == key_of(root):
            return None
        found = self.store.row("SELECT parent FROM management WHERE child = ?", key)
        return root if found is None else str(found[0])

    def set_parent_group(self, child: str, parent: str) -> None:
        """Put a subscription or management group below a management group."""
        self.store.run("INSERT OR REPLACE INTO management VALUES (?, ?)", key_of(child), parent)

    def above(self, child: str) -> list[str]:
        """The keys of the management groups above a subscription or management group, the nearest first."""
        found: list[str] = []
        parent = self.parent_group(child)
        while parent is not None and key_of(parent) not in found:
            found.append(key_of(parent))
            parent = self.parent_group(parent)
        return found

    def children(self, group: str) -> list[Doc]:
        """The management groups and subscriptions right below a management group."""
        candidates = [*self.management_groups(), *self.subscriptions()]
        return [doc for doc in candidates if key_of(self.parent_group(doc["id"]) or "") == key_of(group)]

    def enclosing(self, scope: Scope) -> list[str]:
        """The keys of a scope and of each that encloses it, management groups included, outward to the root."""
        keys = [key_of(outer.id) for outer in scope.parents()]
        top = f"/subscriptions/{scope.subscription}" if scope.subscription else scope.id
        if scope.subscription or scope.kind == "management_group":
            keys[-1:-1] = self.above(top)
        return keys

    # Workspaces

    def set_workspace(self, customer_id: str, resource_id: str) -> None:
        """Let the query API find a workspace by its customer id."""
        self.store.run("INSERT OR REPLACE INTO workspace VALUES (?, ?)", customer_id.lower(), key_of(resource_id))

    def workspace(self, customer_id: str) -> Doc | None:
        """The workspace resource with this customer id, or `None`."""
        found = self.store.row("SELECT key FROM workspace WHERE customer_id = ?", customer_id.lower())
        return None if found is None else self.get(found[0])

    def note(self, kind: str, own_id: str, resource_id: str) -> None:
        """Let a resource be found by an id of its own, which is not its resource id."""
        self.store.set_setting(f"{kind}.{own_id.lower()}", resource_id)

    def noted(self, kind: str, own_id: str, name: str) -> Doc | None:
        """The resource that was noted with an id of its own and still has it as its property `name`, or `None`."""
        resource_id = self.store.setting(f"{kind}.{own_id.lower()}")
        found = self.get(resource_id) if resource_id else None
        return found if found is not None and found["properties"].get(name) == own_id.lower() else None

    # Role definitions

    def role(self, guid: str) -> BuiltInRole | Doc | None:
        """A built-in role, or a custom one as ``{"name": guid, "properties": {…}}``, or `None`."""
        builtin = find_role(guid)
        if builtin is not None:
            return builtin if builtin.id == guid.lower() else None
        found = self.store.row("SELECT doc FROM role_definition WHERE id = ?", guid.lower())
        return None if found is None else json.loads(found[0])

    def custom_roles(self) -> list[Doc]:
        """Every custom role definition."""
        return [json.loads(row[0]) for row in self.store.rows("SELECT doc FROM role_definition ORDER BY name")]

    def put_role(self, guid: str, doc: Doc) -> None:
        """Create or replace a custom role definition."""
        self.store.run(
            "INSERT INTO role_definition VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, doc = excluded.doc",
            *(guid.lower(), doc["properties"]["roleName"], json.dumps(doc)),
        )

    def delete_role(self, guid: str) -> None:
        """Remove a custom role definition."""
        self.store.run("DELETE FROM role_definition WHERE id = ?", guid.lower())

    # Role assignments

    def assignment(self, name: str) -> Assignment | None:
        """The role assignment with this GUID, wherever it is, or `None`."""
        return next(self._assignments("name = ?", name.lower()), None)

    def assignments(self, *, scope_keys: Iterable[str] = (), below: str | None = None) -> list[Assignment]:
        """Role assignments at exactly these scopes, and under `below` when it is given."""
        keys = list(scope_keys)
        tests = [f"scope_key IN ({','.join('?' * len(keys))})"]
        if below is not None:
            start = key_of(below).rstrip("/")
            tests.append("(scope_key >= ? AND scope_key < ?)")
            keys += [start + "/", start + "0"]
        return list(self._assignments(" OR ".join(tests), *keys))

    def assignments_of(self, principals: Iterable[str]) -> list[Assignment]:
        """Role assignments of any of these principals, anywhere."""
        ids = [principal.lower() for principal in principals]
        return list(self._assignments(f"principal IN ({','.join('?' * len(ids))})", *ids))

    def newest_assignments(self, limit: int) -> list[Assignment]:
        """The role assignments that were made last, anywhere, oldest first."""
        newest = "SELECT name FROM role_assignment ORDER BY created DESC, name LIMIT ?"
        return list(self._assignments(f"name IN ({newest})", limit))

    def count_assignments(self) -> int:
        """How many role assignments there are."""
        return int((self.store.row("SELECT count(*) FROM role_assignment") or (0,))[0])

    def assignments_with(self, role: str) -> list[Assignment]:
        """Role assignments of a role, anywhere."""
        return list(self._assignments("role = ?", role.lower()))

    def has_assignments(self, role: str) -> bool:
        """Whether a role is assigned anywhere."""
        return self.store.row("SELECT 1 FROM role_assignment WHERE role = ?", role.lower()) is not None

    def same_assignment(self, scope: str, role: str, principal: str) -> Assignment | None:
        """The assignment of this role to this principal at exactly this scope, or `None`."""
        test = "principal = ? AND scope_key = ? AND role = ?"
        return next(self._assignments(test, principal.lower(), key_of(scope), role.lower()), None)

    def put_assignment(self, assignment: Assignment) -> None:
        """Create or replace a role assignment."""
        self.store.run(
            "INSERT INTO role_assignment VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET doc = excluded.doc",
            assignment.name.lower(),
            key_of(assignment.scope),
            assignment.scope,
            assignment.role.lower(),
            assignment.principal.lower(),
            assignment.created,
            json.dumps(assignment.doc),
        )

    def delete_assignment(self, name: str) -> None:
        """Remove a role assignment."""
        self.store.run("DELETE FROM role_assignment WHERE name = ?", name.lower())

    def _assignments(self, where: str, *values: Any) -> Iterator[Assignment]:
        rows = self.store.rows(
            f"SELECT name, scope, role, principal, created, doc FROM role_assignment WHERE {where} ORDER BY created, name",
            *values,
        )
        return (Assignment(row[0], row[1], row[2], row[3], row[4], json.loads(row[5])) for row in rows)

    # Access

    def effective(self, principals: Iterable[str], scope: Scope, *, delay: float) -> list[tuple[RolePermission, ...]]:
        """What principals may do at a scope through assignments, there and above, that are older than `delay` seconds."""
        return [self._permissions(held.role) for held in self.in_effect(principals, scope, delay=delay)]

    def in_effect(self, principals: Iterable[str], scope: Scope, *, delay: float) -> list[Assignment]:
        """The role assignments of principals that count at a scope: made there or above, more than `delay` seconds ago."""
        horizon, target = self.store.now() - delay, key_of(scope.id) + "/"
        old = [held for held in self.assignments_of(principals) if held.created <= horizon]
        found = [held for held in old if target.startswith(key_of(held.scope) + "/")]
        inherited = [held for held in old if key_of(held.scope).startswith(key_of(MANAGEMENT_GROUPS) + "/")]
        if inherited:
            above = self.enclosing(scope)
            found += [held for held in inherited if held not in found and key_of(held.scope) in above]
        return found

    def allowed(
        self,
        principals: Iterable[str],
        action: str,
        scope: Scope,
        *,
        data: bool,
        delay: float,
        attributes: Mapping[tuple[str, str], Any] | None = None,
    ) -> Allowed:
        """Whether any role of the principals permits `action` at a scope: `no` unless one does.

        `attributes` are what conditions may look at (`facts.conditions`); `conditional` means that only a condition was
        in the way.
        """
        facts = Facts(action, attributes or {})
        found: Allowed = "no"
        for held in self.in_effect(principals, scope, delay=delay):
            if permits(self._permissions(held.role), action, data=data):
                if not held.doc.get("condition") or fulfilled(held.doc["condition"], facts):
                    return "yes"
                found = "conditional"
        return found

    def _permissions(self, role: str) -> tuple[RolePermission, ...]:
        found = self.role(role)
        if isinstance(found, BuiltInRole):
            return found.permissions
        if found is None:
            return ()
        return permissions_of(found["properties"]["permissions"])


def permissions_of(blocks: list[Doc]) -> tuple[RolePermission, ...]:
    """The permission blocks of a role definition's wire form."""
    return tuple(
        RolePermission(
            *(tuple(block.get(name) or ()) for name in ("actions", "notActions", "dataActions", "notDataActions"))
        )
        for block in blocks
    )


def key_of(resource_id: str) -> str:
    """The form of an id that rows are found by; the root is the empty key."""
    return resource_id.rstrip("/").lower()


def parent_of(resource_id: str) -> str:
    """The key of what encloses a resource; empty for a subscription or management group."""
    outer = key_of(resource_id).rsplit("/", 2)[0]
    if outer.rsplit("/", 2)[-2:-1] == ["providers"]:
        outer = outer.rsplit("/", 2)[0]
    return outer
