"""The HTTPS server: one listener on the loopback interface, every endpoint family behind it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import secrets
import socket
import struct
import sys
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from local_azure import (
    admin,
    arm,
    entra,
    graph,
    ingestion,
    insights,
    keyvault,
    logs,
    metadata,
    metrics,
    operations,
    page,
    seed,
)
from local_azure.authority import server_certificate
from local_azure.connections import Bodies, Limits, TooLarge, bounded
from local_azure.faults import family_of
from local_azure.files import Held, lock, write_private
from local_azure.store import Store
from local_azure.wire import Call, Refused, Reply, new_guid, utc
from local_azure.world import Aside, World

CONFIDENTIAL = re.compile(r"eyJ[\w-]{8,}[\w.-]*|\w{3}8Q~[\w.~-]{31,37}")
"""What looks like a token, or like a client secret of Entra ID."""
log = logging.getLogger("local_azure")
LOOKED_AT = 1.0
"""Seconds that others may look whether the lock is held, one after the other, each for a moment."""

Family = Callable[[World, Call], Reply | None]
FAMILIES: tuple[Family, ...] = (
    keyvault.handle,
    metadata.handle,
    graph.handle,
    insights.handle,
    logs.handle,
    ingestion.handle,
    metrics.handle,
    arm.handle,
    entra.handle,
)


class StartError(Exception):
    """The server cannot start; the message says why and what to do."""


class App:
    """The ASGI application over one `World`."""

    def __init__(self, world: World, admin_key: str, deployer: seed.Deployer, limits: Limits | None = None) -> None:
        self.world, self.admin_key, self._deployer = world, admin_key, deployer
        self.bodies = Bodies(limits or Limits())
        self._number = 0
        self._queries = ThreadPoolExecutor(1, "query")
        self._transforms = ThreadPoolExecutor(2, "transform")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        began = time.perf_counter()
        try:
            waits = request.headers.get("expect", "").lower() == "100-continue"
            body = await self.bodies.receive(request.headers.get("content-length"), request.stream(), waits=waits)
        except TooLarge as error:
            await _response(_too_large(error), self.world.store.now())(scope, receive, send)
            return
        except ClientDisconnect:
            log.info("%s %s: the client left before its request was whole", request.method, scope["path"][:300])
            return
        call = Call(
            request.method,
            request.url.path if request.url.path.startswith("/") else "/",
            dict(request.query_params),
            {name.lower(): value for name, value in request.headers.items()},
            body,
        )
        reply: Reply | None
        fault: str | None
        if self.world.pace.active and not _own(call):
            await asyncio.sleep(self.world.pace.seconds(call))
            refusal = self.world.pace.refusal(call, self.world.store.now())
        else:
            refusal = None
        if refusal is not None:
            reply, fault = _dated(refusal, self.world.store.now()), "quota"
        elif self.world.faults.active and not _own(call):
            reply, fault = await self._faulty(call)
            if reply is None:
                log.info("%s %s reset by a fault rule", call.method, call.path[:300])
                self._note(call, None, began, fault)
                await _break(receive, send)
                return
        else:
            reply, fault = await self._answered(call), None
        milliseconds = self._note(call, reply, began, fault)
        quiet = call.method == "GET" and reply.status < 400 and _own(call)  # the page asks every second
        log.log(
            logging.DEBUG if quiet else logging.INFO,
            "%s %s %d %.1fms",
            call.method,
            call.path[:300],
            reply.status,
            milliseconds,
        )
        await _response(reply, self.world.store.now())(scope, receive, send)

    def _note(self, call: Call, reply: Reply | None, began: float, fault: str | None = None) -> float:
        """Add a request to the log that can be read, unless it is the owner's own; how many milliseconds it took.

        `fault` is the kind of fault that it met. What looks like a token or a client secret is left out wherever it was written.
        """
        milliseconds = (time.perf_counter() - began) * 1000
        principal, self.world.asking = self.world.asking, None
        if _own(call):
            return milliseconds
        self._number += 1
        entry: dict[str, Any] = {
            "number": self._number,
            "time": utc(self.world.store.now(), digits=3),
            "method": call.method[:20],
            "path": _discreet(call.path[:300]),
            "status": reply.status if reply is not None else None,
            "milliseconds": round(milliseconds, 1),
        }
        if principal is not None:
            entry["principal"] = {name: _discreet(value) for name, value in principal.items()}
        if fault is not None:
            entry["fault"] = fault
        if reply is None:
            entry["code"], entry["message"] = "ConnectionReset", "The connection was reset by a fault rule."
        elif reply.status >= 400 and isinstance(reply.body, dict):
            error = reply.body.get("error")
            if isinstance(error, dict):
                code, message = error.get("code"), error.get("message")
                inner = error.get("innererror")
                if code in ("Forbidden", "Conflict") and isinstance(inner, dict):
                    code = inner.get("code", code)  # Key Vault's own code says more.
                inner = error
                while isinstance(inner.get("innererror"), dict):
                    inner = inner["innererror"]
                if inner is not error:
                    message = f"{message}: {inner.get('message')}"
            else:
                code, message = error, reply.body.get("error_description")
            entry["code"], entry["message"] = code, _discreet(str(message)[:500])
        self.world.requests.append(entry)
        return milliseconds

    async def _faulty(self, call: Call) -> tuple[Reply | None, str | None]:
        """The answer while there are fault rules (`None` when the connection is to break), and the kind of fault that it is."""
        faults, store = self.world.faults, self.world.store
        fault = faults.of(call)
        kind = None if fault is None else fault.rule.kind
        if fault is not None:
            log.info("fault: %s for %s %s", fault.rule.kind, call.method, call.path[:300])
            if fault.rule.kind == "slow":
                await asyncio.sleep(fault.rule.seconds)
            elif fault.rule.kind == "operation":
                rule = fault.rule
                return await self._patiently(lambda: operations.begin(self.world, call, rule, self.answer)), kind
            elif not fault.rule.after:
                return None if fault.reply is None else _dated(fault.reply, store.now()), kind
        hidden = faults.hidden(call, store.now())
        if hidden is not None:
            log.info("fault: not replicated yet: %s %s", call.method, call.path[:300])
            return _dated(hidden, store.now()), "replication"
        reply = faults.listed(call, await self._answered(call), store.now())
        faults.created(call, reply, store.now())
        if fault is not None and fault.rule.after:
            return None if fault.reply is None else _dated(fault.reply, store.now()), kind
        return reply, kind

    async def _answered(self, call: Call) -> Reply:
        """The answer to a request. Queries of logs take their time: one after another, and everything else goes on meanwhile."""
        if family_of(call) not in ("logs", "insights"):
            return await self._patiently(lambda: self.answer(call))
        self.world.operations.settle()
        reply, asking = await asyncio.get_running_loop().run_in_executor(self._queries, self._query, call)
        self.world.asking = asking
        return reply

    async def _patiently(self, answer: Callable[[], Reply]) -> Reply:
        """An answer that may need work by another thread: given again from the begin once that is done."""
        done: dict[Hashable, Future[Any]] = {}
        while True:
            self.world.done = done
            try:
                return answer()
            except Aside as aside:
                key, work = aside.key, aside.work
            finally:
                self.world.done = None
            done[key] = self._transforms.submit(work)
            await asyncio.wait([asyncio.wrap_future(done[key])])

    def _query(self, call: Call) -> tuple[Reply, dict[str, str] | None]:
        """The answer to a query and who asked. It runs in another thread, reads the state for itself and writes nothing."""
        store = Store(self.world.store.path, reading=True)
        try:
            world = World(store, self.world.url)
            return self._caught(call, lambda: _served(world, call, insights.handle, logs.handle)), world.asking
        finally:
            store.close()

    def answer(self, call: Call) -> Reply:
        """The answer to a request, errors included."""

        def settled() -> Reply:
            self.world.operations.settle()
            return self._answer(call)

        return self._caught(call, settled)

    def _caught(self, call: Call, answer: Callable[[], Reply]) -> Reply:
        try:
            return answer()
        except Aside:
            raise
        except Refused as error:
            log.info("refused: %s: %s", error.code, error.message[:500])
            return _dated(error.reply, self.world.store.now())
        except Exception:
            # A fault of the local Azure itself. Not a 5xx: every client would repeat the request for minutes.
            log.exception("fault in %s %s", call.method, call.path[:300])
            text = "The local Azure failed on this request; its log has the details."
            return Reply(400, {"error": {"code": "LocalAzureFault", "message": text}})

    def _answer(self, call: Call) -> Reply:
        shown = page.handle(call)
        if shown is not None:
            return shown
        found = admin.handle(self.world, call, self.admin_key, lambda: seed.reset(self.world, self._deployer))
        if found is not None:
            return found
        return _served(self.world, call, *FAMILIES)


def _served(world: World, call: Call, *families: Family) -> Reply:
    """The answer of the first of these families that knows the path."""
    for family in families:
        found = family(world, call)
        if found is not None:
            return found
    text = f"There is nothing at {call.path[:200]}."
    raise Refused(Reply(404, {"error": {"code": "NotFound", "message": text}}), "NotFound", text)


def _own(call: Call) -> bool:
    """Whether a request is the owner's own: it meets no faults and is not in the log."""
    return call.path.startswith("/_local") or page.is_page(call)


