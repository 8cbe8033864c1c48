"""The directory's state: applications, service principals, groups, users, links and grants.

Only state: what an object looks like on the wire, and which change is allowed, is for ``graph/``. Objects are plain dictionaries as
Microsoft Graph spells them. A few properties are indexed (`INDEXED`) so that a look-up never reads every object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

from local_azure.store import Store

Doc = dict[str, Any]
Kind = Literal[
    "application",
    "servicePrincipal",
    "group",
    "user",
    "administrativeUnit",
    "directoryRole",
    "roleDefinition",
    "roleAssignment",
    "roleEligibility",
]

INDEXED = (
    "appId",
    "applicationTemplateId",
    "displayName",
    "employeeId",
    "identifierUris",
    "mail",
    "mailNickname",
    "principalId",
    "roleDefinitionId",
    "roleTemplateId",
    "servicePrincipalNames",
    "tags",
    "uniqueName",
    "userPrincipalName",
)
MANY = 500
"""How many objects fit a filter before they are looked for one by one."""
RETENTION = 30 * 86400.0
"""Seconds that a deleted object can still be restored (Microsoft Graph, "deletedItems": 30 days)."""


class Directory:
    """Reads and writes of one tenant's directory."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # Objects

    def create(self, kind: Kind, doc: Doc) -> None:
        """Add an object; `doc["id"]` is its object id."""
        now = self.store.now()
        self.store.run(
            "INSERT INTO object (id, kind, deleted, created, doc) VALUES (?, ?, NULL, ?, ?)",
            doc["id"].lower(),
            kind,
            now,
            json.dumps(doc),
        )
        self._index(doc)

    def get(self, object_id: str, kind: Kind | None = None) -> Doc | None:
        """The live object with this id (and kind), or `None`."""
        found = self.store.row("SELECT doc, kind FROM object WHERE id = ? AND deleted IS NULL", object_id.lower())
        if found is None or (kind is not None and found[1] != kind):
            return None
        doc: Doc = json.loads(found[0])
        return doc

    def kind_of(self, object_id: str) -> Kind | None:
        """Which kind of live object this id is, or `None`."""
        found = self.store.row("SELECT kind FROM object WHERE id = ? AND deleted IS NULL", object_id.lower())
        return None if found is None else found[0]

    def find(self, kind: Kind, name: str, value: str) -> list[Doc]:
        """Live objects whose indexed property `name` is, or has among its values, `value` (case ignored)."""
        return [doc for _, doc in self.scan(kind, index=(name, "eq", [value]))]

    def scan(
        self, kind: Kind, *, after: int = 0, index: tuple[str, str, list[str]] | None = None, deleted: bool = False
    ) -> Iterator[tuple[int, Doc]]:
        """Objects of a kind in order of creation, as (sequence number, object), lazily.

        `index` is (property, "eq" or "startswith", values): only objects that one of the values fits are read; the property is
        `id` or one of `INDEXED`.
        """
        state = "deleted IS NOT NULL" if deleted else "deleted IS NULL"
        values: list[Any]
        if index is None:
            where, values = "", []
        elif index[0] == "id":
            where = f" AND id IN ({','.join('?' * len(index[2]))})"
            values = [value.lower() for value in index[2]]
        else:
            name, operator, wanted = index
            if operator == "eq":
                test, values = f"value IN ({','.join('?' * len(wanted))})", [name, *wanted]
            else:
                test = " OR ".join("(value >= ? AND value < ?)" for _ in wanted)
                values = [name, *(bound for value in wanted for bound in (value, value + "\U0010ffff"))]
            fitting = f"SELECT seq FROM attribute WHERE name = ? AND ({test})"
            few = len(self.store.rows(f"{fitting} LIMIT {MANY}", *values)) < MANY
            where = f" AND seq IN ({fitting})"
            if not few:  # a page of them is found sooner among all objects than by putting all that fit in order first
                where = f" AND EXISTS ({fitting} AND attribute.seq = object.seq)"
        cursor = self.store.db.execute(
            f"SELECT seq, doc FROM object WHERE kind = ? AND {state} AND seq > ?{where} ORDER BY seq",
            (kind, after, *values),
        )
        for seq, doc in cursor:
            yield seq, json.loads(doc)

    def newest(self, kind: Kind, limit: int) -> list[Doc]:
        """The live objects of a kind that were created last, newest first."""
        rows = self.store.rows(
            "SELECT doc FROM object WHERE kind = ? AND deleted IS NULL ORDER BY seq DESC LIMIT ?", kind, limit
        )
        return [json.loads(row[0]) for row in rows]

    def count(self, kind: Kind) -> int:
        """How many live objects of a kind there are."""
        found = self.store.row("SELECT count(*) FROM object WHERE kind = ? AND deleted IS NULL", kind)
        return 0 if found is None else int(found[0])

    def used(self) -> int:
        """How much of the directory's size quota is used: each object, and of the deleted ones a quarter."""
        found = self.store.row(
            "SELECT sum(deleted IS NULL), sum(deleted > ?) FROM object WHERE kind IN (?, ?, ?, ?)",
            *(self.store.now() - RETENTION, "application", "servicePrincipal", "group", "user"),
        )
        live, deleted = found or (0, 0)
        return int(live or 0) + int(deleted or 0) // 4

    def is_full(self, quota: int) -> bool:
        """Whether no further object fits; quick as long as fewer have ever been made."""
        made = self.store.row("SELECT coalesce(max(seq), 0) FROM object")
        return made is not None and made[0] >= quota and self.used() >= quota

    def update(self, doc: Doc) -> None:
        """Replace a live object by `doc`."""
        self.store.run("UPDATE object SET doc = ? WHERE id = ?", json.dumps(doc), doc["id"].lower())
        self._index(doc)

    def delete(self, object_id: str) -> None:
        """Put an object among the deleted ones."""
        self.store.run("UPDATE object SET deleted = ? WHERE id = ?", self.store.now(), object_id.lower())

    def restore(self, object_id: str) -> None:
        """Bring a deleted object back."""
        self.store.run("UPDATE object SET deleted = NULL WHERE id = ?", object_id.lower())

    def deleted(self, object_id: str) -> tuple[Kind, float, Doc] | None:
        """A deleted object that can still be restored: its kind, when it was deleted, itself."""
        found = self.store.row(
            "SELECT kind, deleted, doc FROM object WHERE id = ? AND deleted > ?",
            object_id.lower(),
            self.store.now() - RETENTION,
        )
        return None if found is None else (found[0], found[1], json.loads(found[2]))

    def purge(self, object_id: str) -> None:
        """Remove an object and everything that hangs on it, for good."""
        key = object_id.lower()
        self.store.run("DELETE FROM attribute WHERE seq = (SELECT seq FROM object WHERE id = ?)", key)
        self.store.run("DELETE FROM object WHERE id = ?", key)
        self.store.run("DELETE FROM link WHERE source = ? OR target = ?", key, key)
        for table in ("secret", "certificate", "federated", "blob"):
            self.store.run(f"DELETE FROM {table} WHERE owner = ?", key)
        self.drop_grants(key)

    def drop_grants(self, object_id: str) -> None:
        """Remove the app role assignments and delegated grants that a service principal has or gives."""
        key = object_id.lower()
        self.store.run("DELETE FROM app_role_assignment WHERE resource = ? OR principal = ?", key, key)
        self.store.run("DELETE FROM permission_grant WHERE client = ? OR resource = ?", key, key)

    def _index(self, doc: Doc) -> None:
        found = self.store.row("SELECT seq FROM object WHERE id = ?", doc["id"].lower())
        assert found is not None, "an object is indexed after it is stored"
        seq = found[0]
        wanted = {(name, str(value), seq) for name in INDEXED for value in _values(doc.get(name))}
        self.store.run("DELETE FROM attribute WHERE seq = ?", seq)
        self.store.db.executemany("INSERT OR IGNORE INTO attribute VALUES (?, ?, ?)", sorted(wanted))

    # Links (owners, members)

    def link(self, source: str, relation: str, target: str) -> bool:
        """Add `target` to a relation of `source`; `False` when it was there already."""
        return (
            self.store.run(
                "INSERT OR IGNORE INTO link SELECT ?, ?, ?, 1 + coalesce(max(seq), 0) FROM link WHERE source = ? AND relation = ?",
                *(source.lower(), relation, target.lower(), source.lower(), relation),
            )
            == 1
        )

    def unlink(self, source: str, relation: str, target: str) -> bool:
        """Take `target` out of a relation of `source`; `False` when it was not in it."""
        return (
            self.store.run(
                "DELETE FROM link WHERE source = ? AND relation = ? AND target = ?",
                source.lower(),
                relation,
                target.lower(),
            )
            == 1
        )

    def targets(self, source: str, relation: str) -> list[str]:
        """Ids of the live objects in a relation of `source`, in the order they were added."""
        rows = self.store.rows(
            "SELECT target FROM link JOIN object ON object.id = target WHERE source = ? AND relation = ? AND deleted IS NULL "
            "ORDER BY link.seq",
            *(source.lower(), relation),
        )
        return [row[0] for row in rows]

    def sources(self, target: str, relation: str) -> list[str]:
        """Ids of the live objects that have `target` in a relation."""
        rows = self.store.rows(
            "SELECT source FROM link JOIN object ON object.id = source WHERE target = ? AND relation = ? AND deleted IS NULL "
            "ORDER BY object.seq",
            *(target.lower(), relation),
        )
        return [row[0] for row in rows]

    def groups_of(self, object_id: str) -> set[str]:
        """Ids of every group that an object is in, directly or through other groups."""
        found: set[str] = set()
        edge = [object_id.lower()]
        while edge:
            held = {one for member in edge for one in self.sources(member, "members")} - found
            outer = {one for one in held if self.kind_of(one) == "group"}
            found |= outer
            edge = list(outer)
        return found

    # Grants

    def assign_app_role(self, assignment_id: str, resource: str, principal: str, role: str) -> bool:
        """Give `principal` an app role of `resource`; `False` when it has it."""
        return (
            self.store.run(
                "INSERT OR IGNORE INTO app_role_assignment VALUES (?, ?, ?, ?, ?)",
                *(assignment_id, resource.lower(), principal.lower(), role.lower(), self.store.now()),
            )
            == 1
        )

    def app_roles(
        self, *, resource: str | None = None, principal: str | None = None
    ) -> list[tuple[str, str, str, str, float]]:
        """App role assignments: (id, resource, principal, role, created), of a resource or of a principal."""
        column, value = ("resource", resource) if resource is not None else ("principal", principal)
        rows = self.store.rows(
            f"SELECT id, resource, principal, role, created FROM app_role_assignment WHERE {column} = ? ORDER BY created, id",
            str(value).lower(),
        )
        return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]

    def delegated(self, client: str) -> list[tuple[str, list[str]]]:
        """The delegated permissions that a service principal was given: (API's service principal, permissions)."""
        rows = self.store.rows(
            "SELECT resource, doc FROM permission_grant WHERE client = ? ORDER BY id", client.lower()
        )
        return [(row[0], (json.loads(row[1]).get("scope") or "").split()) for row in rows]

    def unassign_app_role(self, assignment_id: str) -> bool:
        """Take an app role assignment away; `False` when there is none with this id."""
        return self.store.run("DELETE FROM app_role_assignment WHERE id = ?", assignment_id) == 1


def _values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
