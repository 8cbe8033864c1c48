"""Client assertions: JWTs signed with a declared certificate, or issued by a declared federated identity provider."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from typing import Any, NoReturn

import jwt
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from entrant.facts.conditions import like
from local_azure.directory import Doc
from local_azure.tokens import SIGNATURE_ONLY
from local_azure.wire import utc
from local_azure.world import World

SKEW = 300.0
LONGEST = 32 * 1024
"""Characters of an assertion. [?] What Entra ID's limit is, no document says."""


class AssertionRefused(Exception):
    """Entra's answer to a client assertion that proves nothing."""

    def __init__(self, status: int, error: str, code: int, text: str) -> None:
        super().__init__(text)
        self.status, self.error, self.code, self.text = status, error, code, text


def check_assertion(
    world: World, assertion: str, client_id: str, application: Doc | None, owners: list[str], audiences: Iterable[str]
) -> str | None:
    """Accept a client assertion or raise `AssertionRefused`; the key id of its certificate, if it has one.

    Self-signed (issuer and subject are the client) is checked against the owners' certificates, anything else against the
    application's federated identity credentials.
    """
    try:
        if len(assertion) > LONGEST:
            raise ValueError("too long")
        header = jwt.get_unverified_header(assertion)
        claims: dict[str, Any] = jwt.decode(assertion, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        text = "Client assertion is not a valid JSON Web Token: the token is malformed."
        raise AssertionRefused(401, "invalid_client", 50027, text) from error
    if claims.get("iss") == claims.get("sub") == client_id or claims.get("iss") == client_id:
        return _certificate(world, assertion, header, claims, client_id, owners, set(audiences))
    _federated(world, assertion, claims, application)
    return None


def _certificate(
    world: World,
    assertion: str,
    header: dict[str, Any],
    claims: dict[str, Any],
    client_id: str,
    owners: list[str],
    audiences: set[str],
) -> str:
    now, delay = world.store.now(), world.propagation("secrets")
    thumbprints = {_decoded(str(header.get(name, ""))) for name in ("x5t", "x5t#S256", "kid")} - {b""}
    for key_id, der, starts, ends, created in world.credentials.certificates(owners):
        prints = {hashlib.sha1(der, usedforsecurity=False).digest(), hashlib.sha256(der).digest()}
        if not thumbprints & prints or created + delay > now:
            continue
        if not signed_by(assertion, str(header.get("alg")), x509.load_der_x509_certificate(der).public_key()):
            text = "Client assertion failed signature validation."
            raise AssertionRefused(401, "invalid_client", 700027, text)
        if not starts <= now < ends:
            text = (
                f"The certificate with identifier used to sign the client assertion is expired on application. [Reason - The key "
                f"used is expired., Found key 'Start={utc(starts)}, End={utc(ends)}']"
            )
            raise AssertionRefused(401, "invalid_client", 1000502, text)
        _times(claims, now)
        if not _audience(claims) & {audience.rstrip("/") for audience in audiences}:
            text = f"Assertion audience claim does not match the required value. The assertion is for {sorted(_audience(claims))}."
            raise AssertionRefused(401, "invalid_client", 700023, text)
        if claims.get("sub") != client_id:
            raise AssertionRefused(
                401, "invalid_client", 700021, "Client assertion application identifier doesn't match 'client_id'."
            )
        return key_id
    text = (
        "The certificate used to sign the client assertion is not registered on application. [Reason - The key was not found., "
        f"Please visit the Azure Portal to register it for app '{client_id}']."
    )
    raise AssertionRefused(401, "invalid_client", 700027, text)


def _federated(world: World, assertion: str, claims: dict[str, Any], application: Doc | None) -> None:
    """Accept what an external identity provider says of a subject that the application declares as its own."""
    now, delay = world.store.now(), world.propagation("secrets")
    held = world.credentials.federated(application["id"]) if application is not None else []
    live = [credential for created, credential in held if created + delay <= now]
    issuer, subject = str(claims.get("iss")), str(claims.get("sub"))
    ours = [credential for credential in live if credential["issuer"] == issuer]
    if not ours:
        _no_match(700211, "issuer", issuer)
    if not world.issuers.signed(assertion, issuer):
        # [?] Entra's code for an external token whose signature does not verify is not documented for this flow.
        text = "Assertion failed signature validation. [Reason - The key was not found.]"
        raise AssertionRefused(401, "invalid_client", 50013, text)
    fitting = [credential for credential in ours if _names(credential, claims)]
    if not fitting:
        alike = any((credential["subject"] or "").lower() == subject.lower() for credential in ours)
        note = "Please note that the matching is done using a case-sensitive comparison. "
        _no_match(7002138 if alike else 700213, "subject", subject, note if alike else "")
    if not any(set(credential["audiences"]) & _audience(claims, strip=False) for credential in fitting):
        _no_match(700212, "audience", ", ".join(sorted(_audience(claims, strip=False))))
    _times(claims, now)


def _no_match(code: int, part: str, value: str, note: str = "") -> NoReturn:
    text = (
        f"No matching federated identity record found for presented assertion {part} '{value}'. {note}Check your federated "
        "identity credential Subject, Audience and Issuer against the presented assertion. "
        "https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
    )
    raise AssertionRefused(401, "invalid_client", code, text)


MATCH = re.compile(r"\s*claims\['(?P<claim>[\w.]+)'\]\s+(?P<operator>matches|eq)\s+'(?P<value>[^']*)'\s*(?:and\b|\Z)")


def _names(credential: Doc, claims: dict[str, Any]) -> bool:
    """Whether a credential is for the assertion's subject: by `subject`, or by a flexible `claimsMatchingExpression`.

    Microsoft, "Flexible federated identity credentials": ``claims['sub'] matches 'repo:contoso/*:ref:refs/heads/*'``, several
    joined by `and`; `*` is any run of characters and `?` any one.
    """
    expression = (credential.get("claimsMatchingExpression") or {}).get("value")
    if not expression:
        return bool(credential["subject"] == claims.get("sub"))
    at = 0
    while at < len(expression):
        found = MATCH.match(expression, at)
        if found is None:
            return False
        value, pattern = str(claims.get(found["claim"], "")), found["value"]
        if not (value == pattern if found["operator"] == "eq" else like(value, pattern)):
            return False
        at = found.end()
    return True


def _times(claims: dict[str, Any], now: float) -> None:
    ends, starts = claims.get("exp"), claims.get("nbf", 0)
    if (
        not isinstance(ends, int | float)
        or not isinstance(starts, int | float)
        or not starts - SKEW <= now < ends + SKEW
    ):
        text = "Client assertion is not within its valid time range. Check the system clock and the assertion's 'nbf' and 'exp'."
        raise AssertionRefused(401, "invalid_client", 700024, text)


def _audience(claims: dict[str, Any], *, strip: bool = True) -> set[str]:
    found = claims.get("aud")
    texts = [str(one) for one in (found if isinstance(found, list) else [found])]
    return {text.rstrip("/") if strip else text for text in texts}


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except (binascii.Error, ValueError):
        return b""


def signed_by(assertion: str, algorithm: str, key: Any) -> bool:
    """Whether a key signed the assertion; an ES256 signature may be DER (as go-azure-sdk writes it) or JOSE's raw form."""
    if isinstance(key, rsa.RSAPublicKey) and algorithm in ("RS256", "PS256"):
        try:
            jwt.decode(
                assertion,
                key,
                algorithms=[algorithm],
                options=SIGNATURE_ONLY,
            )
        except jwt.PyJWTError:
            return False
        return True
    if isinstance(key, ec.EllipticCurvePublicKey) and algorithm == "ES256":
        signed, _, signature = assertion.rpartition(".")
        raw = _decoded(signature)
        try:
            key.verify(raw, signed.encode(), ec.ECDSA(hashes.SHA256()))
            return True
        except InvalidSignature:
            pass
        try:
            jwt.decode(
                assertion,
                key,
                algorithms=["ES256"],
                options=SIGNATURE_ONLY,
            )
        except jwt.PyJWTError:
            return False
        return True
    return False