def _discreet(text: str) -> str:
    return CONFIDENTIAL.sub("…", text) if "eyJ" in text or "8Q~" in text else text


async def _break(receive: Receive, send: Send) -> None:
    """Reset the connection of a request without an answer (RST, as from a load balancer that lost its backend).

    ASGI has no word for this: uvicorn's `send` is a method of the object that holds the connection.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("this server gives no access to the connection")
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


def _too_large(error: TooLarge) -> Reply:
    if error.whole:
        text = "Other requests are sending so much that there is no room for this one."
        return Reply(
            429, {"error": {"code": "TooManyRequests", "message": text}}, {"Connection": "close", "Retry-After": "1"}
        )
    text = "The request body is larger than 4 MB."
    return Reply(413, {"error": {"code": "RequestEntityTooLarge", "message": text}}, {"Connection": "close"})


def _dated(reply: Reply, now: float) -> Reply:
    """An error reply with the time of now where Graph puts it."""
    body = reply.body
    if isinstance(body, dict) and isinstance(error := body.get("error"), dict) and "innerError" in error:
        error["innerError"]["date"] = utc(now).removesuffix("Z")
    return reply


def _response(reply: Reply, now: float) -> Response:
    """The answer on the wire; `Date` follows the local Azure's own clock, by which clients measure theirs."""
    request_id = new_guid()
    headers = {
        "date": formatdate(now, usegmt=True),
        "x-ms-request-id": request_id,
        "request-id": request_id,
        "x-content-type-options": "nosniff",
        **reply.headers,
    }
    if reply.body is None:
        return Response(status_code=reply.status, headers=headers)
    if isinstance(reply.body, bytes):
        return Response(reply.body, reply.status, headers)
    content = json.dumps(reply.body, separators=(",", ":"), default=_listed).encode()
    return Response(content, reply.status, headers, media_type="application/json; charset=utf-8")


