"""Whose a lock is, by the mark on its stack."""

import datetime as dt
from dataclasses import replace

import pytest

from entrant.pipeline.locks import Job, Lock, foreign

BEGAN = dt.datetime(2026, 11, 26, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
MARK = Job("contoso/obs", "run 1/1", "runner@one", BEGAN)
NEXT = Job("contoso/obs", "run 2/1", "runner@two", BEGAN + 60 * MINUTE)
LOCK = Lock("runner", "one", 7, BEGAN + MINUTE)


@pytest.mark.parametrize(
    "mark", [MARK, replace(MARK, ended=BEGAN + MINUTE), replace(MARK, looking=((NEXT.by, BEGAN),))]
)
def test_a_lock_of_the_marked_run_is_the_pipelines(mark: Job) -> None:
    assert foreign(LOCK, mark, NEXT) is None
    assert foreign(replace(LOCK, since=BEGAN), mark, NEXT) is None


@pytest.mark.parametrize(
    ("mark", "lock", "reason"),
    [
        (None, LOCK, "no job of a pipeline has marked the stack"),
        (replace(MARK, pipeline="contoso/other"), LOCK, "the stack is marked as contoso/other's (run 1/1)"),
        (MARK, replace(LOCK, user="somebody"), "the mark of run 1/1 is runner@one's since 2026-11-26T12:00:00+00:00:"),
        (MARK, replace(LOCK, host="two"), "the lock is not its own"),
        (MARK, replace(LOCK, since=BEGAN - MINUTE), "the lock is not its own"),
        (replace(MARK, ended=BEGAN), LOCK, "until 2026-11-26T12:00:00+00:00: the lock is not its own"),
        (replace(MARK, looking=(("runner@two", LOCK.since),)), replace(LOCK, host="two", since=BEGAN), "not its own"),
    ],
)
def test_a_lock_that_the_mark_does_not_prove_is_somebody_elses(mark: Job | None, lock: Lock, reason: str) -> None:
    assert reason in str(foreign(lock, mark, NEXT))


@pytest.mark.parametrize("job", [MARK, replace(MARK, first=BEGAN - MINUTE, ended=BEGAN, looking=((NEXT.by, BEGAN),))])
def test_a_mark_is_read_as_it_was_written(job: Job) -> None:
    assert Job.parse(str(job)) == job


@pytest.mark.parametrize("text", ["", "[]", "{}", "7", '{"pipeline": "p", "run": "r", "by": "b", "since": "today"}'])
def test_a_tag_of_something_else_is_no_mark(text: str) -> None:
    assert Job.parse(text) is None
