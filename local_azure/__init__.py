"""A local Azure: Entra ID, Microsoft Graph, Resource Manager, Log Analytics and custom metrics on this machine.

`start`, `find` and `stop` manage the server of a state directory as a background process; ``python -m local_azure serve`` is that
server. Importing this module imports the standard library and `facts` only.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from entrant.facts.roles import find_role
from local_azure.files import Held, is_held, lock, write_public

__all__ = ["Identity", "LocalAzure", "LocalAzureError", "find", "start", "stop"]


TRUSTING = (
    "SSL_CERT_FILE",  # OpenSSL, Python's ssl and httpx, Go, Ruby, .NET on Linux, Rust's native certificates
    "REQUESTS_CA_BUNDLE",  # Python's requests, azure-cli
    "CURL_CA_BUNDLE",  # curl
    "GIT_SSL_CAINFO",  # git
    "NODE_EXTRA_CA_CERTS",  # Node
    "PIP_CERT",  # pip
    "AWS_CA_BUNDLE",  # AWS's command line and SDKs
    "CARGO_HTTP_CAINFO",  # cargo
    "DENO_CERT",  # Deno
)
"""Variables that name a file of certificate authorities, each with the programs that read it before anything else."""
SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where systems keep their bundle (Go, crypto/x509)."""
STORE_PASSWORD = "changeit"
"""Of the trust store for Java, which holds nothing secret: the one that every JDK's own has."""


