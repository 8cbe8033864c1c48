"""The libraries of Azure for Python, Node, Go, Java and Rust, each told by its documented settings where Azure is."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from local_azure import LocalAzure
from tests.clients import installing
from tests.local_azure.conftest import READER, Client, Identity
from tests.passes import Passes

HERE = Path(__file__).parent
AZURE_IDENTITY_NODE, NODE_DAY = "4.13.1", "2026-11-20"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
SUBJECT = "repo:contoso/obs:environment:dev"


@dataclass(frozen=True)
class App:
    """An app registration with a secret, a certificate and a federated credential."""

    identity: Identity
    settings: Mapping[str, str]
    """The environment variables of `azure-identity` and its like, and those of the programs here."""


def self_signed() -> tuple[bytes, bytes]:
    """A certificate and its key, each as PEM."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


@pytest.fixture(scope="module")
def app(azure: LocalAzure, deployer: Client, tmp_path_factory: pytest.TempPathFactory) -> App:
    """An app that can prove in every way who it is."""
    folder = tmp_path_factory.mktemp("app")
    identity = deployer.new_identity()
    certificate, key = self_signed()
    (folder / "certificate.pem").write_bytes(key + certificate)
    entry = {"type": "AsymmetricX509Cert", "usage": "Verify", "key": base64.b64encode(certificate).decode()}
    deployer.graph("PATCH", f"/applications/{identity.application_id}", {"keyCredentials": [entry]}, status=204)
    trust = {
        "name": "github",
        "issuer": "https://token.actions.githubusercontent.com",
        "subject": SUBJECT,
        "audiences": ["api://AzureADTokenExchange"],
    }
    deployer.graph("POST", f"/applications/{identity.application_id}/federatedIdentityCredentials", trust)
    (folder / "token").write_text(azure.assertion(SUBJECT), "utf-8")
    settings = {
        "AZURE_TENANT_ID": azure.tenant_id,
        "AZURE_CLIENT_ID": identity.client_id,
        "AZURE_AUTHORITY_HOST": azure.url,
        "AZURE_FEDERATED_TOKEN_FILE": str(folder / "token"),
        "SECRET": identity.secret,
        "CERTIFICATE_FILE": str(folder / "certificate.pem"),
    }
    return App(identity, settings)


