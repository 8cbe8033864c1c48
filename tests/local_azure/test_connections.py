"""Clients that do not finish, that are too many, or that send too much: each is let go, and others are served."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

import local_azure
from local_azure import LocalAzure
from local_azure.connections import Bodies, Limits, TooLarge
from tests.local_azure.conftest import Client

MOST = 8


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAzure]:
    """A local Azure that gives a request half a second and lets eight clients in."""
    yield from serving(tmp_path_factory.mktemp("hurried") / "state", "0.5")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAzure]:
    """A local Azure that lets eight clients in, with time enough."""
    yield from serving(tmp_path_factory.mktemp("narrow") / "state", "60")


def serving(state: Path, seconds: str) -> Iterator[LocalAzure]:
    """A local Azure with these limits, while it is wanted."""
    command = [sys.executable, "-m", "local_azure", "serve", "--state", str(state)]
    command += ["--request-timeout", seconds, "--connections", str(MOST)]
    with subprocess.Popen(command, cwd=Path(local_azure.__file__).parent.parent, stderr=subprocess.DEVNULL) as process:
        found = None
        while found is None:
            assert process.poll() is None
            time.sleep(0.02)
            found = local_azure.find(state) if state.exists() else None
        yield found
        local_azure.stop(state)


def connect(azure: LocalAzure) -> ssl.SSLSocket:
    """A connection on which nothing was said yet."""
    context = ssl.create_default_context(cafile=str(azure.ca_file))
    plain = socket.create_connection(("127.0.0.1", azure.port), timeout=20)
    return context.wrap_socket(plain, server_hostname="localhost")


def ends(connection: ssl.SSLSocket) -> bool:
    """Wait until the server ends the connection."""
    try:
        while connection.recv(4096):
            pass
    except (ConnectionError, ssl.SSLError):
        pass
    return True


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /v1.0/applications HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        b"POST /v1.0/applications HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"GET /metadata/endpoints HTTP/1.1\r\nHost: localhost\r\n\r\nGET /metadata",
    ],
    ids=["nothing", "headers", "body", "chunk", "second request"],
)
def test_request_that_never_ends(hurried: LocalAzure, begun: bytes) -> None:
    """Whoever leaves a request unfinished is dropped, wherever it stopped."""
    with connect(hurried) as connection:
        connection.sendall(begun)
        assert ends(connection)


def test_request_that_comes_in_drips(hurried: LocalAzure) -> None:
    """A byte now and then does not win time: what counts is when the request began."""
    with connect(hurried) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        with pytest.raises((ConnectionError, ssl.SSLError)):
            while True:
                connection.sendall(b"x")
                time.sleep(0.05)


def test_client_that_rests_between_requests_is_kept(hurried: LocalAzure) -> None:
    """An idle connection is no unfinished request: the next one on it is answered."""
    with contextlib.closing(connect(hurried)) as connection:
        for _ in range(2):
            connection.sendall(b"GET /metadata/endpoints HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert answer.status == 200 and answer.read()
            time.sleep(0.8)  # longer than a request may take


def ask(connection: ssl.SSLSocket) -> None:
    """One request and its answer."""
    connection.sendall(b"GET /metadata/endpoints HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    assert answer.status == 200 and answer.read()


def test_one_client_too_many(narrow: LocalAzure) -> None:
    """While all are in a request one more is dropped; when others have gone the next is served."""
    held = []
    try:
        for _ in range(MOST):
            held.append(connect(narrow))
            held[-1].sendall(b"GET /metadata/endpoints HTTP/1.1\r\n")
        try:
            with connect(narrow) as more:
                more.sendall(b"GET / HTTP/1.1\r\n")
                assert ends(more)
        except (ConnectionError, ssl.SSLError):
            pass
    finally:
        for one in held:
            one.close()
    assert Client(narrow).token()


def test_resting_clients_make_room(narrow: LocalAzure) -> None:
    """Clients that leave connections open without using them again (the azuread plugin opens one a request) stop nobody."""
    with contextlib.ExitStack() as opened:
        resting = []
        for _ in range(3 * MOST):
            resting.append(opened.enter_context(contextlib.closing(connect(narrow))))
            ask(resting[-1])
        assert ends(resting[0]), "the one that has rested longest goes first"
        ask(resting[-1])


@pytest.mark.parametrize(
    "path", ["/v1.0/applications", "/subscriptions/x?api-version=2022-12-01", "/common/oauth2/v2.0/token"]
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_too_much_reads_why(azure: LocalAzure, path: str, chunked: bool) -> None:
    """A client reads no answer before it has sent all, so all is received; a body so large that this is unbearable is not."""
    part = b"x" * 1_000_000
    body: Any = iter([part] * 30) if chunked else part * 30
    answer = requests.post(azure.url + path, data=body, verify=str(azure.ca_bundle()), timeout=120)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "RequestEntityTooLarge")
    assert Client(azure).token()


class TestBodies:
    """What is held of bodies that are being received."""

    @staticmethod
    async def chunks(*sizes: int) -> AsyncIterator[bytes]:
        for size in sizes:
            yield b"x" * size

    def test_one_and_all_are_bounded(self) -> None:
        """One body may have so much, all together so much; what was refused or received counts no more."""
        bodies = Bodies(Limits(body=10, bodies=15))

        async def run() -> None:
            assert await bodies.receive("4", self.chunks(2, 2)) == b"xxxx"
            for size, parts in (("11", ()), (None, (6, 5)), ("1", (20,))):
                with pytest.raises(TooLarge) as refused:
                    await bodies.receive(size, self.chunks(*parts))
                assert not refused.value.whole
            bodies.held = 9
            with pytest.raises(TooLarge) as refused:
                await bodies.receive(None, self.chunks(5, 2))
            assert refused.value.whole and bodies.held == 9
            for waits, left in ((False, []), (True, [b"x" * 6, b"x" * 6])):
                sent = self.chunks(6, 6)
                with pytest.raises(TooLarge):
                    await bodies.receive("12", sent, waits=waits)
                assert [chunk async for chunk in sent] == left, "what waits to be sent is not asked for"

        asyncio.run(run())
