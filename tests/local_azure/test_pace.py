"""The pace of the real cloud: how long it takes to answer, and how many requests it takes."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import pytest

from local_azure import LocalAzure, LocalAzureError
from local_azure.pace import BUCKETS, MEDIANS, Pace
from local_azure.wire import Call
from tests.local_azure.conftest import Client

SUBSCRIPTIONS = [f"/subscriptions/{digit * 8}-1111-4222-8333-444455556666/resourceGroups/a" for digit in "ab"]


def call(method: str, path: str) -> Call:
    """A request without a body."""
    return Call(method, path, {}, {}, b"")


@pytest.fixture
def paced(azure: LocalAzure) -> Iterator[LocalAzure]:
    """The local Azure, at its own pace again at the end."""
    yield azure
    azure.admin("PATCH", "settings", {"latency": None, "quotas": False, "clock": {"speed": 1}})


def test_a_seed_gives_the_same_times_and_another_seed_others() -> None:
    def times(seed: int) -> list[float]:
        pace = Pace()
        pace.set(seed, quotas=False)
        return [pace.seconds(call(method, "/v1.0/applications")) for method in ("GET", "POST", "GET", "DELETE")]

    assert times(1) == times(1) != times(2)


@pytest.mark.parametrize(
    ("kind", "method", "path"),
    [
        ("token", "POST", "/tenant/oauth2/v2.0/token"),
        ("graph", "GET", "/v1.0/applications"),
        ("graph write", "PATCH", "/v1.0/applications/x"),
        ("arm", "GET", SUBSCRIPTIONS[0]),
        ("arm write", "PUT", SUBSCRIPTIONS[0]),
    ],
)
def test_times_are_spread_about_the_median_of_their_kind(kind: str, method: str, path: str) -> None:
    pace = Pace()
    pace.set(7, quotas=False)
    times = [pace.seconds(call(method, path)) for _ in range(2000)]
    assert statistics.median(times) == pytest.approx(MEDIANS[kind], rel=0.1)
    assert statistics.quantiles(times, n=20)[-1] == pytest.approx(2.5 * MEDIANS[kind], rel=0.15)


@pytest.mark.parametrize(
    ("kind", "method", "path"),
    [
        ("graph write", "POST", "/v1.0/applications"),
        ("graph write", "DELETE", "/v1.0/applications/x"),
        ("arm read", "GET", SUBSCRIPTIONS[0]),
        ("arm write", "PUT", SUBSCRIPTIONS[0]),
        ("arm delete", "DELETE", SUBSCRIPTIONS[0]),
    ],
)
def test_a_bucket_is_emptied_and_filled_again(kind: str, method: str, path: str) -> None:
    most, refill = BUCKETS[kind]
    pace = Pace()
    pace.set(None, quotas=True)
    answers = [pace.refusal(call(method, path), 0.0) for _ in range(most + 1)]
    assert answers[:-1] == [None] * most
    last = answers[-1]
    assert last is not None and (last.status, last.headers["Retry-After"]) == (429, "1")
    later = [pace.refusal(call(method, path), 2.0) for _ in range(int(2 * refill) + 1)]
    assert [answer is None for answer in later] == [True] * int(2 * refill) + [False]


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1.0/applications"), ("PUT", SUBSCRIPTIONS[0])])
def test_of_the_smallest_share_a_request_is_taken_in_the_end(method: str, path: str) -> None:
    pace = Pace()
    pace.set(None, quotas=0.001)
    moment = 0.0
    for _ in range(20):
        answer = pace.refusal(call(method, path), moment)
        moment += float(answer.headers["Retry-After"]) if answer else 0.0
    assert moment > 0 and pace.refusal(call(method, path), moment + 200) is None


@pytest.mark.parametrize("share", [-1, 1.5, 1e-320, "1", None])
def test_a_share_that_is_none_is_refused(azure: LocalAzure, share: object) -> None:
    with pytest.raises(LocalAzureError, match="'quotas' is no setting, or its value is not valid"):
        azure.admin("PATCH", "settings", {"quotas": share})


def test_a_share_of_the_quotas_is_a_smaller_bucket_that_is_filled_more_slowly() -> None:
    pace = Pace()
    pace.set(None, quotas=0.1)
    answers = [pace.refusal(call("PUT", SUBSCRIPTIONS[0]), 0.0) for _ in range(22)]
    assert [answer is None for answer in answers] == [True] * 20 + [False] * 2
    later = [pace.refusal(call("PUT", SUBSCRIPTIONS[0]), 2.0) for _ in range(3)]
    assert [answer is None for answer in later] == [True] * 2 + [False]


def test_what_one_subscription_was_asked_does_not_count_for_another() -> None:
    pace = Pace()
    pace.set(None, quotas=True)
    refused = [pace.refusal(call("PUT", SUBSCRIPTIONS[0]), 0.0) for _ in range(201)]
    assert refused[-1] is not None and pace.refusal(call("PUT", SUBSCRIPTIONS[1]), 0.0) is None
    assert pace.refusal(call("GET", "/v1.0/applications"), 0.0) is None, "reads of Graph have no bucket here"


@pytest.mark.parametrize("path", ["/subscriptions", "/tenants", "/v1.0", "/"])
def test_a_request_of_no_subscription_and_no_object_is_answered(paced: LocalAzure, path: str) -> None:
    paced.admin("PATCH", "settings", {"latency": None, "quotas": True})
    answer = Client(paced).call("GET", f"{path}?api-version=2022-12-01")
    assert answer.status_code < 500, answer.text


def test_the_server_takes_its_time_and_refuses_in_the_apis_own_words(paced: LocalAzure) -> None:
    client = Client(paced)
    client.graph("GET", "/applications")  # with the token that it needs
    paced.admin("PATCH", "settings", {"latency": 3, "quotas": True})
    expected = Pace()
    expected.set(3, quotas=False)
    client.graph("GET", "/applications")
    assert paced.requests()[-1]["milliseconds"] >= expected.seconds(call("GET", "/v1.0/applications")) * 1000
    paced.admin(
        "PATCH", "settings", {"latency": None, "clock": {"speed": 0.001}}
    )  # or the bucket fills on a slow machine
    path = f"/subscriptions/{paced.subscription_id}/resourcegroups?api-version=2021-04-01"
    answers = [client.call("GET", path) for _ in range(260)]
    [refused, *_] = [answer for answer in answers if answer.status_code != 200]
    assert refused.status_code == 429 and int(refused.headers["Retry-After"]) >= 1
    assert refused.json()["error"]["code"] == "TooManyRequests"


def test_a_reset_ends_it(azure: LocalAzure) -> None:
    azure.admin("PATCH", "settings", {"latency": 3, "quotas": True})
    azure.reset()
    shown = azure.admin("GET", "settings")
    assert (shown["latency"], shown["quotas"]) == (None, False)
