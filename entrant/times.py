"""Durations and moments as people write them, in options and in environment files alike. Standard library only."""

TYPE_CHECKING = False
if TYPE_CHECKING:  # a token from the cache needs neither these nor typing
    from datetime import datetime, timedelta

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
"""Unit → seconds."""


def seconds(text: str) -> int:
    """A duration such as `90d`, `12h`, `10m`, `2w`, or seconds without a unit, in seconds.

    Raises:
        ValueError: it is none.

    >>> seconds("10m"), seconds("2w"), seconds("600")
    (600, 1209600, 600)
    """
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "s")
    if not (number.isascii() and number.isdigit() and len(number) <= 9):
        raise ValueError("expected a duration such as 90d, 12h, 10m or 2w")
    return int(number) * UNITS[unit]


def duration(text: str) -> "timedelta":
    """`seconds` as a timedelta; at most 99,999 days.

    Raises:
        ValueError: it is none.
    """
    from datetime import timedelta

    found = timedelta(seconds=seconds(text))
    if found.days > 99_999:
        raise ValueError("expected a duration of at most 99999d")
    return found


def moment(text: str) -> "datetime":
    """A date (midnight UTC) or an RFC 3339 time with zone, as UTC to the second, from 1990 to 2500.

    Raises:
        ValueError: it is none.
    """
    import re
    from datetime import UTC, datetime

    found = None
    if re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]|$)", text):
        try:
            found = datetime.fromisoformat(text)
            if len(text) > 10 and found.tzinfo is None:
                raise ValueError("the time has no zone; end it with Z for UTC")
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            if "no zone" in str(error):
                raise
            found = None
    if found is None or not 1990 <= found.year <= 2500:
        raise ValueError("expected a date such as 2026-01-01 or a time such as 2026-01-01T06:00:00Z")
    return found.replace(microsecond=0)
