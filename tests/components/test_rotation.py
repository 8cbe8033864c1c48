"""The calendar of secrets: at most two live, the same answer for the same moment, no gap at any boundary."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from components import Slot, slots

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def due(now: datetime) -> list[str]:
    return [slot.name for slot in slots(now, every=90 * DAY, overlap=7 * DAY, starts=START)]


def test_the_slot_that_holds_now_is_due() -> None:
    assert due(datetime(2026, 3, 1, tzinfo=UTC)) == ["2026-01-01"]


def test_a_boundary_belongs_to_the_slot_it_starts() -> None:
    boundary = START + 90 * DAY
    assert due(boundary - timedelta(seconds=1)) == ["2026-01-01"]
    assert due(boundary) == ["2026-04-01", "2026-01-01"]


def test_the_slot_before_is_due_until_its_overlap_ends() -> None:
    end = START + 97 * DAY
    assert due(end - timedelta(seconds=1)) == ["2026-04-01", "2026-01-01"]
    assert due(end) == ["2026-04-01"]


def test_a_slot_ends_after_its_successor_has_begun_by_the_overlap() -> None:
    current, previous = slots(START + 90 * DAY, every=90 * DAY, overlap=7 * DAY, starts=START)
    assert previous.ends - current.starts == 7 * DAY


def test_a_generation_gives_every_due_slot_another_name() -> None:
    assert [
        slot.name for slot in slots(START + 90 * DAY, every=90 * DAY, overlap=7 * DAY, starts=START, generation=2)
    ] == ["2026-04-01-g2", "2026-01-01-g2"]


def test_slots_within_a_day_have_different_names() -> None:
    names = {
        slots(START + timedelta(hours=6 * k), every=timedelta(hours=6), overlap=timedelta(0), starts=START)[0].name
        for k in range(8)
    }
    assert len(names) == 8


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
