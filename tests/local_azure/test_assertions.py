"""Tokens without a secret: certificates and federated assertions, checked against what is declared."""

from __future__ import annotations

import base64
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from azure.identity import CertificateCredential, ClientAssertionCredential
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from local_azure import LocalAzure
from tests.local_azure.conftest import Client, Identity

SCOPE = "https://graph.microsoft.com/.default"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def certificate(key: Any, days: int = 30) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    return (
        builder.not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """An RSA key."""
    return rsa.generate_private_key(65537, 2048)


def declare(deployer: Client, app: Identity, cert: x509.Certificate, *, pem: bool = False) -> None:
    data = cert.public_bytes(serialization.Encoding.PEM if pem else serialization.Encoding.DER)
    entry = {"type": "AsymmetricX509Cert", "usage": "Verify", "key": base64.b64encode(data).decode()}
    deployer.graph("PATCH", f"/applications/{app.application_id}", {"keyCredentials": [entry]}, status=204)


def ask(client: Client, assertion: str) -> Any:
    return client.ask_token(SCOPE, client_secret="", client_assertion=assertion, client_assertion_type=ASSERTION)


def pem_of(key: Any, cert: x509.Certificate) -> bytes:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return bytes(private) + cert.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("pem", [False, True])
def test_azure_identity_with_a_certificate(
    azure: LocalAzure, deployer: Client, app: Identity, key: Any, pem: bool
) -> None:
    """azure-identity's CertificateCredential gets a token once its certificate is declared, as DER or as PEM."""
    cert = certificate(key)
    declare(deployer, app, cert, pem=pem)
    credential = CertificateCredential(
        azure.tenant_id,
        app.client_id,
        certificate_data=pem_of(key, cert),
        authority=azure.url,
        disable_instance_discovery=True,
        connection_verify=str(azure.ca_file),
    )
    token = credential.get_token(SCOPE).token
    assert jwt.decode(token, options={"verify_signature": False})["appidacr"] == "2"


def assertion(
    azure: LocalAzure, app: Identity, key: Any, cert: x509.Certificate, algorithm: str = "RS256", **change: Any
) -> str:
    """A client assertion as go-azure-sdk makes it: the certificate is named by `kid`, the padded base64 of its SHA-1."""
    kid = base64.urlsafe_b64encode(cert.fingerprint(hashes.SHA1())).decode()
    now = int(time.time())
    claims = {
        "aud": f"{azure.url}/{azure.tenant_id}/oauth2/v2.0/token",
        "iss": app.client_id,
        "sub": app.client_id,
        "jti": str(uuid.uuid4()),
        "nbf": now,
        "exp": now + 3600,
    }
    return jwt.encode(claims | change, key, algorithm, headers={"kid": kid})


def test_go_azure_sdk_style_assertion(azure: LocalAzure, deployer: Client, app: Identity, key: Any) -> None:
    """An assertion that names its certificate by `kid` is accepted."""
    cert = certificate(key)
    declare(deployer, app, cert)
    client = Client(azure, app.client_id, app.secret)
    assert ask(client, assertion(azure, app, key, cert)).status_code == 200


def test_es256_with_a_der_signature(azure: LocalAzure, deployer: Client, app: Identity) -> None:
    """An elliptic-curve assertion is accepted with the raw signature of JOSE and with the DER one of go-azure-sdk."""
    curve = ec.generate_private_key(ec.SECP256R1())
    cert = certificate(curve)
    declare(deployer, app, cert)
    client = Client(azure, app.client_id, app.secret)
    raw = assertion(azure, app, curve, cert, "ES256")
    assert ask(client, raw).status_code == 200
    signed = raw.rpartition(".")[0]
    der = base64.urlsafe_b64encode(curve.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))).rstrip(b"=").decode()
    assert ask(client, f"{signed}.{der}").status_code == 200


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"aud": "https://elsewhere.example"}, 700023),
        ({"exp": 1000}, 700024),
        ({"nbf": int(time.time()) + 7200, "exp": int(time.time()) + 9000}, 700024),
        ({"sub": "someone"}, 700021),
    ],
)
def test_wrong_assertions(
    azure: LocalAzure, deployer: Client, app: Identity, key: Any, change: Any, expected: int
) -> None:
    """An assertion for another endpoint, out of its time or for another app is refused."""
    cert = certificate(key)
    declare(deployer, app, cert)
    response = ask(Client(azure, app.client_id, app.secret), assertion(azure, app, key, cert, **change))
    assert (response.status_code, response.json()["error_codes"]) == (401, [expected])


