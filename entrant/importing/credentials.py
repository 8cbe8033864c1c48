"""Credentials in the vocabulary: those that can be declared, and those that are kept until they end."""

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

from entrant.config.values import moment_text

from .entries import Entry, slug
from .properties import stated
from .reading import Found

Doc = dict[str, Any]

LAST_YEAR: Final = 2500
"""The last that a moment of the vocabulary can have; secrets of before there were limits end in 9999."""
ROTATED: Final = "secret: {every: 90d, overlap: 7d}"


def kept(entry: Entry, each: Found) -> list[Doc]:
    """Secrets and what else cannot be declared; certificates go into `certificates`."""
    owner = next((one["userPrincipalName"] for one in each.owners if one.get("userPrincipalName")), None)
    found: list[Doc] = []
    for of, doc in (("", each.registration), ("of the service principal", each.principal or {})):
        for secret in doc.get("passwordCredentials") or ():
            found.append(_kept(secret, "secret", of, owner))
        for key in doc.get("keyCredentials") or ():
            # A service principal repeats nothing of its registration: what it has is its own, such as to sign SAML tokens.
            if of or not _declare(entry, key):
                found.append(_kept(key, "certificate", of, owner))
    if any("kind" not in each for each in found):
        entry.note(
            "kept_credentials",
            "decide: secrets cannot be read back; these stay in use until they end. For a declared one take the # away "
            "below, `up`, deliver it, prove it with `entrant wait`; then remove the old one and its line here.",
        )
        entry.note("kept_credentials", ROTATED)
    return found


def _kept(credential: Mapping[str, Any], kind: str, of: str, owner: str | None) -> Doc:
    parts = [str(credential.get("displayName") or ""), of]
    if credential.get("hint"):
        parts.append(f"hint {credential['hint']}")
    if credential.get("startDateTime"):
        parts.append(f"since {credential['startDateTime'][:10]}")
    ends = _moment(credential.get("endDateTime"))
    if int(ends[:4]) > LAST_YEAR:
        parts.append("without an end")
        ends = f"{LAST_YEAR}-12-31T00:00:00Z"
    return stated(
        key_id=str(credential["keyId"]).lower(),
        kind=kind if kind != "secret" else None,
        name=", ".join(word for word in parts if word),
        ends=ends,
        owner=owner,
    )


def _declare(entry: Entry, key: Mapping[str, Any]) -> bool:
    """Add a certificate, unless it is none that can be declared."""
    if key.get("type") != "AsymmetricX509Cert" or key.get("usage") != "Verify" or not key.get("key"):
        return False
    try:
        pem, own_end = _certificate(base64.b64decode(key["key"], validate=True))
    except ValueError:
        return False
    ends = _moment(key.get("endDateTime"))
    if ends > own_end:
        return False
    shown = re.sub(r"^CN=", "", str(key.get("displayName") or ""), flags=re.IGNORECASE)
    plain = slug(shown, "certificate")
    certificates = entry.data.setdefault("certificates", {})
    name = next(
        name for name in (plain, f"{plain}-{key['keyId'][:4]}", f"{plain}-{key['keyId']}") if name not in certificates
    )
    file = f"{entry.key}-{name}.pem"
    entry.files[file] = pem.encode()
    certificates[name] = stated(path=file, ends=ends if ends != own_end else None, adopt=str(key["keyId"]).lower())
    return True


def _moment(text: Any) -> str:
    """A moment of Graph's without parts of a second; without one, what Graph says of what has no end."""
    return re.sub(r"\.\d+", "", str(text or "9999-12-31T00:00:00Z"))


def _certificate(data: bytes) -> tuple[str, str]:
    """A certificate in PEM form, and its end; raises ValueError for what is none."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    parsed = x509.load_der_x509_certificate(data)
    return parsed.public_bytes(Encoding.PEM).decode(), moment_text(parsed.not_valid_after_utc)
