"""Calls to the data planes: what is asked again, how often, and when it is given up."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrant import http, retries
from entrant.errors import RefusedError, UnreachableError
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
