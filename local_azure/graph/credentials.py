"""Credentials of applications and service principals: client secrets and certificates."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from entrant.facts.apis import AZURE_AD_GRAPH
from local_azure.assertions import signed_by
from local_azure.credentials import new_secret
from local_azure.graph import schema, types
from local_azure.graph.context import Context, Kind, routes
from local_azure.graph.errors import bad_request, refuse
from local_azure.graph.policies import check_secret
from local_azure.graph.rights import APPLICATION, PRINCIPAL, may_write
from local_azure.tokens import SIGNATURE_ONLY
from local_azure.wire import Reply, epoch_of, is_guid, new_guid, utc

Doc = dict[str, Any]

TWO_YEARS = 2 * 365.25 * 86400
THREE_YEARS = 3 * 365 * 86400
MOST_CREDENTIALS = 1200
LARGEST_KEY = 64 * 1024
"""Characters of a `key` property. [?] No document has a limit; a certificate is a few kilobytes."""


def add_password(ctx: Context, doc: Doc, wanted: Doc) -> Doc:
    """Give `doc` a new client secret; the credential with its value, which is never shown again."""
    now = ctx.world.store.now()
    starts = wanted.get("startDateTime") or utc(now)
    ends = wanted.get("endDateTime") or utc(epoch_of(starts) + TWO_YEARS)
    if epoch_of(ends) <= epoch_of(starts):
        bad_request("The value of property 'endDateTime' must be later than that of 'startDateTime'.")
    if epoch_of(ends) <= now:
        text = (
            "Property passwordCredentials.endDateTime has an invalid value: the credential's end date is in the past."
        )
        bad_request(text, code="InvalidValue")
    check_secret(ctx, epoch_of(ends) - epoch_of(starts), application="servicePrincipalType" not in doc)
    if len(doc["passwordCredentials"]) >= MOST_CREDENTIALS:
        bad_request(
            "The directory object quota limit for the property 'passwordCredentials' has been exceeded.",
            code="Directory_QuotaExceeded",
        )
    value = new_secret()
    credential: Doc = {
        "customKeyIdentifier": wanted.get("customKeyIdentifier"),
        "displayName": wanted.get("displayName"),
        "endDateTime": ends,
        "hint": value[:3],
        "keyId": new_guid(),
        "secretText": None,
        "startDateTime": starts,
    }
    doc["passwordCredentials"] = [*doc["passwordCredentials"], credential]
    ctx.world.credentials.add_secret(doc["id"], credential["keyId"], value, epoch_of(starts), epoch_of(ends))
    return {**credential, "secretText": value}


def keep_passwords(ctx: Context, doc: Doc, wanted: list[Doc]) -> None:
    """Keep only the client secrets whose key id is in `wanted`; none can be added this way."""
    held = {credential["keyId"]: credential for credential in doc["passwordCredentials"]}
    kept = [str(one.get("keyId")) for one in wanted]
    if any(key not in held for key in kept):
        bad_request(
            "Update to existing credential with KeyId is not allowed, and new passwords cannot be set: use addPassword."
        )
    for key in held.keys() - set(kept):
        ctx.world.credentials.remove_secret(doc["id"], key)
    doc["passwordCredentials"] = [held[key] for key in kept]


def set_keys(ctx: Context, doc: Doc, wanted: list[Doc]) -> None:
    """Let `doc` have exactly these certificates; one whose key id is known needs no bytes."""
    held = {credential["keyId"]: credential for credential in doc["keyCredentials"]}
    stored: list[Doc] = []
    keys: list[tuple[str, bytes, float, float]] = []
    if len(wanted) > MOST_CREDENTIALS:
        bad_request(
            "The directory object quota limit for the property 'keyCredentials' has been exceeded.",
            code="Directory_QuotaExceeded",
        )
    for one in wanted:
        old = held.get(one.get("keyId") or "")
        credential = old if old is not None else _new_key(ctx, one)
        stored.append(credential)
        if credential["type"] != "Symmetric" and credential["usage"] == "Verify":
            der = base64.b64decode(credential["key"])
            keys.append(
                (credential["keyId"], der, epoch_of(credential["startDateTime"]), epoch_of(credential["endDateTime"]))
            )
    if len({credential["keyId"] for credential in stored}) < len(stored):
        bad_request("KeyCredentials must have unique key ids.", code="KeyCredentialsDuplicateKeyId")
    doc["keyCredentials"] = stored
    ctx.world.credentials.set_certificates(doc["id"], keys)


def _new_key(ctx: Context, wanted: Doc) -> Doc:
    certificate = certificate_of(wanted.get("key"))
    begins, finishes = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    starts = epoch_of(wanted["startDateTime"]) if wanted.get("startDateTime") else begins
    ends = epoch_of(wanted["endDateTime"]) if wanted.get("endDateTime") else finishes
    if ends > finishes + 1 or starts < begins - 1 or ends <= starts:
        text = "Key credential start and end date must lie within the validity of the certificate."
        bad_request(text, code="KeyCredentialsInvalidEndDate")
    if ends <= ctx.world.store.now():
        bad_request(
            "Key credential end date is invalid: the certificate has expired.", code="KeyCredentialsInvalidEndDate"
        )
    der = certificate.public_bytes(Encoding.DER)
    return {
        "customKeyIdentifier": wanted.get("customKeyIdentifier")
        or hashlib.sha1(der, usedforsecurity=False).hexdigest().upper(),
        "displayName": wanted.get("displayName") or certificate.subject.rfc4514_string(),
        "endDateTime": utc(ends),
        "hasExtendedValue": None,
        "key": base64.b64encode(der).decode(),
        "keyId": wanted.get("keyId") or new_guid(),
        "startDateTime": utc(starts),
        "type": wanted.get("type") or "AsymmetricX509Cert",
        "usage": wanted.get("usage") or "Verify",
    }


def certificate_of(key: Any) -> x509.Certificate:
    """The X.509 certificate in a `key` property: base64 of DER, or of PEM text as the azuread provider sends it."""
    try:
        data = base64.b64decode(key) if isinstance(key, str) and len(key) <= LARGEST_KEY else b""
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificate(data)
        if re.fullmatch(rb"[A-Za-z0-9+/=\s]+", data):
            data = base64.b64decode(data)
        return x509.load_der_x509_certificate(data)
    except (ValueError, binascii.Error):
        bad_request(
            "New key credential is invalid: the key is not an X.509 certificate.", code="KeyCredentialsInvalidKey"
        )


def _add(ctx: Context, kind: Kind, object_id: str) -> Reply:
    doc = ctx.get(kind, object_id)
    may_write(ctx, kind, object_id)
    body = ctx.body()
    wanted = body.get("passwordCredential")
    if wanted is not None and not isinstance(wanted, dict):
        bad_request("Invalid value specified for property 'passwordCredential'.")
    checked = types.checked(wanted or {}, schema.PASSWORD.of, "PasswordCredential")
    credential = add_password(ctx, doc, checked)
    ctx.world.directory.update(doc)
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#microsoft.graph.passwordCredential", **credential})


def _remove(ctx: Context, kind: Kind, object_id: str) -> Reply:
    doc = ctx.get(kind, object_id)
    may_write(ctx, kind, object_id)
    key = ctx.body().get("keyId")
    if not is_guid(key) or not ctx.world.credentials.remove_secret(object_id, str(key)):
        bad_request("No password credential found with keyId.")
    doc["passwordCredentials"] = [one for one in doc["passwordCredentials"] if one["keyId"] != str(key).lower()]
    ctx.world.directory.update(doc)
    return Reply(204)


def _sign_in_certificate(ctx: Context, object_id: str) -> Reply:
    """A self-signed certificate for SAML tokens: two key credentials and a password under one `customKeyIdentifier`.

    The private key is not kept: nothing here issues SAML tokens.
    """
    doc = ctx.get(PRINCIPAL, object_id)
    may_write(ctx, PRINCIPAL, object_id)
    wanted = types.checked(
        ctx.body(), {"displayName": types.Str(longest=256), "endDateTime": types.Time()}, "SelfSignedCertificate"
    )
    name = wanted.get("displayName") or f"CN={doc['displayName']}"
    now = ctx.world.store.now()
    ends = epoch_of(wanted["endDateTime"]) if wanted.get("endDateTime") else now + THREE_YEARS
    if not name.startswith("CN=") or len(name) > 64 or ends <= now:
        bad_request("Property displayName must start with 'CN=' and endDateTime must lie in the future.")
    der = _self_signed(name.removeprefix("CN="), now, ends)
    thumbprint = hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()
    identifier = base64.b64encode(hashlib.sha256(der).digest()).decode()
    sign, verify = new_guid(), new_guid()
    common = {
        "customKeyIdentifier": identifier,
        "displayName": name,
        "endDateTime": utc(ends),
        "startDateTime": utc(now),
    }
    key = base64.b64encode(der).decode()
    doc["keyCredentials"] = [
        *doc["keyCredentials"],
        {
            **common,
            "hasExtendedValue": None,
            "key": None,
            "keyId": sign,
            "type": "X509CertAndPassword",
            "usage": "Sign",
        },
        {
            **common,
            "hasExtendedValue": None,
            "key": key,
            "keyId": verify,
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
        },
    ]
    doc["passwordCredentials"] = [
        *doc["passwordCredentials"],
        {**common, "hint": None, "keyId": sign, "secretText": None},
    ]
    ctx.world.directory.update(doc)
    answer = {
        **common,
        "key": key,
        "keyId": sign,
        "thumbprint": thumbprint,
        "type": "AsymmetricX509Cert",
        "usage": "Verify",
    }
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#microsoft.graph.selfSignedCertificate", **answer})


def _self_signed(name: str, begins: float, ends: float) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(begins, UTC))
        .not_valid_after(datetime.fromtimestamp(ends, UTC))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.DER)


def _check_proof(ctx: Context, doc: Doc, proof: Any) -> None:
    """The proof of possession that addKey and removeKey ask for: a JWT signed with a certificate the object has.

    An application needs no permission beside it to roll its own keys (Microsoft Graph, "application: addKey").
    """
    if doc["appId"] != ctx.caller.app_id:
        may_write(ctx, APPLICATION if "servicePrincipalType" not in doc else PRINCIPAL, doc["id"])
    try:
        claims = jwt.decode(str(proof), options={"verify_signature": False} | SIGNATURE_ONLY)
        algorithm = str(jwt.get_unverified_header(str(proof)).get("alg"))
    except (jwt.PyJWTError, ValueError, RecursionError):
        claims, algorithm = {}, ""
    now = ctx.world.store.now()
    keys = [
        x509.load_der_x509_certificate(one[1]).public_key() for one in ctx.world.credentials.certificates([doc["id"]])
    ]
    good = (
        claims.get("aud") == AZURE_AD_GRAPH
        and claims.get("iss") == doc["id"]
        and isinstance(claims.get("exp"), int | float)
        and claims["exp"] > now
        and any(signed_by(str(proof), algorithm, key) for key in keys)
    )
    if not good:
        refuse(401, "Authentication_MissingOrMalformed", "Access Token missing or malformed.")


def _add_key(ctx: Context, kind: Kind, object_id: str) -> Reply:
    doc, body = ctx.get(kind, object_id), ctx.body()
    _check_proof(ctx, doc, body.get("proof"))
    wanted = body.get("keyCredential")
    if not isinstance(wanted, dict):
        bad_request("Invalid value specified for property 'keyCredential'.")
    held = {one["keyId"] for one in doc["keyCredentials"]}
    set_keys(ctx, doc, [*doc["keyCredentials"], types.checked(wanted, schema.KEY.of, "KeyCredential")])
    ctx.world.directory.update(doc)
    added = next(one for one in doc["keyCredentials"] if one["keyId"] not in held)
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#microsoft.graph.keyCredential", **added, "key": None})


def _remove_key(ctx: Context, kind: Kind, object_id: str) -> Reply:
    doc, body = ctx.get(kind, object_id), ctx.body()
    _check_proof(ctx, doc, body.get("proof"))
    kept = [one for one in doc["keyCredentials"] if one["keyId"] != str(body.get("keyId")).lower()]
    if len(kept) == len(doc["keyCredentials"]):
        bad_request("No credentials found to be removed.")
    set_keys(ctx, doc, kept)
    ctx.world.directory.update(doc)
    return Reply(204)


def _register(kind: Kind) -> None:
    routes.add("POST", f"{kind.plural}/*/addKey")(lambda ctx, one: _add_key(ctx, kind, one))
    routes.add("POST", f"{kind.plural}/*/removeKey")(lambda ctx, one: _remove_key(ctx, kind, one))
    routes.add("POST", f"{kind.plural}/*/addPassword")(lambda ctx, one: _add(ctx, kind, one))
    routes.add("POST", f"{kind.plural}/*/removePassword")(lambda ctx, one: _remove(ctx, kind, one))


for _kind in (APPLICATION, PRINCIPAL):
    _register(_kind)
routes.add("POST", "servicePrincipals/*/addTokenSigningCertificate")(_sign_in_certificate)
