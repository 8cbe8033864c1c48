"""Requests and answers as plain values, shared by every endpoint family.

The HTTP server (``server.py``) turns each request into a `Call` and each `Reply` into bytes; nothing else in the package touches
HTTP, so a handler can be called from a test or from a Graph ``$batch`` without a socket.

    Refused            an answer that is an error; raised anywhere below a handler
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from entrant.facts import scopes

MAX_FIELDS = 200
DURATION = re.compile(r"P(?:(\d+(?:\.\d+)?)D)?(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?\Z")


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request.

    `path` is percent-decoded and starts with ``/``; `query` keeps the last value of each parameter; `headers` are lower-case.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    @property
    def segments(self) -> list[str]:
        """The path's non-empty parts."""
        return [part for part in self.path.split("/") if part]

    def json(self) -> Any:
        """The body as JSON; `ValueError` when it is not JSON that can be stored and sent back."""
        return parse_json(self.body)

    def form(self) -> dict[str, str]:
        """The body as URL-encoded form fields, the last value of each; empty when it is not a form."""
        if not self.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
            return {}
        try:
            pairs = parse_qsl(self.body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError:
            return {}
        return dict(pairs)


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer: `body` is sent as JSON, except `bytes` (sent as they are) and `None` (no body)."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """An error answer. `code` and `message` are for the request log."""

    def __init__(self, reply: Reply, code: str, message: str) -> None:
        super().__init__(f"{reply.status} {code}: {message}")
        self.reply, self.code, self.message = reply, code, message


def refuse(status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> NoReturn:
    """Raise the error shape that Azure Resource Manager and the monitoring APIs share: ``{"error": {"code", "message"}}``."""
    body = {"error": {"code": code, "message": message, **more}}
    raise Refused(Reply(status, body, {"x-ms-error-code": code, **(headers or {})}), code, message)


def parse_json(body: bytes) -> Any:
    """JSON as RFC 8259 has it: nothing infinite, no NaN, no lone surrogates, no nesting deeper than the interpreter follows."""
    try:
        value = json.loads(body.removeprefix(b"\xef\xbb\xbf"), parse_constant=_no_constant, parse_float=_finite)
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("too deeply nested") from error
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:40]} is out of range")
    return value


def is_guid(text: object) -> bool:
    """Whether `text` is a GUID with dashes."""
    return isinstance(text, str) and scopes.is_guid(text)


def new_guid() -> str:
    """A fresh random GUID, lower-case with dashes."""
    return str(uuid.uuid4())


def utc(epoch: float, *, digits: int = 0) -> str:
    """`epoch` seconds as RFC 3339 with ``Z``, and `digits` of a second."""
    moment = datetime.fromtimestamp(epoch, UTC)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    if digits:
        text += f".{moment.microsecond:06d}".ljust(digits + 1, "0")[: digits + 1]
    return text + "Z"


def epoch_of(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time; `ValueError` when it is none. A time without a zone is taken as UTC."""
    if not re.match(r"\d{4}-\d{2}-\d{2}([T ]|\Z)", text):
        raise ValueError(f"{text!r} is not a time")
    cut = re.sub(r"(\.\d{6})\d+", r"\1", text.strip())
    try:
        moment = datetime.fromisoformat(cut)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except OverflowError as error:
        raise ValueError(f"{text!r} is out of range") from error


def seconds_of(text: str) -> float:
    """Seconds of an ISO 8601 duration in days, hours, minutes and seconds; `ValueError` when it is none."""
    found = DURATION.match(text)
    if found is None or text in ("P", "PT"):
        raise ValueError(f"{text!r} is not a duration")
    days, hours, minutes, seconds = (min(float(part), 1e9) if part else 0.0 for part in found.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds


def span_of(text: str, now: float) -> tuple[float, float | None]:
    """Start and end of an ISO 8601 interval: a duration back from now, ``start/end``, ``start/duration`` or ``duration/end``.

    `ValueError` when it is none; the end is `None` when there is only a duration.
    """
    first, _, second = text.partition("/")
    if not second:
        return now - seconds_of(first), None
    if first.startswith("P"):
        end = epoch_of(second)
        return end - seconds_of(first), end
    start = epoch_of(first)
    return start, start + seconds_of(second) if second.startswith("P") else epoch_of(second)
