"""Many GETs of Microsoft Graph at once: 20 to a request, each answered by itself, and again after the wait that Graph asks for.

Source: Microsoft Graph, "Combine multiple HTTP requests using JSON batching" (20 requests; each is throttled by itself, with a
`Retry-After` of its own) and "Microsoft Graph throttling guidance".
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from entrant import http
from entrant.access.deployer import Deployer
from entrant.errors import RefusedError, UnreachableError
from entrant.explain import error_text, next_step
from entrant.retries import PASSING

MOST: Final = 20
"""Requests in one batch."""
ROUNDS: Final = 8
"""How often a request is made at most that Graph did not answer yet."""
LONGEST: Final = 300.0
"""Seconds that a `Retry-After` is waited for at most."""

Answers = dict[str, dict[str, Any] | RefusedError]
"""By path, what was answered: a JSON object, a list whole with all of its pages, or the refusal."""


def get(deployer: Deployer, paths: Sequence[str], *, version: str = "v1.0") -> Answers:
    """GET each path (with its query, below the version), all pages of it where it is a list.

    Raises:
        RefusedError: Graph refused a batch as a whole. UnreachableError: no answer, or it asked to wait too long.
    """
    answers: Answers = {}
    wanted = list(dict.fromkeys(paths))
    for start in range(0, len(wanted), MOST):
        answers |= _batch(deployer, wanted[start : start + MOST], version)
    return answers


def _batch(deployer: Deployer, paths: Sequence[str], version: str) -> Answers:
    answers: Answers = {}
    open_ = list(paths)
    for turn in range(ROUNDS):
        url = f"{deployer.cloud.graph}/{version}/$batch"
        requests = [{"id": str(index), "method": "GET", "url": path} for index, path in enumerate(open_)]
        reply = http.call("POST", url, token=deployer.token("graph"), json={"requests": requests}, repeat=True)
        again, pause = [], 0.0
        for answer in reply.get("responses") or ():
            path = open_[int(answer["id"])]
            status, body = int(answer["status"]), answer.get("body")
            if status in PASSING and turn < ROUNDS - 1:
                again.append(path)
                pause = max(pause, _pause(answer.get("headers") or {}, 2.0**turn))
            elif status >= 400:
                answers[path] = _refusal(deployer, version, path, status, body)
            else:
                answers[path] = _whole(deployer, body if isinstance(body, dict) else {"content": body})
        if not again:
            return answers
        if pause > LONGEST:
            raise UnreachableError(
                f"Microsoft Graph asks to wait {pause:.0f} s before more is read",
                next_step="run the command again later; it goes on where it stopped",
            )
        time.sleep(pause)
        open_ = again
    return answers


def _pause(headers: Mapping[str, Any], otherwise: float) -> float:
    """Seconds that an answer asks to wait."""
    wait = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
    try:
        return float(str(wait))
    except ValueError:
        return otherwise


def _refusal(deployer: Deployer, version: str, path: str, status: int, body: Any) -> RefusedError:
    code, words = error_text(body) if isinstance(body, dict) else (None, str(body or ""))
    where = f"GET {deployer.cloud.graph}/{version}{path.partition('?')[0]}"
    return RefusedError(
        f"{where}: {status}: {words[:500]}".rstrip(": "),
        status=status,
        code=code,
        next_step=next_step(json.dumps(body)),
    )


def _whole(deployer: Deployer, answer: dict[str, Any]) -> dict[str, Any]:
    """A list with the entries of its further pages."""
    if "value" in answer and "@odata.nextLink" in answer:
        return {"value": list(deployer.listed(answer, "graph"))}
    return answer


def listed(answer: dict[str, Any] | RefusedError) -> Iterator[dict[str, Any]]:
    """The entries of a list that was answered.

    Raises:
        RefusedError: it was refused.
    """
    if isinstance(answer, RefusedError):
        raise answer
    yield from answer.get("value") or ()
