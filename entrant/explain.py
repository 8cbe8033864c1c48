"""From an error, however it comes, to its cause and what to do: a code, a response body, a command's output."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from facts import errors
from facts.errors import EXPLANATIONS, Retry


class Finding(NamedTuple):
    """An explained error: its code, the cause, whether to try again (`no`, `later`, `once`) and the next step."""

    code: str
    cause: str
    retry: Retry
    next_step: str


def explain(text: str, *, stack: str = "STACK", app: str = "APP") -> list[Finding]:
    """Everything in `text` that is known, in the order found, each code once; empty when nothing is.

    `stack` and `app` are put into the next steps.
    """
    findings = {}
    for code in _codes(text):
        known = EXPLANATIONS.get(code)
        if known and code not in findings:
            step = known.remedy.replace("{stack}", stack).replace("{app}", app)
            findings[code] = Finding(code, known.cause, known.retry, step)
    return list(findings.values())


def next_step(code: str | None, *, stack: str = "STACK", app: str = "APP") -> str | None:
    """What to do about one code, cause first; None if it is not known."""
    found = explain(code or "", stack=stack, app=app)
    return f"{found[0].cause}; {found[0].next_step}" if found else None


def _codes(text: str) -> Iterator[str]:
    with contextlib.suppress(ValueError):  # not JSON: codes are looked for among the words alone
        yield from _in_body(json.loads(text))
    yield from errors.codes(text)


def _in_body(body: Any) -> Iterator[str]:
    """The codes of an error body, outer before inner: OAuth's `error_codes`, Azure's `error.code` and `innererror`."""
    if isinstance(body, dict):
        yield from (f"AADSTS{code}" for code in body.get("error_codes", ()))
        if isinstance(body.get("code"), str):
            yield body["code"]
        for part in body.values():
            yield from _in_body(part)
    elif isinstance(body, list):
        for part in body:
            yield from _in_body(part)