def test_undeclared_and_forged_certificates(azure: LocalAzure, deployer: Client, app: Identity, key: Any) -> None:
    """A certificate that is not declared, or a signature of another key, opens nothing."""
    cert, other = certificate(key), rsa.generate_private_key(65537, 2048)
    client = Client(azure, app.client_id, app.secret)
    assert ask(client, assertion(azure, app, key, cert)).json()["error_codes"] == [700027]
    declare(deployer, app, cert)
    assert ask(client, assertion(azure, app, other, cert)).json()["error_codes"] == [700027]
    deployer.graph("PATCH", f"/applications/{app.application_id}", {"keyCredentials": []})
    assert ask(client, assertion(azure, app, key, cert)).json()["error_codes"] == [700027]


@pytest.mark.parametrize("text", ["nonsense", "a.b.c", "..", "{}", "e30.e30.e30"])
def test_malformed_assertions(azure: LocalAzure, app: Identity, text: str) -> None:
    """What is no JWT is refused with 401."""
    assert ask(Client(azure, app.client_id, app.secret), text).status_code == 401


def test_key_list_keeps_known_keys(deployer: Client, app: Identity, key: Any) -> None:
    """A known certificate is kept when it comes back without its bytes, and dropped when it is left out."""
    path = f"/applications/{app.application_id}"
    declare(deployer, app, certificate(key))
    first = deployer.graph("GET", path)["keyCredentials"]
    assert (
        first[0]["key"] is None and deployer.graph("GET", f"{path}?$select=keyCredentials")["keyCredentials"][0]["key"]
    )
    other = certificate(rsa.generate_private_key(65537, 2048)).public_bytes(serialization.Encoding.DER)
    new = {
        "type": "AsymmetricX509Cert",
        "usage": "Verify",
        "key": base64.b64encode(other).decode(),
        "keyId": str(uuid.uuid4()),
    }
    deployer.graph("PATCH", path, {"keyCredentials": [*first, new]})
    assert [one["keyId"] for one in deployer.graph("GET", path)["keyCredentials"]] == [first[0]["keyId"], new["keyId"]]


def test_add_and_remove_key_with_proof(azure: LocalAzure, deployer: Client, app: Identity, key: Any) -> None:
    """addKey and removeKey want a proof signed with a key that the application has."""
    declare(deployer, app, certificate(key))
    path = f"/v1.0/applications/{app.application_id}"
    now = int(time.time())
    claims = {"aud": "00000002-0000-0000-c000-000000000000", "iss": app.application_id, "nbf": now, "exp": now + 600}
    der = certificate(rsa.generate_private_key(65537, 2048)).public_bytes(serialization.Encoding.DER)
    entry = {"type": "AsymmetricX509Cert", "usage": "Verify", "key": base64.b64encode(der).decode()}
    forged = jwt.encode(claims, rsa.generate_private_key(65537, 2048), "RS256")
    assert deployer.call("POST", f"{path}/addKey", {"keyCredential": entry, "proof": forged}).status_code == 401
    proof = jwt.encode(claims, key, "RS256")
    made = deployer.call("POST", f"{path}/addKey", {"keyCredential": entry, "passwordCredential": None, "proof": proof})
    assert made.status_code == 200
    removed = deployer.call("POST", f"{path}/removeKey", {"keyId": made.json()["keyId"], "proof": proof})
    assert removed.status_code == 204


# Federated


SUBJECT = "repo:contoso/obs:environment:dev"


def federate(deployer: Client, app: Identity, **change: Any) -> None:
    body = {
        "name": f"f-{uuid.uuid4().hex[:6]}",
        "issuer": "https://token.actions.githubusercontent.com",
        "subject": SUBJECT,
        "audiences": ["api://AzureADTokenExchange"],
    }
    path = f"/beta/applications/{app.application_id}/federatedIdentityCredentials"
    response = deployer.call(
        "POST", path, {name: value for name, value in (body | change).items() if value is not None}
    )
    assert response.status_code == 201, response.text


