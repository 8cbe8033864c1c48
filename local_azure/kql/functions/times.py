"""Functions of moments and timespans."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from local_azure.kql.errors import semantic
from local_azure.kql.signatures import Function
from local_azure.kql.values import EPOCH, convert, shift, text


def _start(unit: str, last: bool = False) -> Callable[..., Any]:
    """The start of a moment's day, week, month or year, or with `last` the last tick that is kept of it."""

    def move(moment: datetime, by: int) -> datetime:
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        if unit == "day":
            return midnight + timedelta(days=by)
        if unit == "week":
            return midnight - timedelta(days=(midnight.weekday() + 1) % 7) + timedelta(weeks=by)
        return add(
            "year" if unit == "year" else "month",
            by,
            midnight.replace(day=1, month=1 if unit == "year" else midnight.month),
        )

    def run(moment: Any, offset: Any = 0) -> Any:
        if not isinstance(moment, datetime) or not isinstance(offset, int):
            return None
        try:
            return move(moment, offset + 1) - timedelta(microseconds=1) if last else move(moment, offset)
        except (OverflowError, ValueError):
            return None

    return run


_SECONDS = {
    "week": 604800,
    "day": 86400,
    "hour": 3600,
    "minute": 60,
    "second": 1,
    "millisecond": 1e-3,
    "microsecond": 1e-6,
    "nanosecond": 1e-9,
}


def add(unit: str, amount: int, moment: datetime) -> datetime:
    """A moment so many units later, on the last day of its month where the day is none."""
    if unit in _SECONDS:
        return moment + timedelta(seconds=_SECONDS[unit] * amount)
    months = amount * {"year": 12, "quarter": 3, "month": 1}[unit] + moment.month - 1
    year, month = moment.year + months // 12, months % 12 + 1
    if not 1 <= year <= 9999:
        raise OverflowError
    return moment.replace(year=year, month=month, day=min(moment.day, monthrange(year, month)[1]))


def unit_of(name: Any) -> str:
    unit = text(name).lower()
    if unit not in (*_SECONDS, "month", "quarter", "year"):
        semantic(
            f"'{text(name)[:40]}' is none of year, quarter, month, {', '.join(_SECONDS)}.",
            "SEM0219",
        )
    return unit


def _datetime_add(unit: Any, amount: Any, moment: Any) -> Any:
    if not isinstance(amount, int) or not isinstance(moment, datetime):
        return None
    try:
        return add(unit_of(unit), amount, moment)
    except (OverflowError, ValueError):
        return None


