"""A year of a secret and a certificate, day by day: missed days, skewed clocks, places that fail and runs killed at any change.

At every moment each place holds one that gives tokens, never more than two of each live, none is made that need not be, and a run
that was killed is gone on with by the next one, without anybody's help and without a secret or a certificate that nobody knows.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrant.facts.contract import CLIENT_SECRET, kind_of
from local_azure import LocalAzure
from tests.entrant import places as recording
from tests.fast_engine import SIGNING, FastStack, in_place

DAY = dt.timedelta(days=1)
SEEDS = [int(seed) for seed in os.environ.get("ENTRANT_YEARS", "1").split(",")]
"""Years to live through; ENTRANT_YEARS=3,4,5 tries others."""


@pytest.fixture
def stack(azure: LocalAzure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FastStack]:
    """A stack after its first run."""
    for name, value in (azure.settings() | azure.trust()).items():
        monkeypatch.setenv(name, value)
    with recording.places() as places:
        made = FastStack(azure, places, tmp_path, every=20, rare=50, overlap=10)
        with in_place(made, monkeypatch):
            made.operate(["up"])
            report = made.rotate()
            assert report is not None and report.exit_code == 0, report
            yield made
    azure.admin("PATCH", "settings", {"clock": {"offset": 0}})


@pytest.mark.parametrize("seed", SEEDS)
def test_a_year_without_an_outage(seed: int, stack: FastStack) -> None:
    chance = random.Random(seed)
    missed, down = 0, dict.fromkeys(("github", "devops", "gitlab", "exec"), 0)
    diary: list[tuple[object, ...]] = []
    counts = dict.fromkeys(("runs", "missed", "kills", "failures"), 0)
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
            stack.down = fails if place == "exec" else stack.down
            counts["failures"] += fails
        if chance.random() < 0.7:
            stack.kill_at = chance.randrange(25)
        report = stack.rotate()
        diary.append((day, "killed" if report is None else [*report.made, *report.kept, report.exit_code], dict(down)))
        counts["runs"] += 1
        if report is None:
            counts["kills"] += 1
            assert stack.broken() == [], f"right after the kill of day {day}"
            report = stack.rotate()
            assert report is not None
        assert stack.broken() == [], f"on the evening of day {day}"
        assert set(stack.in_azure()) == known(stack), f"something that nobody knows on day {day}"
    made = {change for change in stack.changes if change.startswith("make ")}
    counts["certificates"] = sum(SIGNING in change for change in made)
    counts["secrets"] = len(made) - counts["certificates"]
    assert counts["secrets"] <= 365 // stack.every + 2, "nothing is made that need not be"
    assert counts["certificates"] <= 365 // stack.rare + 2, "nothing is made that need not be"
    assert counts["kills"] > 3 and counts["failures"] > 50 and counts["missed"] > 30, counts
    print(json.dumps({"seed": seed, **counts}))


def known(stack: FastStack) -> set[str]:
    """The key ids that the state has."""
    return {held["key_id"] for held in stack.state.values()}


@pytest.mark.parametrize("calendar", [CLIENT_SECRET, SIGNING])
def test_a_rotation_that_is_killed_at_each_change_in_turn_is_gone_on_with_by_the_next(
    calendar: str, stack: FastStack
) -> None:
    """A revocation makes every change there is: made, proved, delivered to its places, noted, removed."""
    at = 0
    while True:
        [before], others = stack.slots(calendar), stack.slots(SIGNING if calendar == CLIENT_SECRET else CLIENT_SECRET)
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
        assert set(stack.in_azure()) == known(stack)
        assert [slot for slot in stack.state if slot not in others] == stack.slots(calendar)
        assert stack.slots(SIGNING if calendar == CLIENT_SECRET else CLIENT_SECRET) == others, (
            "the other one stays as it is"
        )
        at += 1
    assert report.exit_code == 0
    assert at >= {CLIENT_SECRET: 14, SIGNING: 12}[calendar], "each change has a moment before it and one after it"


@pytest.mark.parametrize("calendar", [CLIENT_SECRET, SIGNING])
def test_one_whose_revocation_was_killed_as_it_went_is_not_made_again_and_the_next_run_says_that_it_is_gone(
    calendar: str, stack: FastStack
) -> None:
    """The one before the newest, in its overlap: the first `up` takes it away, and is killed before it writes outputs."""
    stack.move({CLIENT_SECRET: 20, SIGNING: 50}[calendar] * DAY)
    assert stack.rotate() is not None
    newest, before = stack.slots(calendar)
    others = stack.slots(SIGNING if calendar == CLIENT_SECRET else CLIENT_SECRET)
    stack.kill_at, made = 1, len(stack.changes)
    assert stack.rotate({"reader": {before: "the drill"}}) is None
    assert stack.changes[made:] == [f"remove {before}"]
    again = stack.rotate({"reader": {before: "the drill"}})
    assert again is not None
    assert (again.made, again.removed, again.exit_code) == ([], [f"reader {before}"], 0)
    assert sorted(stack.state) == sorted([newest, *others])
    assert stack.broken() == []


def test_outputs_that_a_killed_run_left_behind_the_state_are_written_by_the_next_though_nothing_changes(
    stack: FastStack,
) -> None:
    """One whose overlap is over is taken away, and the run is killed before it writes that."""
    stack.move(20 * DAY)
    assert stack.rotate() is not None
    newest, before = stack.slots(CLIENT_SECRET)
    stack.move(10 * DAY)
    stack.kill_at, made = 1, len(stack.changes)
    assert stack.rotate() is None
    assert stack.changes[made:] == [f"remove {before}"]
    again = stack.rotate()
    assert again is not None
    assert (again.made, again.removed, again.exit_code) == ([], [f"reader {before}"], 0)
    names = [entry["name"] for entry in stack.outputs["identities"]["reader"]["credentials"]]
    assert names == [f"entrant {newest}", *stack.slots(SIGNING)]


def test_a_certificate_that_came_to_the_outputs_is_delivered_as_it_is_and_one_that_did_not_is_replaced(
    stack: FastStack,
) -> None:
    [before] = stack.slots(SIGNING)
    revoked, due = {"reader": {before: "the drill"}}, f"{before}-2"
    stack.move(dt.timedelta(hours=1))
    stack.kill_at, at = 2, len(stack.changes)
    assert stack.rotate(revoked) is None
    assert stack.changes[at:] == [f"make {due}"], "it is in the state and in the directory, and nobody has its key"
    lost = stack.state[due]["key_id"]
    stack.kill_at, at = 6, len(stack.changes)
    assert stack.rotate(revoked) is None
    assert stack.changes[at:] == [f"make {due}", "remove the lost one", "write outputs"]
    made = stack.outputs["reader_certificates"][SIGNING]
    assert stack.held()["exec"] != made and stack.state[due]["key_id"] != lost
    report = stack.rotate()
    assert report is not None and report.exit_code == 0
    assert (report.made, report.removed) == ([], [f"reader {before}"]), "the very same is delivered"
    assert (stack.held()["exec"], stack.held()["github's certificate"]) == (made, made)
    assert set(stack.in_azure()) == known(stack) and lost not in known(stack)


@pytest.mark.parametrize("failing", [CLIENT_SECRET, SIGNING])
def test_a_place_that_fails_keeps_the_predecessor_of_what_goes_there_and_of_nothing_else(
    failing: str, stack: FastStack
) -> None:
    """Both are revoked, so each goes when its successor is in all its places."""
    before = {calendar: stack.slots(calendar)[0] for calendar in (CLIENT_SECRET, SIGNING)}
    revoked = {"reader": dict.fromkeys(before.values(), "the drill")}
    other = CLIENT_SECRET if failing == SIGNING else SIGNING
    stack.move(dt.timedelta(hours=1))
    stack.down = failing == SIGNING
    stack.places.refusals["devops"] = [503] * 99 if failing == CLIENT_SECRET else []
    report = stack.rotate(revoked)
    assert report is not None and report.exit_code != 0
    assert report.removed == [f"reader {before[other]}"]
    [kept] = report.kept
    assert kept.startswith(f"reader: the {kind_of(failing)} {before[failing]} stays, and works until ")
    assert stack.broken() == []
    assert (before[failing] in stack.state, before[other] in stack.state) == (True, False)
    stack.down, stack.places.refusals["devops"] = False, []
    report = stack.rotate()
    assert report is not None and (report.exit_code, report.removed) == (0, [f"reader {before[failing]}"])
    assert stack.broken() == []
