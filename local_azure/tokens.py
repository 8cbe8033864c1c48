"""Access tokens: RS256-signed JWTs with keys that exist only in this state directory."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local_azure.store import Store

LIFETIME = 3599
"""Seconds that an access token is said to live (`expires_in`), as Entra ID says for an app."""
SIGNATURE_ONLY: Any = {f"verify_{name}": False for name in ("aud", "exp", "nbf", "iat", "iss", "sub", "jti")}
"""For PyJWT: check the signature and nothing else; times go by the local Azure's clock."""
PUBLISHED = 2
"""How many of the newest signing keys are published, so that a token from before a rotation still validates."""
REMEMBERED = 1000
"""How many tokens whose signature was found good are kept, so that a client's next request costs no second check."""


class TokenError(Exception):
    """A token is not one of ours; `expired` when it once was."""

    def __init__(self, message: str, *, expired_at: float | None = None) -> None:
        super().__init__(message)
        self.expired_at = expired_at


class Signer:
    """Signs and checks tokens."""

    def __init__(self, store: Store) -> None:
        self.store = store
        if store.row("SELECT 1 FROM signing_key") is None:
            with store.write():
                self._add_key()
        self._load()

    def rotate(self) -> None:
        """Sign with a new key from now on; the one before stays published."""
        self._add_key()
        self._load()

    def sign(self, claims: dict[str, Any]) -> str:
        """A signed JWT with these claims."""
        return jwt.encode(claims, self._private, algorithm="RS256", headers={"kid": self._kid, "x5t": self._kid})

    def verify(self, token: str) -> dict[str, Any]:
        """The claims (not to be changed) of a token that this tenant signed and that is valid now; `TokenError` otherwise."""
        claims = self._good.get(token) or self._checked(token)
        if claims["exp"] <= self.store.now():
            raise TokenError("expired", expired_at=claims["exp"])
        return claims

    def _checked(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            key = self._public.get(str(header.get("kid")))
            if key is None:
                raise TokenError("signed by an unknown key")
            claims: dict[str, Any] = jwt.decode(token, key, algorithms=["RS256"], options=SIGNATURE_ONLY)
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise TokenError("not a token of this tenant") from error
        if len(self._good) >= REMEMBERED:
            del self._good[next(iter(self._good))]
        self._good[token] = claims
        return claims

    def jwks(self) -> dict[str, Any]:
        """The published keys as a JSON Web Key Set."""
        keys = []
        for kid, key in self._public.items():
            numbers = key.public_numbers()
            keys.append(
                {
                    "kty": "RSA",
                    "use": "sig",
                    "alg": "RS256",
                    "kid": kid,
                    "x5t": kid,
                    "n": _encode(numbers.n.to_bytes(256)),
                    "e": _encode(numbers.e.to_bytes(3)),
                }
            )
        return {"keys": keys}

    def _add_key(self) -> None:
        key = rsa.generate_private_key(65537, 2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        kid = _encode(hashlib.sha1(public, usedforsecurity=False).digest())
        self.store.run("INSERT INTO signing_key VALUES (?, ?, ?)", kid, pem, self.store.now())

    def _load(self) -> None:
        rows = self.store.rows(
            f"SELECT kid, private_pem FROM signing_key ORDER BY created DESC, rowid DESC LIMIT {PUBLISHED}"
        )
        loaded = {
            kid: serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True) for kid, pem in rows
        }
        keys = {kid: key for kid, key in loaded.items() if isinstance(key, rsa.RSAPrivateKey)}
        self._kid, self._private = next(iter(keys.items()))
        self._public = {kid: key.public_key() for kid, key in keys.items()}
        self._good: dict[str, dict[str, Any]] = {}


def unique_id() -> str:
    """A token's `uti`: 22 characters that no other token has."""
    return secrets.token_urlsafe(16)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