def _datetime_diff(unit: Any, later: Any, earlier: Any) -> int | None:
    """How many borders of the unit lie between two moments."""
    name = unit_of(unit)
    if not isinstance(later, datetime) or not isinstance(earlier, datetime):
        return None
    if name in ("year", "quarter", "month"):
        months = {"year": 12, "quarter": 3, "month": 1}[name]
        return (later.year * 12 + later.month - 1) // months - (earlier.year * 12 + earlier.month - 1) // months
    if name == "week":
        return int((_start("week")(later) - _start("week")(earlier)).days // 7)
    size = timedelta(seconds=max(_SECONDS[name], 1e-6))
    start = datetime(1, 1, 1, tzinfo=UTC)
    ticks = (later - start) // size - (earlier - start) // size
    return ticks * 1000 if name == "nanosecond" else ticks


def _datetime_part(unit: Any, moment: Any) -> int | None:
    if not isinstance(moment, datetime):
        return None
    parts: dict[str, int] = {
        "year": moment.year,
        "quarter": (moment.month + 2) // 3,
        "month": moment.month,
        "week_of_year": moment.isocalendar().week,
        "weekofyear": moment.isocalendar().week,
        "day": moment.day,
        "dayofyear": moment.timetuple().tm_yday,
        "hour": moment.hour,
        "minute": moment.minute,
        "second": moment.second,
        "millisecond": moment.microsecond // 1000,
        "microsecond": moment.microsecond,
        "nanosecond": moment.microsecond * 1000,
    }
    name = text(unit).lower()
    if name not in parts:
        semantic(f"datetime_part(): '{name[:40]}' is none of {', '.join(parts)}.", "SEM0219")
    return parts[name]


def _part(unit: str) -> Callable[[Any], int | None]:
    return lambda moment: _datetime_part(unit, moment)


_FORMAT = re.compile(r"yyyy|yy|MM|M|dd|d|HH|H|hh|h|mm|m|ss|s|f{1,7}|F{1,7}|tt")


def _format_datetime(moment: Any, form: Any) -> str:
    if not isinstance(moment, datetime):
        return ""

    def part(found: re.Match[str]) -> str:
        name = found[0]
        if name[0] in "fF":
            digits = f"{moment.microsecond:06d}0"[: len(name)]
            return digits if name[0] == "f" else digits.rstrip("0")
        hour = moment.hour % 12 or 12
        value = {
            "y": moment.year,
            "M": moment.month,
            "d": moment.day,
            "H": moment.hour,
            "h": hour,
            "m": moment.minute,
            "s": moment.second,
        }
        if name == "tt":
            return "AM" if moment.hour < 12 else "PM"
        number = value[name[0]] % 100 if name == "yy" else value[name[0]]
        return str(number).rjust(len(name), "0")

    return _FORMAT.sub(part, text(form)[:200])


def _format_timespan(span: Any, form: Any) -> str:
    if not isinstance(span, timedelta):
        return ""
    held = abs(span)
    seconds = held.seconds
    value = {"d": held.days, "H": seconds // 3600, "h": seconds // 3600, "m": seconds // 60 % 60, "s": seconds % 60}

    def part(found: re.Match[str]) -> str:
        name = found[0]
        if name[0] in "fF":
            digits = f"{held.microseconds:06d}0"[: len(name)]
            return digits if name[0] == "f" else digits.rstrip("0")
        return str(value[name[0]]).rjust(len(name), "0")

    return ("-" if span < timedelta(0) else "") + re.sub(r"d+|H+|h+|m+|s+|f+|F+", part, text(form)[:200])


def _make_datetime(*parts: Any) -> datetime | None:
    if len(parts) == 1:
        found = convert(parts[0], "datetime")
        return found if isinstance(found, datetime) else None
    try:
        year, month, day, hour, minute, second = [*parts, 0, 0, 0][:6]
        return datetime(year, month, day, hour, minute, tzinfo=UTC) + timedelta(seconds=second)
    except (TypeError, ValueError, OverflowError):
        return None


def _make_timespan(*parts: Any) -> timedelta | None:
    if not all(isinstance(part, int | float) for part in parts):
        return None
    names = ("days", "hours", "minutes", "seconds") if len(parts) == 4 else ("hours", "minutes", "seconds")
    try:
        return timedelta(**dict(zip(names, parts, strict=False)))
    except OverflowError:
        return None


def _unix(scale: float) -> Callable[[Any], Any]:
    def run(value: Any) -> Any:
        try:
            return shift(EPOCH, timedelta(seconds=value * scale)) if isinstance(value, int | float) else None
        except OverflowError:
            return None

    return run


_F = Function
TIMES: dict[str, Function] = {
    "datetime_add": _F("sid", "datetime", _datetime_add),
    "datetime_diff": _F("sdd", "long", _datetime_diff),
    "datetime_part": _F("sd", "int", _datetime_part),
    "dayofmonth": _F("d", "int", _part("day")),
    "dayofweek": _F("d", "timespan", lambda moment: timedelta(days=(moment.weekday() + 1) % 7) if moment else None),
    "dayofyear": _F("d", "int", _part("dayofyear")),
    "hourofday": _F("d", "int", _part("hour")),
    "monthofyear": _F("d", "int", _part("month")),
    "getmonth": _F("d", "int", _part("month")),
    "getyear": _F("d", "int", _part("year")),
    "week_of_year": _F("d", "int", _part("week_of_year")),
    "startofday": _F("di?", "datetime", _start("day"), True),
    "startofweek": _F("di?", "datetime", _start("week"), True),
    "startofmonth": _F("di?", "datetime", _start("month"), True),
    "startofyear": _F("di?", "datetime", _start("year"), True),
    "endofday": _F("di?", "datetime", _start("day", True), True),
    "endofweek": _F("di?", "datetime", _start("week", True), True),
    "endofmonth": _F("di?", "datetime", _start("month", True), True),
    "endofyear": _F("di?", "datetime", _start("year", True), True),
    "format_datetime": _F("ds", "string", _format_datetime),
    "format_timespan": _F("ts", "string", _format_timespan),
    "make_datetime": _F("xi?iiin", "datetime", _make_datetime),
    "make_timespan": _F("nn?nn", "timespan", _make_timespan),
    "unixtime_seconds_todatetime": _F("n", "datetime", _unix(1)),
    "unixtime_milliseconds_todatetime": _F("n", "datetime", _unix(1e-3)),
    "unixtime_microseconds_todatetime": _F("n", "datetime", _unix(1e-6)),
}
