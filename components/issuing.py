"""Certificates that are issued here: a key and a certificate for each slot of a calendar, made by an `up` and handed out by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pulumi

from entrant.config.rotation import Due, entries_in
from entrant.facts import limits
from entrant.facts.contract import CERTIFICATES, ISSUED_EARLIER, issued_name, output_name
from entrant.facts.marks import MARK

from .arguments import KeyVaultDeliveryArgs


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that is to exist."""

    about: Due
    certificate: pulumi.Input[str]
    """PEM."""
    thumbprint: pulumi.Input[str]
    """SHA-1 in upper-case hex, as the portal shows it."""
    with_key: pulumi.Output[str] | None
    """PEM of its private key, then of the certificate; None where it has a successor, or nobody has the key any more."""
    handed_out: bool = False
    """Whether an earlier run made it."""


@dataclass(frozen=True, slots=True)
class IssuedByCalendar:
    """The certificates of one calendar that are to exist, newest first, and the vaults that the newest goes to."""

    certificates: Sequence[Issued]
    vaults: Sequence[KeyVaultDeliveryArgs] = ()


def issued(
    app: str, calendar: str, due: Sequence[Due], before: Mapping[str, Any], names: Sequence[str]
) -> Sequence[Issued]:
    """The certificates of a calendar: those that the stack's outputs have as they are there, others made now.

    In a preview nothing is made: what is new is unknown. So is the key of one whose `up` did not come to its outputs; it is not in
    `before`, and another takes its place.

    Args:
        app: the app's name.
        calendar: the certificate's key in the file.
        due: those that are to exist, newest first.
        before: the stack's outputs as they are before this run.
        names: the app's name, and those that it had.
    """
    handed_out = {entry["name"]: entry for entry in entries_in(before, names, calendar)}
    keys: Mapping[str, Any] = next(
        (found for name in names if (found := before.get(output_name(name, CERTIFICATES)))), {}
    )
    found = []
    for number, each in enumerate(due):
        name = issued_name(calendar, each.name)
        entry = handed_out.get(name)
        if entry is None:
            found.append(_unknown(each) if pulumi.runtime.is_dry_run() else _made(app, calendar, each))
            continue
        with_key = None
        if number == 0 and str(entry["pem"]).strip() in str(keys.get(calendar)):
            with_key = pulumi.Output.secret(str(keys[calendar]))
        elif number == 0:
            pulumi.log.warn(
                f"apps.{app}.certificates.{calendar}: the stack's outputs have no private key of {name}, so it can be delivered to "
                "no further place; where it is, it works. To have another made: "
                f'python3 -m entrant revoke -s {pulumi.get_stack()} {app} {name} --reason "its private key is lost"'
            )
        found.append(Issued(each, entry["pem"], entry["thumbprint"], with_key, handed_out=True))
    return found


def _unknown(about: Due) -> Issued:
    unknown: pulumi.Output[Any] = pulumi.Output.from_input(pulumi.UNKNOWN)
    return Issued(about, unknown, unknown, pulumi.Output.secret(unknown))


def _made(app: str, calendar: str, about: Due) -> Issued:
    """A new key, and a certificate that it signs itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(public_exponent=65537, key_size=limits.RSA_KEY)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, MARK),
            x509.NameAttribute(NameOID.COMMON_NAME, _common_name(app, calendar, about.name)),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A calendar may be read at a moment to come (`entrant:now`), at which nobody waits for it.
        .not_valid_before(min(about.issued, datetime.now(UTC)) - ISSUED_EARLIER)
        .not_valid_after(about.ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **dict.fromkeys(_OTHER_USES, False)), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM).decode()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    thumbprint = certificate.fingerprint(hashes.SHA1()).hex().upper()
    return Issued(about, pem, thumbprint, pulumi.Output.secret(private + pem))


_OTHER_USES = (
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _common_name(app: str, calendar: str, slot: str) -> str:
    """What a certificate says whose it is, in 64 characters (RFC 5280, ub-common-name)."""
    return f"{f'{app} {calendar}'[: 63 - len(slot)]} {slot}"
