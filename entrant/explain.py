"""From an error, however it comes, to its cause and what to do: a code, a response body, a command's output."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from entrant.facts import errors
from entrant.facts.errors import Retry

_DEEPEST = 30
"""Levels of a body that are looked at."""


class Explained(NamedTuple):
    """An explained error: its code, the cause, whether to try again (`no`, `later`, `once`) and the next step."""

    code: str
    cause: str
    retry: Retry
    next_step: str


def explain(text: str, *, stack: str = "STACK", app: str = "APP") -> list[Explained]:
    """Everything in `text` that is known, outer before inner, each code once; empty when nothing is.

    `text` may hold JSON, JSON inside JSON, or be URL-encoded; case makes no difference. `stack` and `app` are put into the next
    steps.
    """
    findings = {}
    for name in (*_in_body(_json(text)), *errors.codes(text)):
        if (known := errors.find(name)) and known[0] not in findings:
            code, found = known
            step = found.remedy.replace("{stack}", stack).replace("{app}", app)
            findings[code] = Explained(code, found.cause, found.retry, step)
    return list(findings.values())


def next_step(text: str | None, *, stack: str = "STACK", app: str = "APP") -> str | None:
    """What to do about an error, the innermost cause first; None if nothing in it is known."""
    found = explain(text or "", stack=stack, app=app)
    return f"{found[-1].cause}; {found[-1].next_step}" if found else None


def error_text(body: Any) -> tuple[str | None, str]:
    """The code of an error body, and all that it says: each code and message from the outermost to the innermost.

    Azure's `innererror` and `details` at every level, OData's, OAuth's, and those that have a message alone; nothing of what
    carries no message (request ids, dates). Both are empty where `body` is none of these.

    >>> error_text({"error": {"code": "A", "message": "No.", "innererror": {"code": "B", "message": "No such column x"}}})
    ('A', 'A: No: B: No such column x')
    """
    if not isinstance(body, dict):
        return None, ""
    error = body.get("error") or body.get("odata.error") or body
    if isinstance(error, str):  # OAuth
        description = str(body.get("error_description") or "")
        found = errors.codes(description)
        return (found[0], description) if found else (error, f"{error}: {description}".removesuffix(": "))
    code = error.get("code") if isinstance(error, dict) else None
    return (str(code) if code else None), _text(error)


def _text(error: Any, depth: int = 0) -> str:
    if not isinstance(error, dict) or depth > _DEEPEST:
        return error if isinstance(error, str) else ""
    message = error.get("message") or error.get("Message") or ""
    if isinstance(message, dict):
        message = message.get("value") or json.dumps(message)
    if isinstance(inner := _json(message), dict):  # a whole body where the message belongs
        message = error_text(inner)[1] or message
    own = ": ".join(str(part).strip() for part in (error.get("code"), message) if part)
    if isinstance(error.get("line"), int) and "line [" not in own:
        own += f" on line [{error['line']},{error.get('pos')}]"
    parts = [own, *(_text(error.get(key), depth + 1) for key in ("innererror", "innerError"))]
    listed = [entry for key in ("details", "errors") for entry in _list(error.get(key))]
    parts.append("; ".join(filter(None, (_text(entry, depth + 1) for entry in listed))))
    for entry in _list(error.get("additionalInfo")):
        parts.append(json.dumps(entry)[:500])
    *outer, innermost = [
        part for index, part in enumerate(parts) if part and not any(part in one for one in parts[:index])
    ] or [""]
    return ": ".join([*(part.removesuffix(".") for part in outer), innermost])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _json(text: Any) -> Any:
    """What a text of JSON says, or None."""
    if not isinstance(text, str) or not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _in_body(body: Any, depth: int = 0) -> Iterator[str]:
    """The codes of an error body, outer before inner: OAuth's `error_codes`, Azure's `error.code` and `innererror`."""
    if depth > _DEEPEST:
        return
    if isinstance(body, dict):
        yield from (f"AADSTS{code}" for code in _list(body.get("error_codes")))
        if isinstance(body.get("code"), str):
            yield body["code"]
    for part in body.values() if isinstance(body, dict) else _list(body):
        yield from _in_body(_json(part) if isinstance(part, str) else part, depth + 1)
