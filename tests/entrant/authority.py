"""A token authority on this machine that answers as a test tells it to, and remembers what it was asked."""

import contextlib
import datetime as dt
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

TENANT = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True)
class Answer:
    """One answer: a status with headers and a JSON body, or (`reset`) a broken connection."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    reset: bool = False


def refusal(code: int, status: int = 401, error: str = "invalid_client") -> Answer:
    """What Entra ID says when it refuses."""
    text = f"AADSTS{code}: No. Trace ID: 1 Correlation ID: 2 Timestamp: 2026-01-01 00:00:00Z"
    return Answer(status, {"error": error, "error_description": text, "error_codes": [code]})


@dataclass(frozen=True)
class Request:
    """One request: its method, path, query or form, and headers in lower case."""

    method: str
    path: str
    fields: dict[str, str]
    headers: dict[str, str]


class Authority:
    """Gives tokens `token-1`, `token-2`, …, unless `script` holds other answers, which are given first."""

    def __init__(self, url: str, ca_file: Path) -> None:
        self.url = url
        self.ca_file = ca_file
        self.script: list[Answer] = []
        self.always: Answer | None = None
        self.lifetime = 3599
        self.ahead = 0.0
        """Seconds that its clock is ahead."""
        self.delay = 0.0
        self.requests: list[Request] = []
        """What was asked, without the OpenID configuration."""
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Answer:
        """The answer to a request."""
        if request.path.endswith("/openid-configuration"):
            base = f"{self.url}/{TENANT}"
            names = {"authorization_endpoint": "authorize", "token_endpoint": "token"}
            found = {name: f"{base}/oauth2/v2.0/{path}" for name, path in names.items()}
            return Answer(200, found | {"issuer": f"{base}/v2.0"})
        with self._lock:
            self.requests.append(request)
            number = len(self.requests)
            scripted = self.script.pop(0) if self.script else self.always
        time.sleep(self.delay)
        if scripted:
            return scripted
        return Answer(200, {"token_type": "Bearer", "expires_in": self.lifetime, "access_token": f"token-{number}"})


class _Handler(BaseHTTPRequestHandler):
    authority: Authority
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        fields = dict(parse_qsl(parts.query)) | dict(parse_qsl(body))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.authority.answer(Request(self.command, parts.path, fields, headers))
        if answer.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        data = json.dumps(answer.body).encode() if answer.body is not None else b""
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _handle

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(time.time() + self.authority.ahead, usegmt=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are no error of the test's."""


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Authority]:
    """Run an authority on localhost, with a certificate of its own."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    authority = Authority(f"https://localhost:{server.server_address[1]}", folder / "ca.pem")
    server.RequestHandlerClass = type("Handler", (_Handler,), {"authority": authority})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield authority
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def certificate(
    password: bytes | None = None, *, starts: dt.datetime | None = None, ends: dt.datetime | None = None
) -> tuple[bytes, bytes]:
    """A self-signed certificate with its key as PEM, and the certificate as DER; valid since yesterday and for nine days."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(starts or now - dt.timedelta(days=1))
        .not_valid_after(ends or now + dt.timedelta(days=9))
        .sign(key, hashes.SHA256())
    )
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    return pem + made.public_bytes(serialization.Encoding.PEM), made.public_bytes(serialization.Encoding.DER)
