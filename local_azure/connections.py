"""Connections: how long a client may take over one request, how many clients there may be, how much they may have under way.

uvicorn ends a connection that is idle between requests; one that never sends anything, or sends the headers or the body of a
request a byte at a time, it would keep for ever.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger("local_azure")


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients are held to.

    Attributes:
        request_seconds: from the first byte of a request (or the connection) to the last, after which the client is dropped.
        connections: how many there may be at once; one more takes the place of the one that has been idle longest, or is dropped.
        body: bytes of one request's body.
        bodies: bytes of all bodies that are being received.
        discarded: bytes of a body that is too large that are read all the same: clients read an answer when they have sent all.
    """

    request_seconds: float = 30.0
    connections: int = 500
    body: int = 4 * 1024 * 1024
    bodies: int = 64 * 1024 * 1024
    discarded: int = 256 * 1024 * 1024


class Bounded(H11Protocol):
    """A connection that no client can hold without finishing its request."""

    limits: ClassVar[Limits]
    _deadline: asyncio.TimerHandle | None = None
    _resting_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections and not self._make_room():
            log.warning("more than %d connections, all in use: one is dropped", self.limits.connections)
            transport.abort()
        else:
            self._watch()

    def _make_room(self) -> bool:
        """End the connection that has been idle longest."""
        resting = [one for one in self.connections if isinstance(one, Bounded) and one._resting_since is not None]
        if not resting:
            return False
        oldest = min(resting, key=lambda one: one._resting_since or 0.0)
        oldest._resting_since = None
        oldest.transport.close()
        return True

    def data_received(self, data: bytes) -> None:
        self._resting_since = None
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()
        if self._deadline is None and self.conn.their_state is h11.IDLE:
            self._resting_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Let the deadline run while a request is begun and not whole, and from the connection to its first byte."""
        state, begun = self.conn.their_state, bool(self.conn.trailing_data[0])
        if state is h11.SEND_BODY or (state is h11.IDLE and (begun or self.cycle is None)):
            if self._deadline is None:
                self._deadline = self.loop.call_later(self.limits.request_seconds, self._drop)
        else:
            self._rest()

    def _rest(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _drop(self) -> None:
        log.info("a request was not whole after %g s: its client is dropped", self.limits.request_seconds)
        self.transport.abort()


def bounded(limits: Limits) -> type[H11Protocol]:
    """uvicorn's protocol, within these limits."""
    return type("Bounded", (Bounded,), {"limits": limits})


class Bodies:
    """The bodies that are being received."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.held = limits, 0

    async def receive(self, size: str | None, stream: Any, *, waits: bool = False) -> bytes:
        """One body, from its chunks and the size that was announced; `waits` when the client sends it on `100 Continue` only.

        Raises:
            TooLarge: when it is larger than one, or all of them are larger than all, may be; the client has sent all of it then,
                as far as that is bearable, and will read an answer.
        """
        announced = int(size) if size is not None and size.isdigit() and len(size) < 20 else 0
        if announced > self.limits.discarded or (announced > self.limits.body and waits):
            raise TooLarge(whole=False)
        body, seen, whole = bytearray(), 0, False
        try:
            async for chunk in stream:
                seen += len(chunk)
                if seen > self.limits.discarded:
                    break
                whole = whole or self.held + len(chunk) > self.limits.bodies
                if whole or max(seen, announced) > self.limits.body:
                    self.held -= len(body)
                    body.clear()
                else:
                    body += chunk
                    self.held += len(chunk)
        finally:
            self.held -= len(body)
        if max(seen, announced) > self.limits.body or whole:
            raise TooLarge(whole=seen <= self.limits.body and announced <= self.limits.body)
        return bytes(body)


class TooLarge(Exception):
    """A body is not taken; `whole` when it is all bodies together that are too much."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__("the bodies are too large" if whole else "the body is too large")
        self.whole = whole
