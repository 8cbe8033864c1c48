"""The calendar of secrets: at most two live, the same answer for the same moment, no gap at any boundary or change of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from components import Due, HandedOut, Slot, due, slots

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def slots_at(now: datetime) -> list[str]:
    return [slot.name for slot in slots(now, every=90 * DAY, overlap=7 * DAY, starts=START)]


def test_the_slot_that_holds_now_is_due() -> None:
    assert slots_at(datetime(2026, 3, 1, tzinfo=UTC)) == ["2026-01-01"]


def test_a_boundary_belongs_to_the_slot_it_starts() -> None:
    boundary = START + 90 * DAY
    assert slots_at(boundary - timedelta(seconds=1)) == ["2026-01-01"]
    assert slots_at(boundary) == ["2026-04-01", "2026-01-01"]


def test_the_slot_before_is_due_until_its_overlap_ends() -> None:
    end = START + 97 * DAY
    assert slots_at(end - timedelta(seconds=1)) == ["2026-04-01", "2026-01-01"]
    assert slots_at(end) == ["2026-04-01"]


def test_a_slot_ends_after_its_successor_has_begun_by_the_overlap() -> None:
    current, previous = slots(START + 90 * DAY, every=90 * DAY, overlap=7 * DAY, starts=START)
    assert previous.ends - current.starts == 7 * DAY


def test_a_generation_gives_every_due_slot_another_name() -> None:
    assert [
        slot.name for slot in slots(START + 90 * DAY, every=90 * DAY, overlap=7 * DAY, starts=START, generation=2)
    ] == ["2026-04-01-g2", "2026-01-01-g2"]


def test_a_slot_that_starts_within_a_day_has_its_time_in_its_name() -> None:
    """Resources are named after slots: another name replaces a secret."""
    for unit, expected in [
        (timedelta(hours=6), ["2026-01-01", "2026-01-01t060000"]),
        (timedelta(minutes=30), ["2026-01-01", "2026-01-01t003000"]),
        (timedelta(seconds=1), ["2026-01-01", "2026-01-01t000001"]),
    ]:
        found = [slots(START + k * unit, every=unit, overlap=timedelta(0), starts=START)[0] for k in range(2)]
        assert [slot.name for slot in found] == expected


def test_a_secret_made_at_the_moment_when_a_slot_starts_serves_that_slot() -> None:
    """Whatever it is called: a second one in a slot has another name."""
    boundary = START + 90 * DAY
    second = HandedOut("2026-04-01-2", boundary, boundary + 97 * DAY)
    [held] = due(boundary, every=90 * DAY, overlap=7 * DAY, starts=START, handed_out=[second])
    assert (held.name, held.successor) == ("2026-04-01-2", boundary + 90 * DAY)


moments = st.datetimes(datetime(2001, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))


@given(moments, moments, st.integers(1, 10_000), st.data())
def test_now_is_always_covered_and_never_more_than_two_secrets_are_live(
    now: datetime, starts: datetime, hours: int, data: st.DataObject
) -> None:
    every = timedelta(hours=hours)
    overlap = timedelta(hours=data.draw(st.integers(0, hours - 1)))

    def at(moment: datetime) -> tuple[Slot, ...]:
        return slots(moment, every=every, overlap=overlap, starts=starts)

    here = at(now)
    assert 1 <= len(here) <= 2
    assert here[0].starts <= now < here[0].starts + every <= here[0].ends
    assert all(slot.starts <= now < slot.ends for slot in here)
    assert at(here[0].starts)[0] == here[0], "a slot is the same at any moment in it"
    assert at(here[0].starts + every)[0].starts == here[0].starts + every, "slots follow one another without a gap"


# --------------------------------------------------------------------------------------------- a calendar that is changed


@dataclass(frozen=True)
class Calendar:
    """What a file says about a secret."""

    every: timedelta = 90 * DAY
    overlap: timedelta = 7 * DAY
    starts: datetime = START
    generation: int = 1
    pushed: bool = False

    def due(self, now: datetime, handed_out: Sequence[HandedOut]) -> tuple[Due, ...]:
        """The secrets that an `up` declares."""
        return due(
            now,
            every=self.every,
            overlap=self.overlap,
            starts=self.starts,
            generation=self.generation,
            handed_out=handed_out,
            pushed=self.pushed,
        )


def names(secrets: Sequence[HandedOut]) -> list[str]:
    return [secret.name for secret in secrets]


def test_the_first_up_makes_one_secret_even_inside_an_overlap() -> None:
    assert names(Calendar().due(START + 91 * DAY, ())) == ["2026-04-01"]


def test_without_what_was_handed_out_the_slots_themselves_are_due() -> None:
    found = due(START + 91 * DAY, every=90 * DAY, overlap=7 * DAY, starts=START)
    assert [(each.name, each.issued, each.ends, each.successor, each.kept_until) for each in found] == [
        ("2026-04-01", START + 90 * DAY, START + 187 * DAY, START + 180 * DAY, START + 187 * DAY),
        ("2026-01-01", START, START + 97 * DAY, START + 90 * DAY, START + 97 * DAY),
    ]


def test_a_calendar_that_is_not_changed_goes_by_its_slots() -> None:
    secrets: tuple[Due, ...] = ()
    for day, expected in [
        (0, ["2026-01-01"]),
        (89, ["2026-01-01"]),
        (90, ["2026-04-01", "2026-01-01"]),
        (96, ["2026-04-01", "2026-01-01"]),
        (97, ["2026-04-01"]),
        (180, ["2026-06-30", "2026-04-01"]),
    ]:
        secrets = Calendar().due(START + day * DAY, secrets)
        assert names(secrets) == expected
    assert [(each.ends, each.kept_until) for each in secrets] == [
        (START + 277 * DAY, START + 277 * DAY),
        (START + 187 * DAY, START + 187 * DAY),
    ]


def test_a_longer_overlap_leaves_the_secret_in_use_alone_and_brings_the_next_one_forward() -> None:
    first = Calendar().due(START + 10 * DAY, ())
    changed = Calendar(overlap=14 * DAY)
    kept = changed.due(START + 11 * DAY, first)
    assert [(each.name, each.ends, each.successor) for each in kept] == [
        ("2026-01-01", START + 97 * DAY, START + 83 * DAY)
    ]
    after = changed.due(START + 83 * DAY, kept)
    assert names(after) == ["2026-01-01-2", "2026-01-01"]
    assert after[1].kept_until == START + 97 * DAY


def test_a_shorter_calendar_makes_a_new_secret_when_one_of_its_slots_has_passed() -> None:
    first = Calendar().due(START, ())
    after = Calendar(every=30 * DAY).due(START + 40 * DAY, first)
    assert names(after) == ["2026-01-31", "2026-01-01"]
    assert after[1].kept_until == START + 47 * DAY, "the one in use stays for the overlap, not until its end"
    assert names(Calendar(every=30 * DAY).due(START + 47 * DAY, after)) == ["2026-01-31"]


def test_a_longer_calendar_makes_a_new_secret_before_the_one_in_use_ends() -> None:
    first = Calendar(every=30 * DAY).due(START, ())
    longer = Calendar(every=360 * DAY)
    assert names(longer.due(START + 29 * DAY, first)) == ["2026-01-01"]
    assert names(longer.due(START + 30 * DAY, first)) == ["2026-01-01-2", "2026-01-01"]


def test_another_start_makes_a_new_secret_when_a_slot_has_started_since() -> None:
    first = Calendar().due(START, ())
    moved = Calendar(starts=START + 15 * DAY)
    assert names(moved.due(START + 14 * DAY, first)) == ["2026-01-01"]
    assert names(moved.due(START + 40 * DAY, first)) == ["2026-01-16", "2026-01-01"]


def test_a_generation_makes_a_new_secret_at_once_and_leaves_the_one_in_use_for_the_overlap() -> None:
    first = Calendar().due(START, ())
    second = Calendar(generation=2)
    after = second.due(START + 40 * DAY, first)
    assert names(after) == ["2026-01-01-g2", "2026-01-01"]
    assert names(second.due(START + 46 * DAY, after)) == ["2026-01-01-g2", "2026-01-01"]
    assert names(second.due(START + 47 * DAY, after)) == ["2026-01-01-g2"]


def test_a_generation_without_overlap_takes_the_one_in_use_away_at_once() -> None:
    first = Calendar().due(START, ())
    assert names(Calendar(generation=2, overlap=0 * DAY).due(START + 40 * DAY, first)) == ["2026-01-01-g2"]


def test_a_generation_inside_an_overlap_takes_the_oldest_away() -> None:
    two = Calendar(generation=2).due(START + 40 * DAY, Calendar().due(START, ()))
    assert names(Calendar(generation=3).due(START + 41 * DAY, two)) == ["2026-01-01-g3", "2026-01-01-g2"]


def test_a_slot_that_starts_inside_an_overlap_waits_until_it_is_over() -> None:
    two = Calendar(generation=2).due(START + 85 * DAY, Calendar().due(START, ()))
    assert names(Calendar(generation=2).due(START + 90 * DAY, two)) == ["2026-01-01-g2", "2026-01-01"]
    later = Calendar(generation=2).due(START + 92 * DAY, two)
    assert names(later) == ["2026-04-01-g2", "2026-01-01-g2"]
    assert later[1].kept_until >= START + 99 * DAY


def test_a_secret_that_was_taken_out_of_the_file_and_put_back_is_a_new_one() -> None:
    assert names(Calendar().due(START + 40 * DAY, ())) == ["2026-01-01"]


def test_an_older_generation_and_an_earlier_clock_make_nothing_new() -> None:
    second = Calendar(generation=2).due(START + 100 * DAY, ())
    assert names(Calendar().due(START + 101 * DAY, second)) == ["2026-04-01-g2"]
    assert names(Calendar().due(START + 20 * DAY, second)) == ["2026-04-01-g2"]


@st.composite
def calendars(draw: st.DrawFn, *, longest_overlap: float) -> Calendar:
    """A calendar whose overlap is at most that part of a slot."""
    every = draw(st.integers(2, 400))
    overlap = draw(st.integers(0, min(int(every * longest_overlap), every - 1)))
    starts = START + timedelta(hours=draw(st.integers(-10_000, 10_000)))
    return Calendar(timedelta(hours=every), timedelta(hours=overlap), starts, draw(st.integers(1, 4)))


def histories(longest_overlap: float) -> st.SearchStrategy[list[tuple[int, Calendar | None]]]:
    """`up`s: minutes since the one before, and the calendar that was written meanwhile."""
    calendar = st.none() | calendars(longest_overlap=longest_overlap)
    return st.lists(st.tuples(st.integers(0, 20_000), calendar), min_size=1, max_size=12)


def follow(history: list[tuple[int, Calendar | None]], *, half: bool) -> None:
    """Run the `up`s and hold what is promised; `half`: a secret may go when half of its successor's life is over."""
    now, calendar = START, Calendar()
    secrets = calendar.due(now, ())
    promised = calendar.overlap
    for minutes, changed in history:
        now += timedelta(minutes=minutes)
        calendar, earlier = changed or calendar, secrets
        secrets = calendar.due(now, earlier)
        assert calendar.due(now, secrets) == secrets, "a second `up` changes nothing"
        assert 1 <= len(secrets) <= 2
        current, in_use = secrets[0], earlier[0]
        life = current.ends - current.issued
        fresh = current.name not in names(earlier)
        assert not fresh or life <= calendar.every + calendar.overlap
        assert fresh or current.ends - now > min(calendar.overlap, life / 2), "there is time for the next `up`"
        promised = min(promised, calendar.overlap)  # of the secret that was newest until now
        for gone in earlier:
            if gone.name in names(secrets) or gone.ends <= now:
                continue
            if gone == in_use:
                assert not calendar.overlap
                continue
            served = now >= in_use.issued + promised
            raised = fresh and calendar.generation > in_use.generation
            spent = half and now >= in_use.issued + (in_use.ends - in_use.issued) / 2
            assert served or raised or spent, (gone, in_use, now)
        if fresh:
            promised = calendar.overlap


