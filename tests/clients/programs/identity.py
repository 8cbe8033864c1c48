"""What azure-identity (synchronous and asynchronous) and MSAL do with a secret, a certificate and a federated assertion.

Told by environment variables; prints each way that has led to a token, on a line of its own.
"""

# mypy: disable-error-code="import-not-found, import-untyped"

import asyncio
import base64
import json
import os
import re
from pathlib import Path
from typing import Any

import msal
from azure import identity
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes

AUTHORITY, TENANT, CLIENT = (os.environ[f"AZURE_{name}"] for name in ("AUTHORITY_HOST", "TENANT_ID", "CLIENT_ID"))
SECRET, CERTIFICATE = os.environ["SECRET"], Path(os.environ["CERTIFICATE_FILE"])
AUDIENCE = "https://api.loganalytics.io"
SCOPE = f"{AUDIENCE}/.default"


def assertion() -> str:
    return Path(os.environ["AZURE_FEDERATED_TOKEN_FILE"]).read_text("utf-8")


def check(token: str, client: str, way: str) -> None:
    part = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert (claims["aud"], claims["appid"]) == (AUDIENCE, CLIENT), claims
    print(f"{client}\t{way}", flush=True)


def credentials(module: Any) -> list[tuple[str, Any]]:
    """A credential of each kind, from `azure.identity` or `azure.identity.aio`."""
    cloud = {"authority": AUTHORITY, "disable_instance_discovery": True}
    app = (TENANT, CLIENT)
    file = str(CERTIFICATE)
    found = [
        ("ClientSecretCredential", module.ClientSecretCredential(*app, SECRET, **cloud)),
        ("CertificateCredential", module.CertificateCredential(*app, file, **cloud)),
        (
            "CertificateCredential, send_certificate_chain",
            module.CertificateCredential(*app, file, send_certificate_chain=True, **cloud),
        ),
        ("ClientAssertionCredential", module.ClientAssertionCredential(*app, assertion, **cloud)),
        ("WorkloadIdentityCredential", module.WorkloadIdentityCredential(disable_instance_discovery=True)),
        ("DefaultAzureCredential, a federated token", module.DefaultAzureCredential(disable_instance_discovery=True)),
    ]
    ways = {
        "a secret": {"AZURE_CLIENT_SECRET": SECRET},
        "a certificate": {"AZURE_CLIENT_CERTIFICATE_PATH": file},
    }
    for way, variables in ways.items():
        os.environ |= variables
        found.append((f"EnvironmentCredential, {way}", module.EnvironmentCredential(disable_instance_discovery=True)))
        if way == "a secret":
            found.append(
                (f"DefaultAzureCredential, {way}", module.DefaultAzureCredential(disable_instance_discovery=True))
            )
        for name in variables:
            del os.environ[name]
    return found


def synchronous() -> None:
    for way, credential in credentials(identity):
        check(credential.get_token(SCOPE).token, "azure-identity", way)
    wrong = identity.ClientSecretCredential(
        TENANT, CLIENT, "wrong", authority=AUTHORITY, disable_instance_discovery=True
    )
    try:
        wrong.get_token(SCOPE)
    except ClientAuthenticationError as error:
        assert "AADSTS7000215" in str(error)
        print("azure-identity\ta refusal with AADSTS7000215")


async def asynchronous() -> None:
    for way, credential in credentials(aio):
        async with credential:
            check((await credential.get_token(SCOPE)).token, "azure-identity, asynchronous", way)


def with_msal() -> None:
    pem = CERTIFICATE.read_text("ascii")
    certificate = x509.load_pem_x509_certificate(pem.encode())
    found = re.search(r"-----BEGIN PRIVATE KEY.*END PRIVATE KEY-----", pem, re.DOTALL)
    assert found
    key = {"private_key": found[0], "thumbprint": certificate.fingerprint(hashes.SHA1()).hex()}
    ways = {
        "a secret": SECRET,
        "a certificate by its thumbprint": key,
        "a certificate, public_certificate (x5c)": {"private_key": found[0], "public_certificate": pem},
        "an assertion": {"client_assertion": assertion()},
    }
    for way, credential in ways.items():
        app = msal.ConfidentialClientApplication(
            CLIENT, credential, authority=f"{AUTHORITY}/{TENANT}", instance_discovery=False
        )
        answer = app.acquire_token_for_client([SCOPE])
        assert "access_token" in answer, answer
        check(answer["access_token"], "msal", f"ConfidentialClientApplication, {way}")
        assert app.acquire_token_for_client([SCOPE])["token_source"] == "cache"
    wrong = msal.ConfidentialClientApplication(
        CLIENT, "wrong", authority=f"{AUTHORITY}/{TENANT}", instance_discovery=False
    )
    assert wrong.acquire_token_for_client([SCOPE])["error_codes"] == [7000215]
    print("msal\ta refusal with AADSTS7000215")


if __name__ == "__main__":
    synchronous()
    asyncio.run(asynchronous())
    with_msal()
