"""Credentials of applications and service principals: client secrets and certificates."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from local_azure.directory import new_secret
from local_azure.graph import schema
from local_azure.graph.context import Context, Kind, routes
from local_azure.graph.errors import bad_request
from local_azure.graph.rights import APPLICATION, PRINCIPAL, may_write
from local_azure.wire import Reply, epoch_of, is_guid, new_guid, utc

Doc = dict[str, Any]

TWO_YEARS = 2 * 365.25 * 86400
MOST_CREDENTIALS = 1200


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
    ctx.world.directory.add_secret(doc["id"], credential["keyId"], value, epoch_of(starts), epoch_of(ends))
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
        ctx.world.directory.remove_secret(doc["id"], key)
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
    ctx.world.directory.set_certificates(doc["id"], keys)


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
        data = base64.b64decode(key) if isinstance(key, str) else b""
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
    checked = schema.checked(wanted or {}, schema.PASSWORD.of, "PasswordCredential")
    credential = add_password(ctx, doc, checked)
    ctx.world.directory.update(doc)
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#microsoft.graph.passwordCredential", **credential})


def _remove(ctx: Context, kind: Kind, object_id: str) -> Reply:
    doc = ctx.get(kind, object_id)
    may_write(ctx, kind, object_id)
    key = ctx.body().get("keyId")
    if not is_guid(key) or not ctx.world.directory.remove_secret(object_id, str(key)):
        bad_request("No password credential found with keyId.")
    doc["passwordCredentials"] = [one for one in doc["passwordCredentials"] if one["keyId"] != str(key).lower()]
    ctx.world.directory.update(doc)
    return Reply(204)


def _register(kind: Kind) -> None:
    routes.add("POST", f"{kind.plural}/*/addPassword")(lambda ctx, one: _add(ctx, kind, one))
    routes.add("POST", f"{kind.plural}/*/removePassword")(lambda ctx, one: _remove(ctx, kind, one))


for _kind in (APPLICATION, PRINCIPAL):
    _register(_kind)