@given(histories(0.5))
def test_no_change_takes_a_secret_away_before_its_successor_has_existed_for_the_overlap(
    history: list[tuple[int, Calendar | None]],
) -> None:
    """Whatever is changed and whenever `up` runs, and never more than two; a raised generation alone takes the oldest of two."""
    follow(history, half=False)


@given(histories(1.0))
def test_overlaps_longer_than_half_a_slot_last_at_least_half_of_the_newer_ones_life(
    history: list[tuple[int, Calendar | None]],
) -> None:
    follow(history, half=True)


# Secrets that have to be delivered, and revoked ones


def with_news(secrets: Sequence[HandedOut], name: str, **news: Any) -> list[HandedOut]:
    """The secrets of an `up` as the next one reads them, one of them with news."""
    return [
        replace(
            HandedOut(each.name, each.issued, each.ends, delivered=each.delivered, revoked=each.revoked),
            **(news if each.name == name else {}),
        )
        for each in secrets
    ]


def test_a_secret_stays_until_its_successor_is_delivered_or_it_ends() -> None:
    pushed = Calendar(generation=2, pushed=True)
    two = pushed.due(START + 40 * DAY, Calendar().due(START, ()))
    assert names(two) == ["2026-01-01-g2", "2026-01-01"]
    assert two[1].kept_until == two[1].ends == START + 97 * DAY, "nobody has said that its successor is in use"
    assert names(pushed.due(START + 60 * DAY, two)) == ["2026-01-01-g2", "2026-01-01"]
    known = with_news(two, "2026-01-01-g2", delivered=True)
    assert names(pushed.due(START + 46 * DAY, known)) == ["2026-01-01-g2", "2026-01-01"], "its overlap goes on"
    assert names(pushed.due(START + 47 * DAY, known)) == ["2026-01-01-g2"]


