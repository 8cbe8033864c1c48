"""Calls to the data planes: what is asked again, how often, and when it is given up."""

import ast
import contextlib
import dataclasses
import itertools
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme
from urllib3.util.ssl_ import create_urllib3_context

from entrant import http, retries
from entrant.access import deployer
from entrant.errors import ConfigurationError, RefusedError, UnreachableError
from entrant.facts.clouds import CLOUDS
from tests.conftest import ROOT
from tests.entrant.authority import Answer, Authority, serve


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    with serve(tmp_path) as running:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.ca_file))
        yield running


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, which take no time."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


@pytest.mark.parametrize("status", [429, 503])
def test_what_was_not_done_is_asked_again_even_for_a_post(api: Authority, waits: list[float], status: int) -> None:
    api.script = [Answer(status, None, {"Retry-After": "9"}), Answer(status), Answer(200, {"done": True})]
    assert http.call("POST", f"{api.url}/x", json={}) == {"done": True}
    assert 9 in waits


@pytest.mark.parametrize("answer", [Answer(500), Answer(502), Answer(504), Answer(reset=True)])
def test_what_may_have_been_done_is_repeated_only_where_that_is_safe(
    api: Authority, waits: list[float], answer: Answer
) -> None:
    for method, repeat in (("GET", None), ("POST", True)):
        api.script = [answer, Answer(200, {"done": True})]
        assert http.call(method, f"{api.url}/x", repeat=repeat) == {"done": True}
    api.requests.clear()
    api.script = [answer, Answer(200)]
    with pytest.raises((RefusedError, UnreachableError)):
        http.call("POST", f"{api.url}/x", json={})
    assert len(api.requests) == 1


def test_tries_are_bounded_and_the_last_answer_is_told(api: Authority, waits: list[float]) -> None:
    api.always = Answer(429, {"error": {"code": "TooManyRequests", "message": "Slow down."}})
    with pytest.raises(RefusedError, match="429 Too Many Requests: TooManyRequests: Slow down") as caught:
        http.call("POST", f"{api.url}/x")
    assert (caught.value.status, caught.value.code) == (429, "TooManyRequests")
    assert len(api.requests) == retries.TRIES


def test_nobody_waits_for_an_hour(api: Authority, waits: list[float]) -> None:
    api.always = Answer(429, {"error": {"code": "Throttled", "message": "Later."}}, {"Retry-After": "3600"})
    with pytest.raises(RefusedError, match="Throttled"):
        http.call("GET", f"{api.url}/x")
    assert len(api.requests) == 1


def test_a_refusal_is_final(api: Authority, waits: list[float]) -> None:
    api.script = [Answer(403, {"error": {"code": "AuthorizationFailed", "message": "No."}})]
    with pytest.raises(RefusedError, match="AuthorizationFailed"):
        http.call("GET", f"{api.url}/x")
    assert len(api.requests) == 1