def test_pretend_github(azure: LocalAzure, deployer: Client, app: Identity) -> None:
    """azure-identity exchanges a token of the pretend GitHub for one of the app, when the subject is declared."""
    federate(deployer, app)
    credential = ClientAssertionCredential(
        azure.tenant_id,
        app.client_id,
        lambda: azure.assertion(SUBJECT),
        authority=azure.url,
        disable_instance_discovery=True,
        connection_verify=str(azure.ca_file),
    )
    assert credential.get_token(SCOPE).token


def test_github_actions_variables(azure: LocalAzure, deployer: Client, app: Identity) -> None:
    """The variables of a GitHub Actions job lead to a token with the job's subject and the asked audience."""
    federate(deployer, app)
    job = azure.github_settings(SUBJECT)
    url = f"{job['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience=api://AzureADTokenExchange"
    headers = {"Authorization": f"Bearer {job['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"}
    token = deployer.session.get(url, headers=headers).json()["value"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["repository"], claims["environment"]) == (SUBJECT, "contoso/obs", "dev")
    assert ask(Client(azure, app.client_id, app.secret), token).status_code == 200


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"subject": "repo:contoso/obs:environment:prod"}, 700213),
        ({"subject": "repo:Contoso/obs:environment:dev"}, 7002138),
        ({"audience": "api://other"}, 700212),
        ({"issuer": "https://issuer.example"}, 700211),
    ],
)
def test_mismatches(azure: LocalAzure, deployer: Client, app: Identity, change: Any, expected: int) -> None:
    """Each part of a federated credential must match exactly, and the refusal says which does not."""
    federate(deployer, app)
    made = azure.assertion(**({"subject": SUBJECT} | change))
    response = ask(Client(azure, app.client_id, app.secret), made)
    assert (response.status_code, response.json()["error_codes"]) == (401, [expected])


def test_forged_and_expired_assertions(azure: LocalAzure, deployer: Client, app: Identity) -> None:
    """An assertion signed by a stranger, or past its end, is refused though everything matches."""
    federate(deployer, app)
    genuine = azure.assertion(SUBJECT)
    claims = jwt.decode(genuine, options={"verify_signature": False})
    forged = jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": "local"})
    client = Client(azure, app.client_id, app.secret)
    assert ask(client, forged).json()["error_codes"] == [50013]
    assert ask(client, azure.assertion(SUBJECT, exp=1000)).json()["error_codes"] == [700024]


def test_registered_issuer(azure: LocalAzure, deployer: Client, app: Identity) -> None:
    """Another provider is trusted by the keys that are registered for it."""
    stranger, issuer = rsa.generate_private_key(65537, 2048), f"https://oidc.example/{uuid.uuid4().hex}"
    federate(deployer, app, issuer=issuer, subject="system:serviceaccount:ns:sa")
    now = int(time.time())
    claims = {
        "iss": issuer,
        "sub": "system:serviceaccount:ns:sa",
        "aud": ["api://AzureADTokenExchange"],
        "exp": now + 60,
        "iat": now,
    }
    token = jwt.encode(claims, stranger, "RS256", headers={"kid": "1"})
    client = Client(azure, app.client_id, app.secret)
    assert ask(client, token).json()["error_codes"] == [50013]
    public = jwt.algorithms.RSAAlgorithm.to_jwk(stranger.public_key(), as_dict=True)
    azure.admin("PUT", "issuers", {"issuer": issuer, "keys": {"keys": [public | {"kid": "1"}]}})
    assert ask(client, token).status_code == 200


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ("claims['sub'] matches 'repo:contoso/*:environment:d?v'", True),
        ("claims['sub'] matches 'repo:contoso/*:ref:*'", False),
        (
            "claims['sub'] eq 'repo:contoso/obs:environment:dev' and claims['job_workflow_ref'] matches 'contoso/*'",
            True,
        ),
        ("claims['sub'] eq 'x' and claims['sub'] matches '*'", False),
        ("nonsense", False),
    ],
)
def test_flexible_credential(azure: LocalAzure, deployer: Client, app: Identity, expression: str, fits: bool) -> None:
    """A flexible federated credential matches by patterns over claims."""
    federate(deployer, app, subject=None, claimsMatchingExpression={"value": expression, "languageVersion": 1})
    response = ask(Client(azure, app.client_id, app.secret), azure.assertion(SUBJECT))
    assert (response.status_code == 200) is fits
