"""The state on disk: one SQLite file, one connection, every request one transaction.

Write-ahead logging makes a committed transaction survive ``kill -9`` of the process; a half-done request leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

SCHEMA = (
    """
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE signing_key (kid TEXT PRIMARY KEY, private_pem BLOB NOT NULL, created REAL NOT NULL);

CREATE TABLE object (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, deleted REAL,
    created REAL NOT NULL, doc TEXT NOT NULL);
CREATE INDEX object_kind ON object (kind, deleted, seq);
CREATE TABLE attribute (name TEXT NOT NULL, value TEXT NOT NULL COLLATE NOCASE, seq INTEGER NOT NULL,
    PRIMARY KEY (name, value, seq)) WITHOUT ROWID;
CREATE INDEX attribute_seq ON attribute (seq);
CREATE TABLE link (source TEXT NOT NULL, relation TEXT NOT NULL, target TEXT NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (source, relation, target)) WITHOUT ROWID;
CREATE INDEX link_target ON link (target, relation);
CREATE TABLE secret (key_id TEXT PRIMARY KEY, owner TEXT NOT NULL, hash BLOB NOT NULL, salt BLOB NOT NULL, starts REAL NOT NULL,
    ends REAL NOT NULL, created REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX secret_owner ON secret (owner);
CREATE TABLE certificate (key_id TEXT NOT NULL, owner TEXT NOT NULL, der BLOB NOT NULL, starts REAL NOT NULL, ends REAL NOT NULL,
    created REAL NOT NULL, PRIMARY KEY (owner, key_id)) WITHOUT ROWID;
CREATE TABLE federated (id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, created REAL NOT NULL,
    doc TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX federated_owner ON federated (owner, name);
CREATE TABLE blob (owner TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (owner, name)) WITHOUT ROWID;
CREATE TABLE app_role_assignment (id TEXT PRIMARY KEY, resource TEXT NOT NULL, principal TEXT NOT NULL, role TEXT NOT NULL,
    created REAL NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX app_role_assignment_once ON app_role_assignment (resource, principal, role);
CREATE INDEX app_role_assignment_principal ON app_role_assignment (principal);
CREATE TABLE permission_grant (id TEXT PRIMARY KEY, client TEXT NOT NULL, resource TEXT NOT NULL, doc TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX permission_grant_client ON permission_grant (client);
CREATE INDEX permission_grant_resource ON permission_grant (resource);

CREATE TABLE resource (seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, id TEXT NOT NULL, type TEXT NOT NULL,
    parent TEXT NOT NULL, doc TEXT NOT NULL);
CREATE INDEX resource_parent ON resource (parent, seq);
CREATE TABLE workspace (customer_id TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE) WITHOUT ROWID;
CREATE TABLE role_definition (id TEXT PRIMARY KEY, name TEXT NOT NULL COLLATE NOCASE UNIQUE, doc TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE role_assignment (name TEXT PRIMARY KEY, scope_key TEXT NOT NULL, scope TEXT NOT NULL, role TEXT NOT NULL,
    principal TEXT NOT NULL, created REAL NOT NULL, doc TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX role_assignment_scope ON role_assignment (scope_key);
CREATE INDEX role_assignment_same ON role_assignment (principal, scope_key, role);
CREATE INDEX role_assignment_role ON role_assignment (role);

CREATE TABLE log_table (workspace TEXT NOT NULL, name TEXT NOT NULL, columns TEXT NOT NULL,
    PRIMARY KEY (workspace, name)) WITHOUT ROWID;
CREATE TABLE log_row (seq INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT NOT NULL, name TEXT NOT NULL, time REAL NOT NULL,
    doc TEXT NOT NULL);
CREATE INDEX log_row_table ON log_row (workspace, name, time);
CREATE TABLE metric (seq INTEGER PRIMARY KEY AUTOINCREMENT, resource TEXT NOT NULL, namespace TEXT NOT NULL COLLATE NOCASE,
    name TEXT NOT NULL COLLATE NOCASE, time REAL NOT NULL, doc TEXT NOT NULL);
CREATE INDEX metric_resource ON metric (resource, namespace, name, time);
""",
    """
CREATE TABLE vault (name TEXT PRIMARY KEY, key TEXT NOT NULL, deleted REAL, doc TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX vault_key ON vault (key);
CREATE TABLE vault_secret (seq INTEGER PRIMARY KEY AUTOINCREMENT, vault TEXT NOT NULL, name TEXT NOT NULL COLLATE NOCASE,
    version TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL, deleted REAL, doc TEXT NOT NULL, value BLOB NOT NULL,
    UNIQUE (vault, name, version));
""",
    """
CREATE TABLE operation (id TEXT PRIMARY KEY, due REAL NOT NULL, settled INTEGER NOT NULL, doc TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX operation_due ON operation (settled, due);
""",
    """
CREATE TABLE management (child TEXT PRIMARY KEY, parent TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX management_parent ON management (parent);
""",
    """
CREATE TABLE sign_in (key_id TEXT PRIMARY KEY, doc TEXT NOT NULL) WITHOUT ROWID;
""",
)
"""The tables, step by step: a state of version n has the first n steps, and gets the rest when it is opened."""


class Store:
    """The database of one state directory, made on first use with mode 0600; only `reading`, one that is there is left as it is.

    Nothing else in this process may open the file: closing it again would drop SQLite's POSIX locks, which are the process's
    (sqlite.org, "How To Corrupt An SQLite Database File", 2.2), and whoever opens the database next would take it for unused
    and delete the log with everything that was written since.
    """

    def __init__(self, path: Path, *, reading: bool = False) -> None:
        self.path = path
        if reading:
            self.db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        else:
            self._open(path)
        self._clock = json.loads(self.setting("clock") or '{"real": 0, "local": 0, "speed": 1}')

    def _open(self, path: Path) -> None:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        found = self.db.execute("PRAGMA user_version").fetchone()[0]
        if found > len(SCHEMA):
            raise StateVersionError(path, found)
        if found < len(SCHEMA):
            with self.write():
                for statement in ";".join(SCHEMA[found:]).split(";"):
                    self.db.execute(statement)
                self.db.execute(f"PRAGMA user_version={len(SCHEMA)}")
        # A state made before this index was there gets it; without it, each assignment looked at all others at its scope.
        self.db.execute(
            "CREATE INDEX IF NOT EXISTS role_assignment_same ON role_assignment (principal, scope_key, role)"
        )

    def close(self) -> None:
        """Close the file; nothing can be read or written afterwards."""
        self.db.close()

    @contextmanager
    def write(self) -> Iterator[None]:
        """One transaction, or a part of the one that runs: all inside it is kept or, when it raises, nothing."""
        inner = self.db.in_transaction
        self.db.execute("SAVEPOINT part" if inner else "BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK TO part" if inner else "ROLLBACK")
            raise
        finally:
            if inner:
                self.db.execute("RELEASE part")
        if not inner:
            self.db.execute("COMMIT")

    def erase(self, *, settings: tuple[str, ...]) -> None:
        """Remove everything but the signing keys and the settings named here."""
        tables = self.rows("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        for (table,) in tables:
            if table not in ("setting", "signing_key"):
                self.run(f"DELETE FROM {table}")
        marks = ",".join("?" * len(settings))
        self.run(f"DELETE FROM setting WHERE name NOT IN ({marks})", *settings)

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self.db.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row of a query, or `None`."""
        found: tuple[Any, ...] | None = self.db.execute(sql, values).fetchone()
        return found

    def run(self, sql: str, *values: Any) -> int:
        """Run a statement that changes data; the number of rows it changed."""
        return self.db.execute(sql, values).rowcount

    def setting(self, name: str) -> str | None:
        """A named setting as text, or `None`."""
        found = self.row("SELECT value FROM setting WHERE name = ?", name)
        return None if found is None else str(found[0])

    def set_setting(self, name: str, value: str) -> None:
        """Keep a named setting."""
        self.run(
            "INSERT INTO setting VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value
        )

    def now(self) -> float:
        """The local Azure's clock, in seconds since 1970: the machine's, unless it was moved or sped up."""
        clock = self._clock
        return float(clock["local"] + (time.time() - clock["real"]) * clock["speed"])

    def set_clock(self, *, offset: float | None = None, speed: float | None = None) -> None:
        """Put the clock `offset` seconds from the machine's (the present reading when `None`) and let it run at `speed`."""
        real = time.time()
        local = self.now() if offset is None else real + offset
        self._clock = {"real": real, "local": local, "speed": self._clock["speed"] if speed is None else speed}
        self.set_setting("clock", json.dumps(self._clock))

    @property
    def clock_speed(self) -> float:
        """How many local seconds pass in one of the machine's."""
        return float(self._clock["speed"])


class StateVersionError(Exception):
    """The state was written by a newer version of the local Azure."""

    def __init__(self, path: Path, found: int) -> None:
        super().__init__(
            f"{path} has state of version {found}, this local Azure reads versions up to {len(SCHEMA)}. "
            "Remove the state directory (and the Pulumi state that points at it) to start afresh."
        )
