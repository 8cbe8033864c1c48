"""The credentials of applications and service principals: client secrets, certificates, federated identities."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from local_azure.store import Store

Doc = dict[str, Any]

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_~.-"


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """A stored client secret: never its value. Times are seconds since 1970."""

    key_id: str
    starts: float
    ends: float
    created: float
    matches: bool


class Credentials:
    """Reads and writes of credentials; an owner is the object id of an application or a service principal."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def add_secret(
        self, owner: str, key_id: str, value: str, starts: float, ends: float, *, created: float | None = None
    ) -> None:
        """Keep a client secret's salted hash."""
        salt = secrets.token_bytes(16)
        when = self.store.now() if created is None else created
        self.store.run(
            "INSERT INTO secret VALUES (?, ?, ?, ?, ?, ?, ?)",
            key_id,
            owner.lower(),
            _hash(salt, value),
            salt,
            starts,
            ends,
            when,
        )

    def secrets_of(self, owners: Iterable[str], value: str) -> list[StoredSecret]:
        """Every client secret of the owners, each marked with whether `value` is it."""
        found = []
        for owner in owners:
            for key_id, digest, salt, starts, ends, created in self.store.rows(
                "SELECT key_id, hash, salt, starts, ends, created FROM secret WHERE owner = ?", owner.lower()
            ):
                found.append(
                    StoredSecret(key_id, starts, ends, created, hmac.compare_digest(digest, _hash(salt, value)))
                )
        return found

    def secret_times(self, owner: str) -> dict[str, float]:
        """When each client secret of an owner was made, by key id."""
        return dict(self.store.rows("SELECT key_id, created FROM secret WHERE owner = ?", owner.lower()))

    def remove_secret(self, owner: str, key_id: str) -> bool:
        """Forget a client secret; `False` when there is none with this key id."""
        return self.store.run("DELETE FROM secret WHERE owner = ? AND key_id = ?", owner.lower(), key_id.lower()) == 1

    def set_certificates(self, owner: str, keys: list[tuple[str, bytes, float, float]]) -> None:
        """Let an owner have exactly these certificates: (key id, DER, start, end)."""
        ids = [key[0] for key in keys]
        self.store.run(
            f"DELETE FROM certificate WHERE owner = ? AND key_id NOT IN ({','.join('?' * len(ids))})",
            owner.lower(),
            *ids,
        )
        for key_id, der, starts, ends in keys:
            self.store.run(
                "INSERT OR IGNORE INTO certificate VALUES (?, ?, ?, ?, ?, ?)",
                *(key_id, owner.lower(), der, starts, ends, self.store.now()),
            )

    def certificates(self, owners: Iterable[str]) -> list[tuple[str, bytes, float, float, float]]:
        """Every certificate of the owners: (key id, DER, start, end, created)."""
        return [
            (row[0], row[1], row[2], row[3], row[4])
            for owner in owners
            for row in self.store.rows(
                "SELECT key_id, der, starts, ends, created FROM certificate WHERE owner = ?", owner.lower()
            )
        ]

    def note_sign_in(self, doc: Doc) -> None:
        """Keep the last sign-in with a client secret or certificate; `doc["keyId"]` says which."""
        self.store.run("INSERT OR REPLACE INTO sign_in VALUES (?, ?)", doc["keyId"].lower(), json.dumps(doc))

    def sign_ins(self) -> list[Doc]:
        """The last sign-in with each credential, whether or not that is still there."""
        return [json.loads(doc) for (doc,) in self.store.rows("SELECT doc FROM sign_in")]

    def add_federated(self, owner: str, doc: Doc) -> None:
        """Add a federated identity credential; `doc["id"]` is its id."""
        self.store.run(
            "INSERT INTO federated VALUES (?, ?, ?, ?, ?)",
            *(doc["id"].lower(), owner.lower(), doc["name"], self.store.now(), json.dumps(doc)),
        )

    def update_federated(self, doc: Doc) -> None:
        """Replace a federated identity credential."""
        self.store.run(
            "UPDATE federated SET doc = ?, created = ? WHERE id = ?",
            json.dumps(doc),
            self.store.now(),
            doc["id"].lower(),
        )

    def federated(self, owner: str) -> list[tuple[float, Doc]]:
        """An application's federated identity credentials, as (created, credential)."""
        rows = self.store.rows("SELECT created, doc FROM federated WHERE owner = ? ORDER BY created", owner.lower())
        return [(row[0], json.loads(row[1])) for row in rows]

    def remove_federated(self, owner: str, credential_id: str) -> bool:
        """Remove a federated identity credential; `False` when there is none with this id."""
        return (
            self.store.run("DELETE FROM federated WHERE owner = ? AND id = ?", owner.lower(), credential_id.lower())
            == 1
        )


def new_secret() -> str:
    """A client secret as Entra makes them: 40 characters, of which the first three are its hint."""
    head = "".join(secrets.choice(ALPHABET[:62]) for _ in range(3))
    return f"{head}8Q~" + "".join(secrets.choice(ALPHABET) for _ in range(34))


def _hash(salt: bytes, value: str) -> bytes:
    return hashlib.sha256(salt + value.encode()).digest()