def test_nothing_third_is_made_before_the_newest_is_delivered() -> None:
    """Neither by the calendar nor by a raised generation: one of the two is what is in use, and nobody knows which."""
    pushed = Calendar(every=30 * DAY, overlap=20 * DAY, pushed=True)
    two = pushed.due(START + 30 * DAY, Calendar(every=30 * DAY, overlap=20 * DAY).due(START, ()))
    third = replace(pushed, generation=3)
    assert names(third.due(START + 45 * DAY, two)) == ["2026-01-31", "2026-01-01"]
    assert names(third.due(START + 45 * DAY, with_news(two, "2026-01-31", delivered=True))) == [
        "2026-01-31-g3",
        "2026-01-31",
    ]
    assert names(third.due(START + 50 * DAY, two)) == ["2026-01-31-g3", "2026-01-31"], "the older one has ended"


def test_without_an_overlap_a_pushed_secret_stays_until_its_successor_is_delivered() -> None:
    pushed = Calendar(generation=2, overlap=0 * DAY, pushed=True)
    two = pushed.due(START + 40 * DAY, Calendar(overlap=0 * DAY).due(START, ()))
    assert names(two) == ["2026-01-01-g2", "2026-01-01"]
    assert names(pushed.due(START + 40 * DAY, with_news(two, "2026-01-01-g2", delivered=True))) == ["2026-01-01-g2"]