class LocalAzureError(Exception):
    """The local Azure cannot be started or reached; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A service principal that a client of Azure can be: its application, and a client secret that works."""

    tenant_id: str
    client_id: str
    application_id: str
    object_id: str
    name: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LocalAzure:
    """A running local Azure, and the service principal that deploys to it."""

    url: str
    port: int
    pid: int
    ca_file: Path
    tenant_id: str
    subscription_id: str
    client_id: str
    object_id: str
    state: Path
    client_secret: str = field(repr=False)

    def settings(self) -> dict[str, str]:
        """The environment variables that point Azure's clients here, without those for the CA (see `ca_bundle`)."""
        return {
            "ARM_METADATA_HOSTNAME": f"localhost:{self.port}",
            "ARM_DISABLE_INSTANCE_DISCOVERY": "true",
            "ARM_TENANT_ID": self.tenant_id,
            "ARM_SUBSCRIPTION_ID": self.subscription_id,
            "ARM_CLIENT_ID": self.client_id,
            "ARM_CLIENT_SECRET": self.client_secret,
            "AZURE_AUTHORITY_HOST": self.url,
        }

    def environment(self, identity: Identity | None = None, *, bundle: Path | None = None) -> dict[str, str]:
        """Every environment variable that a client of Azure reads to come here, as `identity` or as the deployer; secrets included.

        `ARM_*` is read by Pulumi and Terraform, `AZURE_*` by azure-identity and its kin, the rest makes clients `trust` it.
        """
        who = identity or self
        return {
            **self.settings(),
            "ARM_CLIENT_ID": who.client_id,
            "ARM_CLIENT_SECRET": who.client_secret,
            "AZURE_TENANT_ID": self.tenant_id,
            "AZURE_CLIENT_ID": who.client_id,
            "AZURE_CLIENT_SECRET": who.client_secret,
            "AZURE_SUBSCRIPTION_ID": self.subscription_id,
            **self.trust(bundle),
            "ENTRANT_METRICS_ENDPOINT": self.url,
        }

    def trust(self, bundle: Path | None = None) -> dict[str, str]:
        """The environment variables that make clients trust this certificate authority, besides all that they trusted before.

        `bundle` is the file for it, else what `ca_bundle` writes. Java has no variable for one; for it there are options that
        name a trust store with the same certificates, after those that the environment has already.
        """
        path = bundle or self.ca_bundle()
        store = _trust_store(path)
        if store is None:
            return dict.fromkeys(TRUSTING, str(path))
        named = f'"{store}"' if " " in str(store) else str(store)
        options = f"-Djavax.net.ssl.trustStore={named} -Djavax.net.ssl.trustStorePassword={STORE_PASSWORD}"
        others = os.environ.get("JAVA_TOOL_OPTIONS", "").replace(options, "").strip()
        return dict.fromkeys(TRUSTING, str(path)) | {"JAVA_TOOL_OPTIONS": f"{others} {options}".strip()}

    def ca_bundle(self) -> Path:
        """Write `bundle.pem` (0644) in the state directory: what is trusted on this machine, and the local authority."""
        path = self.state / "bundle.pem"
        blocks = dict.fromkeys([*_system_authorities(), *_certificates(self.ca_file.read_text("ascii"))])
        content = "".join(f"{block}\n" for block in blocks)
        if not path.exists() or path.read_text("utf-8") != content:
            write_public(path, content)
        return path

    def ensure(self, scopes: Iterable[str], *, location: str = "westeurope") -> list[str]:
        """Make subscriptions, resource groups and resources exist, with all that encloses them; the ids that were new."""
        created: list[str] = self.admin("POST", "ensure", {"scopes": list(scopes), "location": location})["created"]
        return created

    def set_propagation(self, seconds: float) -> None:
        """Let new role assignments and client secrets take effect `seconds` after they are made."""
        self.admin("PATCH", "settings", {"propagation": seconds})

    def faults(self, *rules: dict[str, Any], seed: int = 0) -> None:
        """Let requests fail by these rules instead of any before (see `local_azure.faults.Rule` for their names); none ends all.

        The same seed and the same requests give the same faults.
        """
        self.admin("PUT", "faults", {"seed": seed, "rules": list(rules)})

    def reset(self) -> None:
        """Go back to the first start: same tenant, subscription, deployer and keys, nothing else; no faults, the usual clock."""
        self.admin("POST", "reset")

    def requests(self, *, after: int = 0) -> list[dict[str, Any]]:
        """The newest 1,000 requests, oldest first, those numbered above `after`.

        Each has number, time, method, path, status (`None` for a broken connection), milliseconds, where it is known the
        principal (`client_id`, `object_id`, `name`), and of a refusal code and message. Never a query, header or body.
        """
        found: list[dict[str, Any]] = self.admin("GET", f"log?after={after}")["value"]
        return found

    def page(self) -> str:
        """A link to the page in the browser: good once and for two minutes. The code in it is never sent by following it."""
        return f"{self.url}/#visit={self.admin('POST', 'visits')['code']}"

    def metrics(self, resource_id: str) -> list[dict[str, Any]]:
        """Every custom metric sample that a resource was sent."""
        found: list[dict[str, Any]] = self.admin("GET", f"metrics?resource={quote(resource_id)}")["value"]
        return found

    def assertion(self, subject: str, *, issuer: str = "", audience: str = "", **claims: Any) -> str:
        """A federated assertion for `subject` that this local Azure trusts; by default GitHub's, for Entra's usual audience."""
        body = {"subject": subject, "issuer": issuer, "audience": audience, "claims": claims}
        value: str = self.admin("POST", "assertions", body)["value"]
        return value

    def create_identity(self, name: str, *, roles: Iterable[tuple[str, str]] = ()) -> Identity:
        """Register an application with a service principal and a client secret, as the deployer would through the APIs.

        `roles` are pairs of a built-in role's name or GUID and the id of a scope, which is made when it is missing.

        Raises:
            LocalAzureError: when a role is unknown, a scope is none, or the local Azure refuses.
        """
        granted = list(roles)
        found = {role: find_role(role) for role, _ in granted}
        unknown = [role for role, definition in found.items() if definition is None]
        if unknown:
            raise LocalAzureError(f"There is no built-in role '{unknown[0]}'.")
        self.ensure([scope for _, scope in granted])
        application = self._graph("applications", {"displayName": name})
        principal = self._graph("servicePrincipals", {"appId": application["appId"]})
        secret = self._graph(f"applications/{application['id']}/addPassword", {"passwordCredential": {}})
        for role, scope in granted:
            definition = found[role]
            assert definition is not None, "checked above"
            where = f"{scope.rstrip('/')}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
            properties = {
                "roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{definition.id}",
                "principalId": principal["id"],
                "principalType": "ServicePrincipal",
            }
            self.call("PUT", f"{where}?api-version=2022-04-01", {"properties": properties})
        return Identity(
            self.tenant_id, application["appId"], application["id"], principal["id"], name, secret["secretText"]
        )

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call Graph (`/v1.0/…`) or Resource Manager (`/subscriptions/…?api-version=…`) as the deployer; the answer's JSON.

        Raises:
            LocalAzureError: when it refuses.
        """
        return self._ask(method, path, self._token(), body)

    def _graph(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self.call("POST", f"/v1.0/{path}", body)

    def _token(self) -> str:
        """A token of the deployer for this server."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "scope": f"{self.url}/.default",
        }
        path = f"/{self.tenant_id}/oauth2/v2.0/token"
        return str(self._ask("POST", path, None, urlencode(form).encode())["access_token"])

    def github_settings(self, subject: str) -> dict[str, str]:
        """The variables by which a GitHub Actions job gets its OIDC token, for a job with this subject."""
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/_local/github/token?subject={quote(subject)}",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": (self.state / "admin.key").read_text("utf-8").strip(),
        }

    def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call a ``/_local/…`` route and return its JSON; `LocalAzureError` when it refuses or does not answer."""
        key = (self.state / "admin.key").read_text("utf-8").strip()
        return self._ask(method, f"/_local/{path}", key, body)

    def _ask(self, method: str, path: str, token: str | None, body: dict[str, Any] | bytes | None) -> dict[str, Any]:
        """One request, its body JSON or a form; the answer's JSON."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        kind = "application/x-www-form-urlencoded" if isinstance(body, bytes) else "application/json"
        headers = {"Content-Type": kind} | ({} if token is None else {"Authorization": f"Bearer {token}"})
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(self.ca_file))),
        )
        try:
            with opener.open(request, timeout=30) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            raise LocalAzureError(_refusal(error)) from None
        except OSError as error:
            raise LocalAzureError(f"The local Azure at {self.url} does not answer ({error}).") from error
        result: dict[str, Any] = json.loads(content) if content else {}
        return result


