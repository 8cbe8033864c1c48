"""Key Vault's state: which vaults there are, and their secrets, encrypted with a key that is not in the database.

The key is `vault.key` in the state directory (0600), made with the first secret. Deleted vaults and secrets stay recoverable.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.fernet import Fernet

from local_azure.files import write_private
from local_azure.store import Store

Doc = dict[str, Any]

RETENTION = 90 * 86400.0
"""Seconds that what was deleted can be recovered, unless the vault says otherwise (Key Vault, "soft-delete overview")."""


@dataclass(frozen=True, slots=True)
class Vault:
    """A vault: its globally unique name, the key of its resource, and when it was deleted (`None`: it is live)."""

    name: str
    key: str
    deleted: float | None
    doc: Doc

    @property
    def retention(self) -> float:
        """Seconds that its deleted secrets, and itself when deleted, can be recovered."""
        days = self.doc["properties"].get("softDeleteRetentionInDays")
        return days * 86400.0 if isinstance(days, int) else RETENTION


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """One version of a secret: `doc` has `attributes`, `contentType` and `tags` as they were given.

    Times are seconds since 1970.
    """

    seq: int
    name: str
    version: str
    created: float
    updated: float
    deleted: float | None
    doc: Doc
    sealed: bytes = field(repr=False)


class Vaults:
    """Reads and writes of vaults and secrets. Vault names are lower-case here."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._fernet: Fernet | None = None

    # Vaults

    def get(self, name: str) -> Vault | None:
        """The vault of this name, live or deleted and still recoverable, or `None`."""
        found = self.store.row("SELECT name, key, deleted, doc FROM vault WHERE name = ?", name.lower())
        vault = None if found is None else Vault(found[0], found[1], found[2], json.loads(found[3]))
        if vault is not None and vault.deleted is not None and vault.deleted + vault.retention <= self.store.now():
            return None
        return vault

    def put(self, name: str, key: str, doc: Doc) -> None:
        """Create or replace a live vault; one whose recovery time is over loses its secrets."""
        if self.get(name) is None:
            self.purge(name)
        self.store.run("INSERT OR REPLACE INTO vault VALUES (?, ?, NULL, ?)", name.lower(), key, json.dumps(doc))

    def deleted(self) -> list[Vault]:
        """The deleted vaults that can be recovered."""
        names = self.store.rows("SELECT name FROM vault WHERE deleted IS NOT NULL ORDER BY name")
        return [vault for (name,) in names if (vault := self.get(name)) is not None]

    def purge(self, name: str) -> None:
        """Remove a vault and its secrets for good."""
        self.store.run("DELETE FROM vault WHERE name = ?", name.lower())
        self.store.run("DELETE FROM vault_secret WHERE vault = ?", name.lower())

    # Secrets

    def add(self, vault: str, name: str, version: str, doc: Doc, value: str, *, at: float | None = None) -> None:
        """Add a version of a secret, which is its newest from now on."""
        now = self.store.now() if at is None else at
        sealed = self._cipher().encrypt(value.encode())
        self.store.run(
            "INSERT INTO vault_secret (vault, name, version, created, updated, deleted, doc, value) "
            "VALUES (?, ?, ?, ?, ?, NULL, ?, ?)",
            *(vault, name, version, now, now, json.dumps(doc), sealed),
        )

    def value(self, one: SecretVersion) -> str:
        """The value of a version."""
        return self._cipher().decrypt(one.sealed).decode()

    def versions(self, vault: Vault, name: str, *, deleted: bool = False) -> list[SecretVersion]:
        """The versions of a secret, oldest first, while it is live (or, with `deleted`, deleted and recoverable)."""
        rows = self.store.rows(
            f"SELECT {COLUMNS} FROM vault_secret WHERE vault = ? AND name = ? ORDER BY seq", vault.name, name
        )
        return [one for one in (_version(row) for row in rows) if self._state(vault, one) == deleted]

    def newest(self, vault: Vault, *, after: int, limit: int, deleted: bool = False) -> list[SecretVersion]:
        """The newest version of each secret that is live (or deleted), in order of their `seq`, at most `limit` above `after`."""
        rows = self.store.rows(
            f"SELECT {COLUMNS} FROM vault_secret AS one WHERE vault = ? AND seq > ? "
            "AND CASE WHEN ? THEN deleted > ? ELSE deleted IS NULL END "
            "AND seq = (SELECT max(seq) FROM vault_secret WHERE vault = one.vault AND name = one.name) ORDER BY seq LIMIT ?",
            *(vault.name, after, deleted, self.store.now() - vault.retention, limit),
        )
        return [_version(row) for row in rows]

    def update(self, vault: str, one: SecretVersion, doc: Doc) -> None:
        """Replace what is said about a version."""
        self.store.run(
            "UPDATE vault_secret SET doc = ?, updated = ? WHERE vault = ? AND seq = ?",
            *(json.dumps(doc), self.store.now(), vault, one.seq),
        )

    def set_deleted(self, vault: str, name: str, moment: float | None) -> None:
        """Delete a secret, or recover it (`None`)."""
        self.store.run("UPDATE vault_secret SET deleted = ? WHERE vault = ? AND name = ?", moment, vault, name)

    def forget(self, vault: str, name: str) -> None:
        """Remove a secret for good."""
        self.store.run("DELETE FROM vault_secret WHERE vault = ? AND name = ?", vault, name)

    def _state(self, vault: Vault, one: SecretVersion) -> bool | None:
        """Whether a version is deleted; `None` when it is past recovery."""
        if one.deleted is None:
            return False
        return True if one.deleted + vault.retention > self.store.now() else None

    def seal(self, value: str) -> str:
        """`value` encrypted, as base64url without padding: what a backup holds."""
        return self._cipher().encrypt(value.encode()).decode().rstrip("=")

    def unseal(self, text: str) -> str:
        """What `seal` was given; `cryptography.fernet.InvalidToken` when the text is none of its own."""
        return self._cipher().decrypt(text.encode() + b"=" * (-len(text) % 4)).decode()

    def _cipher(self) -> Fernet:
        if self._fernet is None:
            path = self.store.path.with_name("vault.key")
            if not path.exists():
                write_private(path, Fernet.generate_key())
            self._fernet = Fernet(path.read_bytes())
        return self._fernet


COLUMNS = "seq, name, version, created, updated, deleted, doc, value"


def _version(row: tuple[Any, ...]) -> SecretVersion:
    seq, name, version, created, updated, deleted, doc, sealed = row
    return SecretVersion(seq, name, version, created, updated, deleted, json.loads(doc), sealed)