def run(azure: LocalAzure, passes: Passes, command: list[str], settings: Mapping[str, str], client: str = "") -> None:
    """Run a program that prints what has worked: an operation a line, after `client` and a tab unless that is given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ARM_", "AZURE_"))}
    ran = subprocess.run(
        command,
        env={**kept, **azure.trust(), "NO_PROXY": "localhost", "PYTHONDONTWRITEBYTECODE": "", **settings},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=600,
    )
    for line in ran.stdout.splitlines():
        name, _, operation = line.rpartition("\t")
        passes(client or name, operation)
    assert ran.returncode == 0 and ran.stdout, f"{ran.stdout}\n{ran.stderr}"


@pytest.fixture(scope="module")
def python() -> str:
    """A Python with msgraph-sdk, azure-identity, MSAL and aiohttp."""
    return str(installing.pip("msgraph-sdk") / "bin" / "python")


def test_azure_identity_and_msal_get_tokens(azure: LocalAzure, app: App, python: str, passes: Passes) -> None:
    run(azure, passes, [python, str(HERE / "programs" / "identity.py")], app.settings)


def test_msgraph_sdk_manages_the_directory(azure: LocalAzure, python: str, passes: Passes) -> None:
    settings = {
        "AZURE_TENANT_ID": azure.tenant_id,
        "AZURE_CLIENT_ID": azure.client_id,
        "AZURE_CLIENT_SECRET": azure.client_secret,
        "AZURE_AUTHORITY_HOST": azure.url,
        "GRAPH_ENDPOINT": azure.url,
    }
    run(azure, passes, [python, str(HERE / "programs" / "graph.py")], settings, "msgraph-sdk")


def test_application_insights_is_read(azure: LocalAzure, deployer: Client, passes: Passes) -> None:
    """azure-applicationinsights, the one client library of that API: it asks for nothing but a token and the address."""
    python = installing.pip("azure-applicationinsights") / "bin" / "python"
    group = f"/subscriptions/{azure.subscription_id}/resourceGroups/rg-insights"
    component = f"{group}/providers/Microsoft.Insights/components/shop"
    azure.ensure([component])
    identity = deployer.new_identity()
    deployer.grant(READER, component, identity.object_id)
    reader = Client(azure, identity.client_id, identity.secret)
    settings = {
        "TOKEN": reader.token("https://api.applicationinsights.io/.default"),
        "WRONG_TOKEN": reader.token("https://api.loganalytics.io/.default"),
        "APP_ID": deployer.arm("GET", component, version="2020-02-02")["properties"]["AppId"],
        "ENDPOINT": f"{azure.url}/v1",
    }
    run(azure, passes, [str(python), str(HERE / "programs" / "insights.py")], settings, "azure-applicationinsights")


def test_node_gets_tokens(azure: LocalAzure, app: App, passes: Passes) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node on PATH")
    modules = installing.npm("@azure/identity", AZURE_IDENTITY_NODE, before=NODE_DAY) / "node_modules"
    run(azure, passes, [node, str(HERE / "programs" / "node.cjs")], {**app.settings, "NODE_PATH": str(modules)})


def test_go_gets_tokens_and_assigns_a_role(azure: LocalAzure, deployer: Client, app: App, passes: Passes) -> None:
    program = go_program()
    deployer.grant(OWNER, f"/subscriptions/{azure.subscription_id}", app.identity.object_id)
    more = {
        "AZURE_SUBSCRIPTION_ID": azure.subscription_id,
        "PRINCIPAL_ID": app.identity.object_id,
        "ASSIGNMENT_NAME": str(uuid.uuid4()),
    }
    run(azure, passes, [str(program)], {**app.settings, **more})


def go_program() -> Path:
    """The built program."""
    source = HERE / "programs" / "go"

    def make(folder: Path) -> None:
        command = [installing.go_command(), "build", "-trimpath", "-o", str(folder / "program"), "."]
        installing.run(command, cwd=source)

    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(source.iterdir()))).hexdigest()
    return installing.installed("azidentity", digest[:16], make) / "program"


@pytest.fixture
def vault(azure: LocalAzure, deployer: Client, app: App) -> Mapping[str, str]:
    """The app's settings, and those for a vault whose secrets it may keep."""
    group = f"/subscriptions/{azure.subscription_id}/resourceGroups/rg-clients"
    azure.ensure([group])
    path = f"{group}/providers/Microsoft.KeyVault/vaults/kv-{uuid.uuid4().hex[:8]}"
    sku = {"family": "A", "name": "standard"}
    properties = {"sku": sku, "tenantId": azure.tenant_id, "enableRbacAuthorization": True}
    made = deployer.arm("PUT", path, {"location": "westeurope", "properties": properties}, version="2023-07-01")
    deployer.grant(SECRETS_OFFICER, made["id"], app.identity.object_id)
    return {**app.settings, "VAULT_URL": made["properties"]["vaultUri"], "AZURE_CLIENT_SECRET": app.identity.secret}


def test_java_gets_tokens_and_keeps_a_secret(azure: LocalAzure, vault: Mapping[str, str], passes: Passes) -> None:
    java = shutil.which("java")
    if java is None:
        pytest.skip("there is no java on PATH")
    source = HERE / "programs" / "java"
    jars = installing.maven("azure-identity-java", source / "pom.xml")
    run(azure, passes, [java, "-cp", f"{jars}/*", str(source / "Program.java")], vault)


def test_rust_gets_tokens_and_keeps_a_secret(azure: LocalAzure, vault: Mapping[str, str], passes: Passes) -> None:
    run(azure, passes, [str(installing.cargo("azure-identity-rust", HERE / "programs" / "rust"))], vault)