def _refusal(error: urllib.error.HTTPError) -> str:
    """What an error answer says, in whichever of Azure's shapes."""
    try:
        body = json.loads(error.read())
        inner = body["error"]
        return str(inner["message"] if isinstance(inner, dict) else body.get("error_description", inner))
    except (ValueError, KeyError, TypeError):
        return str(error)


def find(state: Path) -> LocalAzure | None:
    """The local Azure that runs on a state directory now, or `None`."""
    state = state.resolve()
    if not is_held(state / "server.lock"):
        return None
    try:
        server = json.loads((state / "server.json").read_text("utf-8"))
        deployer = json.loads((state / "deployer.json").read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return LocalAzure(
        url=server["url"],
        port=server["port"],
        pid=server["pid"],
        ca_file=state / "ca.pem",
        tenant_id=deployer["tenant_id"],
        subscription_id=deployer["subscription_id"],
        client_id=deployer["client_id"],
        object_id=deployer["object_id"],
        state=state,
        client_secret=deployer["client_secret"],
    )


def start(
    state: Path,
    *,
    port: int | None = None,
    propagation: float = 0.0,
    tenant: str | None = None,
    timeout: float = 30.0,
) -> LocalAzure:
    """Start the local Azure of a state directory in the background, or find the one that runs, and wait until it answers.

    `tenant` is the id that a new one's tenant gets; one that was there before keeps its own.

    Its log is `server.log` in the state directory (0600). Two processes that start the same state at once get the same server.

    Raises:
        LocalAzureError: when it does not come up within `timeout` seconds, with the end of its log.
    """
    state = state.resolve()
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.chmod(0o700)
    try:
        with lock(state / "start.lock", wait=timeout):
            found = find(state) or _spawn(state, port, propagation, tenant, time.monotonic() + timeout)
    except Held:
        raise LocalAzureError(
            f"Another process has been starting the local Azure of {state} for {timeout:.0f} s."
        ) from None
    if port is not None and found.port != port:
        raise LocalAzureError(
            f"The local Azure of {state} already runs on port {found.port}; stop it to use port {port}."
        )
    return found


def _spawn(state: Path, port: int | None, propagation: float, tenant: str | None, deadline: float) -> LocalAzure:
    command = [sys.executable, "-m", "local_azure", "serve", "--state", str(state), "--propagation", str(propagation)]
    if port is not None:
        command += ["--port", str(port)]
    if tenant is not None:
        command += ["--tenant", tenant]
    root = str(Path(__file__).resolve().parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (root, inherited))), "PYTHONUNBUFFERED": "1"}
    with contextlib.suppress(Held), lock(state / "server.lock"):  # or what a killed one left is taken for the new one's
        (state / "server.json").unlink(missing_ok=True)
    log = state / "server.log"
    handle = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    begun = log.stat().st_size
    with os.fdopen(handle, "ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=state,
            start_new_session=True,
        )
    while time.monotonic() < deadline:
        found = find(state)
        if found is not None:
            process.returncode = 0  # It lives on by itself: Popen must not warn that nobody waits for it.
            return found
        if process.poll() is not None:
            raise LocalAzureError(
                f"The local Azure stopped at once (exit code {process.returncode}):\n{_tail(log, begun)}"
            )
        time.sleep(0.02)
    process.kill()
    raise LocalAzureError(f"The local Azure did not come up in time. Its log ({log}) ends:\n{_tail(log, begun)}")


