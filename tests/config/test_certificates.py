"""Certificates that Microsoft Entra takes: RSA keys of at least 2048 bits."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from entrant.config.credentials import parse_certificate
from entrant.config.problems import Refused

KEYS: dict[str, Callable[[], Any]] = {
    "RSA 2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA 1024": lambda: rsa.generate_private_key(65537, 1024),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


def pem(kind: str) -> str:
    key = KEYS[kind]()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=30))
    signed = built.sign(key, None if kind == "Ed25519" else hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def test_a_key_of_rsa_with_2048_bits_is_taken() -> None:
    assert parse_certificate(pem("RSA 2048")).thumbprint


@pytest.mark.parametrize(
    ("kind", "found"), [("RSA 1024", "one of RSA with 1024 bits"), ("P-256", "none of RSA"), ("Ed25519", "none of RSA")]
)
def test_another_key_is_refused_with_the_remedy(kind: str, found: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_certificate(pem(kind))
    assert str(refused.value) == (
        f"Microsoft Entra takes RSA keys of at least 2048 bits; this certificate's is {found}; "
        "make one: openssl req -x509 -newkey rsa:2048 …"
    )