def _listed(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    raise TypeError(type(value).__name__)


class _Server(uvicorn.Server):
    """uvicorn that says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drop idle connections at once: a client that keeps one open would hold the end up for its TLS goodbye."""
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            if (cycle is None or cycle.response_complete) and connection.transport is not None:
                connection.transport.abort()
        await super().shutdown(sockets)


def serve(
    state: Path,
    *,
    port: int | None,
    propagation: float | None,
    limits: Limits | None = None,
    tenant: str | None = None,
) -> None:
    """Run the local Azure of a state directory until it is interrupted; `tenant` is the id of a new one's tenant.

    Raises:
        StartError: when another one runs on this state, or the port is taken.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.chmod(0o700)
    try:
        with lock(state / "server.lock", wait=LOOKED_AT):
            _serve(state, port, propagation, limits or Limits(), tenant)
    except Held:
        raise StartError(
            f"A local Azure is already running on {state}. Stop it first, or give another --state directory."
        ) from None


def _serve(state: Path, port: int | None, propagation: float | None, limits: Limits, tenant: str | None) -> None:
    about = state / "server.json"
    about.unlink(missing_ok=True)
    store = Store(state / "state.db")
    sockets = _listen(state, port)
    chosen = sockets[0].getsockname()[1]
    write_private(state / "port", str(chosen))
    url = f"https://localhost:{chosen}"
    certificate = server_certificate(state)
    key_file = state / "admin.key"
    if not key_file.exists():
        write_private(key_file, secrets.token_urlsafe(32))
    world = World(store, url)
    deployer = seed.seed(world, state, tenant)
    if propagation is not None:
        with store.write():
            for what in ("roles", "secrets"):
                admin.set_propagation(world, what, propagation)
    app = App(world, key_file.read_text("utf-8").strip(), deployer, limits)
    config = uvicorn.Config(
        app,
        ssl_certfile=certificate,
        http=bounded(limits),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        h11_max_incomplete_event_size=128 * 1024,
    )

    def ready() -> None:
        write_private(about, json.dumps({"pid": os.getpid(), "port": chosen, "url": url}))
        log.info("ready at %s, tenant %s, subscription %s", url, deployer.tenant_id, deployer.subscription_id)

    try:
        _Server(config, ready).run(sockets=sockets)
    finally:
        with suppress(FileNotFoundError):
            about.unlink()
        store.close()


def _listen(state: Path, port: int | None) -> list[socket.socket]:
    """Sockets on the IPv4 and, where there is one, IPv6 loopback address, on the same port."""
    if port is not None:
        try:
            return _bind(port)
        except OSError as error:
            raise StartError(
                f"Port {port} cannot be used ({error.strerror}). Stop what uses it, or give another --port."
            ) from None
    with suppress(OSError, ValueError):
        kept = int((state / "port").read_text("utf-8"))
        try:
            return _bind(kept)
        except OSError as error:
            print(f"Port {kept}, used last time, is not free ({error.strerror}); taking another.", file=sys.stderr)
    for _ in range(20):
        with suppress(OSError):
            return _bind(0)
    raise StartError("No free port was found on the loopback interface.")


def _bind(port: int) -> list[socket.socket]:
    found = [_socket(socket.AF_INET, "127.0.0.1", port)]
    if socket.has_ipv6 and _has_ipv6_loopback():
        try:
            found.append(_socket(socket.AF_INET6, "::1", found[0].getsockname()[1]))
        except OSError:
            found[0].close()
            raise
    return found


def _socket(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    # The protocol is named because asyncio turns Nagle's algorithm off only then; with it on, each answer waits 40 ms.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(1024)
    except OSError:
        made.close()
        raise
    return made


def _has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