def test_a_revoked_secret_is_succeeded_at_once_and_goes_when_its_successor_is_delivered() -> None:
    """With and without places that it is pushed to: `delivered` says that it was proved, too."""
    for calendar in (Calendar(), Calendar(pushed=True), Calendar(overlap=0 * DAY)):
        now = START + 40 * DAY
        two = calendar.due(now, with_news(Calendar().due(START, ()), "2026-01-01", revoked="it leaked"))
        assert names(two) == ["2026-01-01-2", "2026-01-01"]
        assert two[1].revoked == "it leaked"
        assert two[1].kept_until == two[1].ends, "nobody has said that its successor is in use"
        assert names(calendar.due(now + DAY, two)) == ["2026-01-01-2", "2026-01-01"]
        one = calendar.due(now, with_news(two, "2026-01-01-2", delivered=True))
        assert names(one) == ["2026-01-01-2"]
        again = calendar.due(now, with_news(one, "2026-01-01-2", revoked="it leaked, too"))
        assert names(again) == ["2026-01-01-3", "2026-01-01-2"], "the name of the first revoked one does not come back"


def test_revoking_the_one_before_takes_it_away_once_the_newest_is_delivered() -> None:
    pushed = Calendar(pushed=True)
    two = pushed.due(START + 90 * DAY, Calendar().due(START, ()))
    revoked = with_news(two, "2026-01-01", revoked="it leaked")
    assert names(pushed.due(START + 90 * DAY, revoked)) == ["2026-04-01", "2026-01-01"]
    assert names(pushed.due(START + 90 * DAY, with_news(revoked, "2026-04-01", delivered=True))) == ["2026-04-01"]


@given(histories(1.0), st.lists(st.booleans(), min_size=12, max_size=12))
def test_what_is_delivered_last_is_never_taken_away_before_something_newer_is(
    history: list[tuple[int, Calendar | None]], deliveries: list[bool]
) -> None:
    """Whatever is changed, whenever `up` runs, whichever deliveries fail: never more than two, and what places hold lives on."""
    now, calendar = START, Calendar(pushed=True)
    secrets: list[HandedOut] = list(calendar.due(now, ()))
    held = secrets[0]
    for (minutes, changed), arrives in zip(history, deliveries, strict=False):
        now += timedelta(minutes=minutes)
        calendar = replace(changed or calendar, pushed=True)
        found = calendar.due(now, secrets)
        assert 1 <= len(found) <= 2
        assert held.name in names(found) or held.ends <= now, (held, now)
        secrets = with_news(found, found[0].name, delivered=True) if arrives else with_news(found, "")
        if arrives:
            held = secrets[0]
