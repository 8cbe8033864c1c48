"""External identity providers: a pretend GitHub whose tokens are trusted here, and others by their published keys.

No request ever leaves this machine: an issuer's keys are those of the pretend provider, or those that were registered for it.
"""

from __future__ import annotations

import json
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from local_azure.store import Store
from local_azure.tokens import SIGNATURE_ONLY
from local_azure.wire import new_guid

GITHUB = "https://token.actions.githubusercontent.com"
AUDIENCE = "api://AzureADTokenExchange"
"""The audience that Entra ID expects of federated assertions in the public cloud."""
LIFETIME = 600


class Issuers:
    """Issues assertions as any provider, and checks those of known ones."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._key: ec.EllipticCurvePrivateKey | None = None

    def issue(self, subject: str, *, issuer: str = GITHUB, audience: str = AUDIENCE, **claims: Any) -> str:
        """A signed assertion that the local Azure takes for `issuer`'s."""
        now = int(self.store.now())
        content = {
            "jti": new_guid(),
            "sub": subject,
            "aud": audience,
            "iss": issuer,
            "nbf": now - 5,
            "iat": now,
            "exp": now + LIFETIME,
            **(_github(subject) if issuer == GITHUB else {}),
            **claims,
        }
        return jwt.encode(content, self._private(), "ES256", headers={"kid": "local"})

    def signed(self, assertion: str, issuer: str) -> bool:
        """Whether an assertion was signed by the pretend provider or with a key registered for `issuer`."""
        keys: list[Any] = [self._private().public_key()]
        registered = self.store.setting(f"issuer.{issuer}")
        if registered is not None:
            keys += [key.key for key in jwt.PyJWKSet.from_dict(json.loads(registered)).keys]
        return any(_verifies(assertion, key) for key in keys)

    def register(self, issuer: str, keys: dict[str, Any]) -> None:
        """Trust a provider's JSON Web Key Set for its issuer; `ValueError` when it is none."""
        try:
            jwt.PyJWKSet.from_dict(keys)
        except (jwt.PyJWTError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no JSON Web Key Set: {error}") from error
        self.store.set_setting(f"issuer.{issuer}", json.dumps(keys))

    def jwks(self) -> dict[str, Any]:
        """The pretend provider's public key."""
        key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._private().public_key()))
        return {"keys": [key | {"kid": "local", "use": "sig", "alg": "ES256"}]}

    def _private(self) -> ec.EllipticCurvePrivateKey:
        if self._key is not None:
            return self._key
        pem = self.store.setting("issuer_key")
        if pem is None:
            made = ec.generate_private_key(ec.SECP256R1())
            pem = made.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ).decode()
            with self.store.write():
                self.store.set_setting("issuer_key", pem)
        key = serialization.load_pem_private_key(pem.encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey), "the stored key is the one made above"
        self._key = key
        return key


def _github(subject: str) -> dict[str, Any]:
    """The claims of a GitHub Actions token that follow from its subject, such as ``repo:o/r:ref:refs/heads/main``."""
    parts = subject.split(":")
    if len(parts) < 3 or parts[0] != "repo":
        return {}
    owner = parts[1].split("/")[0]
    claims = {
        "repository": parts[1],
        "repository_owner": owner,
        "ref": "refs/heads/main",
        "job_workflow_ref": f"{parts[1]}/.github/workflows/ci.yml@refs/heads/main",
        "runner_environment": "github-hosted",
    }
    return claims | {parts[2]: ":".join(parts[3:])} if parts[2] in ("ref", "environment") else claims


def _verifies(assertion: str, key: Any) -> bool:
    algorithms = ["ES256"] if isinstance(key, ec.EllipticCurvePublicKey) else ["RS256"]
    try:
        jwt.decode(assertion, key, algorithms=algorithms, options=SIGNATURE_ONLY)
    except (jwt.PyJWTError, TypeError):
        return False
    return True
