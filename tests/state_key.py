"""A vault with a key, as Pulumi's secrets provider `azurekeyvault` reaches it under its real names, on loopback.

Pulumi lets neither a port nor another authority be named for it, so a proxy leads the names here. It knows no others.

Source: azure-rest-api-specs, keyvault keys 7.6, "encrypt" and "decrypt"; the authentication challenge of Key Vault.
"""

from __future__ import annotations

import base64
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

VAULT, SIGN_IN = "kv-state.vault.azure.net", "login.microsoftonline.com"
_PADDING = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)


@dataclass
class KeyVault:
    """A key with its versions, newest last, and whoever may use it."""

    authority: str
    """The URL of who issues tokens: the local Azure."""
    tenant: str
    users: set[str] = field(default_factory=set)
    """Client ids with *Key Vault Crypto User*."""
    versions: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """What was done by whom with which version: `decrypt v1 <client id>`."""
    proxy: str = ""
    ca: bytes = b""

    def rotate(self) -> str:
        """A new version of the key; its name."""
        self.versions[f"{len(self.versions) + 1:032x}"] = rsa.generate_private_key(65537, 2048)
        return list(self.versions)[-1]

    def discovered(self) -> tuple[int, Any]:
        """The answer about authorities: what issues tokens here is one."""
        endpoint = f"{self.authority}/{self.tenant}/v2.0/.well-known/openid-configuration"
        host = self.authority.removeprefix("https://")
        alias = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
        return 200, {"tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": [alias]}

    def used(self, steps: list[str], token: str | None, body: dict[str, Any]) -> tuple[int, Any]:
        """The answer to `keys/pulumi[/VERSION]/encrypt` and `decrypt`."""
        if token is None:
            return 401, {"error": {"code": "Unauthorized", "message": "AKV10000: Request is missing a token."}}
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        assert claims["aud"].rstrip("/") == "https://vault.azure.net", claims
        operation, version = steps[-1], steps[2] if len(steps) == 4 else list(self.versions)[-1]
        assert steps[:2] == ["keys", "pulumi"] and operation in ("encrypt", "decrypt") and body["alg"] == "RSA-OAEP-256"
        self.asked.append(f"{operation} {version} {claims['appid']}")
        if claims["appid"] not in self.users:
            message = "Caller is not authorized to perform action on resource."
            return 403, {"error": {"code": "Forbidden", "message": message, "innererror": {"code": "ForbiddenByRbac"}}}
        value = base64.urlsafe_b64decode(body["value"] + "=" * (-len(body["value"]) % 4))
        key = self.versions[version]
        try:
            done = key.public_key().encrypt(value, _PADDING) if operation == "encrypt" else key.decrypt(value, _PADDING)
        except ValueError:
            return 400, {"error": {"code": "BadParameter", "message": "The parameter is incorrect."}}
        encoded = base64.urlsafe_b64encode(done).decode().rstrip("=")
        return 200, {"kid": f"https://{VAULT}/keys/pulumi/{version}", "value": encoded}


class _Handler(BaseHTTPRequestHandler):
    vault: KeyVault

    def do_GET(self) -> None:
        assert self.headers["Host"] == SIGN_IN and self.path.startswith("/common/discovery/instance"), self.path
        self._say(*self.vault.discovered())

    def do_POST(self) -> None:
        assert self.headers["Host"] == VAULT, self.headers["Host"]
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        steps = [step for step in self.path.partition("?")[0].split("/") if step]
        self._say(*self.vault.used(steps, token if kind == "Bearer" else None, body))

    def _say(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        if status == 401:
            where = f"{self.vault.authority}/{self.vault.tenant}"
            challenge = f'Bearer authorization="{where}", resource="https://vault.azure.net"'
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class _Proxy(socketserver.StreamRequestHandler):
    port: int

    def handle(self) -> None:
        line = self.rfile.readline().decode().split()
        while self.rfile.readline().strip():
            pass
        if line[:1] != ["CONNECT"] or line[1] not in (f"{VAULT}:443", f"{SIGN_IN}:443"):
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self.port)) as there:
            threads = [
                threading.Thread(target=_pump, args=pair, daemon=True)
                for pair in ((self.connection, there), (there, self.connection))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
    finally:
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def key_vault(authority: str, tenant: str) -> Iterator[KeyVault]:
    """A vault with a key of one version."""
    made, signer, context = KeyVault(authority, tenant), trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.rotate()
    signer.issue_cert(VAULT, SIGN_IN).configure_cert(context)
    made.ca = signer.cert_pem.bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"vault": made}))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    way = type("Way", (_Proxy,), {"port": server.server_address[1]})
    proxy = socketserver.ThreadingTCPServer(("127.0.0.1", 0), way)
    proxy.daemon_threads = True
    made.proxy = f"http://127.0.0.1:{proxy.server_address[1]}"
    threads = [threading.Thread(target=each.serve_forever, args=(0.05,), daemon=True) for each in (server, proxy)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        for each, thread in zip((server, proxy), threads, strict=True):
            each.shutdown()
            each.server_close()
            thread.join()


def settings(vault: KeyVault, bundle: Path, folder: Path, client_id: str, client_secret: str) -> dict[str, str]:
    """The environment variables with which Pulumi reaches the vault, as an app of the local Azure."""
    trusted = folder / "trusted.pem"
    trusted.write_bytes(bundle.read_bytes() + vault.ca)
    return {
        "HTTPS_PROXY": vault.proxy,
        "NO_PROXY": "localhost,127.0.0.1",
        "SSL_CERT_FILE": str(trusted),
        "REQUESTS_CA_BUNDLE": str(trusted),
        "AZURE_TENANT_ID": vault.tenant,
        "AZURE_CLIENT_ID": client_id,
        "AZURE_CLIENT_SECRET": client_secret,
    }
