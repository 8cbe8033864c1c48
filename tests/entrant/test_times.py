"""Durations and moments, as options and environment files have them."""

from datetime import UTC, datetime, timedelta

import pytest

from entrant import times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("600", 600), ("1s", 1), ("2m", 120), ("3h", 10_800), ("90d", 7_776_000), ("2w", 1_209_600)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert times.seconds(text) == seconds
    assert times.duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "d", "90 d", "-1d", "1.5h", "1y", "1D", "d90", "٣d", "²d", "1234567890"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a duration such as 90d, 12h, 10m or 2w$"):
        times.seconds(text)


def test_a_duration_has_at_most_nine_digits_and_99999_days() -> None:
    assert times.seconds("999999999") == 999_999_999
    assert times.duration("99999d") == timedelta(days=99_999)
    with pytest.raises(ValueError, match=r"^expected a duration of at most 99999d$"):
        times.duration("100000d")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T06:00:00Z", datetime(2026, 1, 1, 6, tzinfo=UTC)),
        ("2026-01-01 06:00:00+02:00", datetime(2026, 1, 1, 4, tzinfo=UTC)),
        ("2026-01-01T06:00:00.987Z", datetime(2026, 1, 1, 6, tzinfo=UTC)),
        ("1990-01-01", datetime(1990, 1, 1, tzinfo=UTC)),
        ("2500-12-31", datetime(2500, 12, 31, tzinfo=UTC)),
    ],
)
def test_a_moment_is_utc_to_the_second(text: str, moment: datetime) -> None:
    found = times.moment(text)
    assert (found, found.tzinfo) == (moment, UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "20260101",
        "2026-W01-1",
        "2026-13-01",
        "2026-01-01X06:00:00Z",
        " 2026-01-01",
        "1989-12-31",
        "2501-01-01",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    expected = r"^expected a date such as 2026-01-01 or a time such as 2026-01-01T06:00:00Z$"
    with pytest.raises(ValueError, match=expected):
        times.moment(text)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^the time has no zone; end it with Z for UTC$"):
        times.moment("2026-01-01T06:00:00")