def _tail(log: Path, begun: int) -> str:
    with log.open("rb") as file:
        file.seek(begun)
        text = file.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-8:])


def stop(state: Path, *, timeout: float = 10.0) -> bool:
    """Stop the local Azure of a state directory and wait until it is gone; `False` when none runs."""
    state = state.resolve()
    found = find(state)
    if found is None:
        return False
    deadline = time.monotonic() + timeout
    os.kill(found.pid, signal.SIGTERM)
    while is_held(state / "server.lock"):
        if time.monotonic() > deadline:
            os.kill(found.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            deadline += 5
        time.sleep(0.02)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(found.pid, 0)
    return True


def _system_authorities() -> list[str]:
    """The certificate authorities that programs on this machine trust: the system's, and those in files that variables name.

    In a shell that has this local Azure's settings they name its bundle, which holds all that they named before.
    """
    defaults = ssl.get_default_verify_paths()
    named = [os.environ.get(name) for name in TRUSTING]
    system = next((one for one in (defaults.openssl_cafile, *SYSTEM_BUNDLES) if Path(one).is_file()), None)
    found: list[str] = []
    for candidate in dict.fromkeys([*named, system]):
        if candidate and Path(candidate).is_file():
            found += _certificates(Path(candidate).read_text("utf-8", "replace"))
    if found:
        return found
    try:
        import certifi
    except ImportError:
        return []
    return _certificates(Path(certifi.where()).read_text("utf-8"))


def _certificates(text: str) -> list[str]:
    """The certificates in a PEM file, without what is written between them."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    blocks = [block.partition(end) for block in text.split(begin)[1:]]
    return [
        "\n".join(line.strip() for line in f"{begin}{inside}{end}".splitlines()) for inside, found, _ in blocks if found
    ]


def _trust_store(bundle: Path) -> Path | None:
    """A trust store for Java (PKCS #12) beside a bundle, with its certificates; `None` where none can be made."""
    store = bundle.with_suffix(".p12")
    if not bundle.exists():
        return None
    if store.exists() and store.stat().st_mtime_ns >= bundle.stat().st_mtime_ns:
        return store
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
    except ImportError:
        return None
    entries = []
    for at, block in enumerate(_certificates(bundle.read_text("utf-8"))):
        # Systems carry certificates that are not quite right; one that cannot be read at all is no use to Java either.
        with warnings.catch_warnings(action="ignore"), contextlib.suppress(ValueError):
            certificate = x509.load_pem_x509_certificate(block.encode())
            entries.append(pkcs12.PKCS12Certificate(certificate, f"{at}".encode()))
    write_public(store, pkcs12.serialize_java_truststore(entries, BestAvailableEncryption(STORE_PASSWORD.encode())))
    return store