def test_a_bundle_is_read_once_by_a_thread_until_it_changes(
    api: Authority, waits: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[ssl.SSLContext] = []
    make = create_urllib3_context

    def making() -> ssl.SSLContext:
        made.append(make())
        return made[-1]

    monkeypatch.setattr(http, "create_urllib3_context", making)
    bundle = tmp_path / "bundle.pem"
    good, other = api.ca_file.read_bytes(), trustme.CA().cert_pem.bytes()
    bundle.write_bytes(good)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    for _ in range(3):
        http.call("POST", f"{api.url}/x")
    assert len(made) == 1
    bundle.write_bytes(other + b"\n")
    with pytest.raises(UnreachableError, match="the server's certificate is not trusted"):
        http.call("GET", f"{api.url}/x")
    bundle.write_bytes(other + good)
    http.call("POST", f"{api.url}/x")
    assert len(made) == 3
    with ThreadPoolExecutor(1) as pool:  # urllib3 writes to a context at each connection, so that threads share none
        pool.submit(http.call, "POST", f"{api.url}/x").result()
    assert len(made) == 4
    assert len(api.requests) == 5


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_folder_of_certificates_is_trusted(
    api: Authority, waits: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    folder = tmp_path / "certificates"
    folder.mkdir()
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setenv(variable, str(folder))
    with pytest.raises(UnreachableError, match="the server's certificate is not trusted"):
        http.call("GET", f"{api.url}/x")
    command = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(api.ca_file)]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    (folder / f"{name}.0").write_bytes(api.ca_file.read_bytes())
    http.call("GET", f"{api.url}/x")
    assert len(api.requests) == 1


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_bundle_that_is_none_is_named(
    api: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    bundle = tmp_path / "none.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with pytest.raises(ConfigurationError, match=f"certificates to trust in {bundle} cannot be read") as caught:
        http.call("GET", f"{api.url}/x")
    assert caught.value.next_step == "name a file of certificates (PEM) in REQUESTS_CA_BUNDLE, or unset it"
    assert api.requests == []


class _Proxy(socketserver.StreamRequestHandler):
    """Lets through what asks for a tunnel, and notes where to."""

    tunnels: list[str]

    def handle(self) -> None:
        where = self.rfile.readline().split()[1].decode()
        while self.rfile.readline().strip():
            pass
        self.tunnels.append(where)
        host, _, port = where.rpartition(":")
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with socket.create_connection((host, int(port))) as other:
            back = threading.Thread(target=_copy, args=(other.recv, self.wfile.write))
            back.start()
            _copy(self.rfile.read1, other.sendall)
            other.shutdown(socket.SHUT_RDWR)
            back.join()


def _copy(read: Callable[[int], bytes], write: Callable[[bytes], object]) -> None:
    with contextlib.suppress(OSError):
        while part := read(65536):
            write(part)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_is_used_as_requests_uses_it(
    api: Authority, waits: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    tunnels: list[str] = []
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), type("Handler", (_Proxy,), {"tunnels": tunnels})) as server:
        if scheme == "https":
            ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            ca.issue_cert("localhost").configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            api.ca_file.write_bytes(api.ca_file.read_bytes() + ca.cert_pem.bytes())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://localhost:{server.server_address[1]}")
            monkeypatch.setenv("NO_PROXY", "example.com")
            http.call("GET", f"{api.url}/x")
            assert tunnels == [api.url.removeprefix("https://")]
            monkeypatch.setenv("NO_PROXY", "localhost")
            http.call("GET", f"{api.url}/x")
        finally:
            server.shutdown()
            thread.join()
    assert len(tunnels) == 1 and len(api.requests) == 2


@pytest.mark.parametrize(
    "path", ["", "x", ".evil.example/x", "@evil.example/x", ":1/x", "?x", "https://evil.example/x"]
)
def test_a_path_never_becomes_a_part_of_the_host_that_gets_the_token(api: Authority, path: str) -> None:
    cloud = dataclasses.replace(CLOUDS["public"], resource_manager=api.url, graph=api.url)
    who = deployer.Deployer("a test", cloud, None)
    for look in (who.arm, who.graph):
        with pytest.raises(ConfigurationError, match='it does not begin with "/"; nothing was sent'):
            look(path)
    assert api.requests == []


ENDPOINTS = {"graph", "resource_manager", "logs", "insights", "metrics"}
"""The fields of `Cloud` that tokens are sent to."""


def test_what_follows_an_endpoint_in_a_url_is_a_slash() -> None:
    found = []
    for file in (ROOT / "entrant").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            parts: list[ast.expr] = []
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.FormattedValue) else part for part in node.values]
            elif isinstance(node, ast.BinOp):
                parts = [node.left, node.right]
            for part, following in itertools.pairwise(parts):
                slash = isinstance(following, ast.Constant) and str(following.value).startswith(("/", " "))
                if isinstance(part, ast.Attribute) and part.attr in ENDPOINTS and "cloud" in ast.unparse(part).lower():
                    found += [] if slash else [f"{file.relative_to(ROOT)}:{part.lineno}: {ast.unparse(part)}"]
    assert found == [], "use http.address"
