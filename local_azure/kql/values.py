"""Kusto's scalar types as Python values: string `str`, long and int `int`, real `float`, bool `bool`, datetime `datetime` in UTC,
timespan `timedelta`, guid `str`, dynamic what JSON gives. `None` is null; a string is never null but empty."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from local_azure.kql.syntax import TIMESPANS

Row = dict[str, Any]
Columns = dict[str, str]

TYPES = {
    **{name: name for name in ("string", "long", "int", "real", "bool", "datetime", "timespan", "dynamic", "guid")},
    "double": "real",
    "decimal": "real",
    "boolean": "bool",
    "date": "datetime",
    "time": "timespan",
    "uuid": "guid",
    "uniqueid": "guid",
}
"""The names of types, and the type that each is here (a decimal is kept as a real)."""
NUMERIC = ("int", "long", "real")
_CLR = {
    "string": "System.String",
    "long": "System.Int64",
    "int": "System.Int32",
    "real": "System.Double",
    "bool": "System.SByte",
    "datetime": "System.DateTime",
    "timespan": "System.TimeSpan",
    "dynamic": "System.Object",
    "guid": "System.Guid",
}
_CLOCK = re.compile(r"(-)?(?:(\d{1,8})\.)?(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d{1,7})?))?\Z")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def clr(kind: str) -> str:
    """The .NET type that `getschema` names."""
    return _CLR[kind]


def common(kinds: Iterable[str]) -> str | None:
    """The type that values of these types have together; `None` when there is none."""
    found = {kind for kind in kinds if kind != "dynamic"}
    if len(found) <= 1:
        return next(iter(found), "dynamic")
    if found <= set(NUMERIC):
        return max(found, key=NUMERIC.index)
    return None


def timespan(text: str) -> timedelta | None:
    """A literal such as ``1.5h``, or `None`."""
    found = re.fullmatch(r"(-?\d+(?:\.\d+)?)([a-z]+)", text)
    if found is None or found[2] not in TIMESPANS:
        return None
    try:
        return timedelta(seconds=float(found[1]) * TIMESPANS[found[2]])
    except OverflowError:
        return None


def convert(value: Any, kind: str) -> Any:
    """`value` as a Kusto type, or `None` where Kusto makes a null."""
    if value is None:
        return "" if kind == "string" else None
    try:
        match kind:
            case "string":
                return text(value)
            case "long" | "int":
                return whole(value, 32 if kind == "int" else 64)
            case "real":
                if isinstance(value, datetime | timedelta | dict | list):
                    return None
                number = float(value)
                return number if math.isfinite(number) else None
            case "bool":
                if isinstance(value, str):
                    return {"true": True, "false": False, "1": True, "0": False}.get(value.strip().lower())
                return bool(value) if isinstance(value, int | float) else None
            case "datetime":
                return _datetime(value)
            case "timespan":
                return _clock(value)
            case "guid":
                return str(uuid.UUID(value.strip()))
            case "dynamic":
                return _parsed(value) if isinstance(value, str) else value
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return value if kind == "dynamic" else None
    return value


def _parsed(string: str) -> Any:
    """What JSON says; infinite numbers and half characters, which are none, become null and U+FFFD."""
    value = json.loads(string, parse_constant=lambda _: None, parse_float=lambda number: convert(number, "real"))
    if "\\u" in string:
        value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return value


def whole(value: Any, bits: int = 64) -> int | None:
    """A whole number of so many bits, cut towards zero, or `None`."""
    if isinstance(value, timedelta):
        value = value // timedelta(microseconds=1) * 10
    if isinstance(value, datetime | dict | list):
        return None
    if isinstance(value, str):
        value = value.strip()
        if len(value) > 400:
            return None
        if value.lower().lstrip("+-").startswith("0x"):
            found: int | float = int(value, 16)
        else:
            found = int(value) if value.lstrip("+-").isdecimal() else float(value)
    else:
        found = value
    number = int(found)
    return number if -(1 << bits - 1) <= number < 1 << bits - 1 else None


def _datetime(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        return None
    plain = re.sub(r"(\.\d{6})\d+", r"\1", value.strip())
    moment = datetime.fromisoformat(f"{plain}-01-01" if re.fullmatch(r"\d{4}", plain) else plain)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _clock(value: Any) -> timedelta | None:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        return None
    found = _CLOCK.match(value.strip())
    if found is None:
        return timespan(value.strip())
    span = timedelta(days=int(found[2] or 0), hours=int(found[3]), minutes=int(found[4]), seconds=float(found[5] or 0))
    return -span if found[1] else span


def python_value(value: Any, kind: str) -> Any:
    """A stored value as expressions want it: datetimes as `datetime`, timespans as `timedelta`."""
    return convert(value, kind) if kind in ("datetime", "timespan") else value


def wire_value(value: Any, kind: str) -> Any:
    """A value as the query API's JSON has it."""
    if value is None:
        return "" if kind == "string" else None
    if isinstance(value, datetime | timedelta):
        return text(value)
    if kind == "dynamic" or isinstance(value, dict | list):
        return value if isinstance(value, str) else text(value) if value is not None else None
    if kind == "string":
        return text(value)
    return value


def text(value: Any) -> str:
    """A value as `tostring` shows it; null is empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "0Z"
    if isinstance(value, timedelta):
        sign, span = ("-", -value) if value < timedelta(0) else ("", value)
        seconds = span.seconds
        clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        fraction = f".{span.microseconds:06d}0" if span.microseconds else ""
        return f"{sign}{f'{span.days}.' if span.days else ''}{clock}{fraction}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=text)
    return str(value)


def plain(value: Any) -> Any:
    """A value as a dynamic may hold it: dates and spans as text."""
    return text(value) if isinstance(value, datetime | timedelta) else value


def key(value: Any) -> Any:
    """What two equal values have in common, and only they: for groups and joins."""
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, default=text)
    return (isinstance(value, bool), value)


def sortable(value: Any) -> Any:
    """A value's place in the order of all values that are not null."""
    if isinstance(value, int | float):
        return (0, value)
    if isinstance(value, datetime):
        return (1, value)
    return (2, value) if isinstance(value, timedelta) else (3, text(value))


def order(left: Any, right: Any) -> int | None:
    """-1, 0 or 1; `None` when the values cannot be ordered (null, or of different kinds)."""
    if left is None or right is None:
        return None
    try:
        return 0 if left == right else (-1 if left < right else 1)
    except TypeError:
        return None


def shift(moment: Any, by: Any) -> datetime | None:
    """A moment moved by a timespan; null past the ends of the calendar."""
    try:
        return moment + by if isinstance(moment, datetime) and isinstance(by, timedelta) else None
    except OverflowError:
        return None


def binned(value: Any, size: Any) -> Any:
    """The largest multiple of `size` that is at most `value`."""
    try:
        if isinstance(value, datetime) and isinstance(size, timedelta):
            start = datetime(1, 1, 1, tzinfo=UTC)
            return start + (value - start) // size * size
        if isinstance(value, timedelta) != isinstance(size, timedelta):
            return None
        return value // size * size if size > type(size)() else None
    except (TypeError, ZeroDivisionError, OverflowError):
        return None
