"""A year of one secret, day by day, with missed days, skewed clocks, places that fail and runs that are killed at any change.

At every moment each place holds a secret that gives tokens, never more than two live, none is made that need not be, and a run that
was killed is gone on with by the next one, without anybody's help and without a secret that nobody knows.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_azure import LocalAzure
from tests.entrant import places as recording
from tests.fast_engine import FastStack, in_place

DAY = dt.timedelta(days=1)
SEEDS = [int(seed) for seed in os.environ.get("ENTRANT_YEARS", "1").split(",")]
"""Years to live through; ENTRANT_YEARS=3,4,5 tries others."""


@pytest.fixture
def stack(azure: LocalAzure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FastStack]:
    """A stack after its first run."""
    for name, value in (azure.settings() | azure.trust()).items():
        monkeypatch.setenv(name, value)
    with recording.places() as places:
        made = FastStack(azure, places, tmp_path, every=20, overlap=10)
        with in_place(made, monkeypatch):
            made.operate(["up"])
            report = made.rotate()
            assert report is not None and report.exit_code == 0, report
            yield made
    azure.admin("PATCH", "settings", {"clock": {"offset": 0}})


@pytest.mark.parametrize("seed", SEEDS)
def test_a_year_without_an_outage(seed: int, stack: FastStack) -> None:
    chance = random.Random(seed)
    missed, down = 0, dict.fromkeys(("github", "devops", "gitlab"), 0)
    diary: list[tuple[object, ...]] = []
    counts = dict.fromkeys(("runs", "missed", "kills", "failures", "made"), 0)
    for day in range(1, 366):
        stack.move(DAY)
        assert stack.broken() == [], f"on the morning of day {day}, after {diary[-12:]}: {stack.described()}"
        if missed < 2 and chance.random() < 0.2:
            missed += 1
            diary.append((day, "no run"))
            counts["missed"] += 1
            continue
        missed = 0
        stack.skew = dt.timedelta(minutes=chance.uniform(-30, 30))
        for place, days in down.items():
            fails = days < 2 and chance.random() < 0.3
            down[place] = days + 1 if fails else 0
            stack.places.refusals[place] = [503] * 12 if fails else []
            counts["failures"] += fails
        if chance.random() < 0.7:
            stack.kill_at = chance.randrange(20)
        report = stack.rotate()
        diary.append((day, "killed" if report is None else [*report.made, *report.kept, report.exit_code], dict(down)))
        counts["runs"] += 1
        if report is None:
            counts["kills"] += 1
            assert stack.broken() == [], f"right after the kill of day {day}"
            report = stack.rotate()
            assert report is not None
        assert stack.broken() == [], f"on the evening of day {day}"
        known = {secret["key_id"] for secret in stack.state.values()}
        assert set(stack.in_azure()) == known, f"a secret that nobody knows on day {day}"
    made = {change for change in stack.changes if change.startswith("make ")}
    counts["made"] = len(made)
    assert len(made) <= 365 // stack.every + 2, "nothing is made that need not be"
    assert counts["kills"] > 3 and counts["failures"] > 50 and counts["missed"] > 30, counts
    print(json.dumps({"seed": seed, **counts}))


def test_a_rotation_that_is_killed_at_each_change_in_turn_is_gone_on_with_by_the_next(stack: FastStack) -> None:
    """A revoked secret makes every change there is: made, proved, delivered to three places, noted, removed."""
    at = 0
    while True:
        before = stack.outputs["identities"]["reader"]["credentials"][0]["name"].removeprefix("entrant ")
        stack.move(dt.timedelta(hours=1))
        stack.kill_at = at
        report = stack.rotate({"reader": {before: "the drill"}})
        if report is not None:
            break
        assert stack.broken() == [], f"killed at change {at}"
        for _ in range(2):  # where nothing was noted yet nobody knows of the revocation, so it is said again
            again = stack.rotate({"reader": {before: "the drill"}} if before in str(stack.outputs) else None)
            assert again is not None and again.exit_code == 0
            assert stack.broken() == []
        assert before not in stack.state, f"revoked, killed at change {at}, and still there"
        assert set(stack.in_azure()) == {secret["key_id"] for secret in stack.state.values()}
        assert len(stack.state) == 1
        at += 1
    assert report.exit_code == 0
    assert at >= 14, "each change has a moment before it and one after it"


def test_a_secret_whose_revocation_was_killed_as_it_went_is_not_made_again_and_the_next_run_says_that_it_is_gone(
    stack: FastStack,
) -> None:
    """The one before the newest, in its overlap: the first `up` takes it away, and is killed before it writes outputs."""
    stack.move(20 * DAY)
    assert stack.rotate() is not None
    newest, before = [secret.name for secret in stack.wanted()]
    stack.kill_at, made = 1, len(stack.changes)
    assert stack.rotate({"reader": {before: "the drill"}}) is None
    assert stack.changes[made:] == [f"remove {before}"]
    again = stack.rotate({"reader": {before: "the drill"}})
    assert again is not None
    assert (again.made, again.removed, again.exit_code) == ([], [f"reader {before}"], 0)
    assert list(stack.state) == [newest]
    assert stack.broken() == []
