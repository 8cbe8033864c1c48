"""Scalar functions and aggregates: what they take, what type they give, and how they compute it.

Source: Microsoft, "Scalar functions" and "Aggregation functions" of the Kusto Query Language.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import itertools
import json
import math
import random
import re
import statistics
import uuid
from calendar import monthrange
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import re2

from local_azure.kql.budget import LONGEST_STRING
from local_azure.kql.syntax import semantic
from local_azure.kql.values import (
    EPOCH,
    Row,
    binned,
    common,
    convert,
    key,
    order,
    plain,
    shift,
    sortable,
    text,
    whole,
)

Values = list[Any]
_REGEX = re2.Options()
_REGEX.log_errors = False
_REGEX.max_mem = 2 << 20
LONGEST_PATTERN = 10_000


@dataclass(frozen=True, slots=True)
class Function:
    """A scalar function.

    Attributes:
        takes: the kinds of its arguments, one letter each (see `KINDS`); ``?`` after a letter makes it and the rest optional, a
            ``*`` at the end repeats the last kind.
        gives: the type of the result, or ``same`` (the first argument's), ``common`` (all arguments'), ``number`` (all arguments',
            and long at least), ``cases`` (that of the values in `iff` and `case`).
        run: gets the arguments' values, nulls included.
        keeps: whether an unnamed column of it is called as the column in its first argument.
    """

    takes: str
    gives: str
    run: Callable[..., Any]
    keeps: bool = False

    @property
    def fewest(self) -> int:
        """How many arguments it needs."""
        letters = self.takes.rstrip("*")
        return letters.index("?") - 1 if "?" in letters else len(letters)

    @property
    def most(self) -> int:
        """How many arguments it takes."""
        return 64 if self.takes.endswith("*") else len(self.takes.replace("?", ""))

    def kind(self, at: int) -> str:
        """The kind of the argument at an index, as a key of `KINDS`."""
        letters = self.takes.replace("?", "").rstrip("*")
        return letters[min(at, len(letters) - 1)]


KINDS: dict[str, tuple[frozenset[str], str]] = {
    "s": (frozenset({"string", "dynamic", "guid"}), "string"),
    "n": (frozenset({"int", "long", "real"}), "a number"),
    "i": (frozenset({"int", "long"}), "an integer"),
    "d": (frozenset({"datetime"}), "datetime"),
    "t": (frozenset({"timespan"}), "timespan"),
    "y": (frozenset({"dynamic"}), "dynamic"),
    "b": (frozenset({"bool"}), "bool"),
    "q": (frozenset({"int", "long", "real", "timespan", "datetime"}), "a number, timespan or datetime"),
}
"""Letter → the types that an argument of that kind may have, and their name; ``x`` is not here: it takes any."""


# Regular expressions: RE2, as Kusto itself, so that none takes more than linear time


@lru_cache(32)
def regex(pattern: str) -> Any:
    """A compiled pattern; refuses what RE2 does not know."""
    if len(pattern) > LONGEST_PATTERN:
        semantic(f"Regex pattern is longer than {LONGEST_PATTERN} characters.", "SEM0420")
    try:
        return re2.compile(pattern, _REGEX)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        semantic(
            f"Regex pattern is ill-formed: '{pattern[:100]}' ({said.decode() if isinstance(said, bytes) else said}).",
            "SEM0420",
        )


def _extract(pattern: Any, group: Any, source: Any) -> str:
    found = regex(text(pattern)).search(text(source))
    if found is None or not isinstance(group, int) or not 0 <= group <= found.re.groups:
        return ""
    return found.group(group) or ""


def _extract_all(pattern: Any, *rest: Any) -> Values | None:
    compiled = regex(text(pattern))
    wanted = rest[0] if len(rest) == 2 and isinstance(rest[0], list) else range(1, compiled.groups + 1)
    groups = [one for one in wanted if isinstance(one, int) and 0 <= one <= compiled.groups]
    found = [[match.group(one) or "" for one in groups] for match in compiled.finditer(text(rest[-1]))]
    if not found:
        return None
    return [one[0] for one in found] if len(groups) == 1 else list(found)


def _replace_regex(source: Any, pattern: Any, new: Any) -> str:
    compiled, string, rewrite = regex(text(pattern)), text(source), text(new)
    if len(string) * max(len(rewrite), 1) > LONGEST_STRING * 4:
        most = LONGEST_STRING // max(len(rewrite), 1) + 1
        matches = sum(1 for _ in itertools.islice(compiled.finditer(string), most))
        _fits("replace_regex", len(string) * (1 + rewrite.count("\\")) + matches * len(rewrite))
    try:
        return str(compiled.sub(rewrite, string))
    except (re2.error, IndexError):
        semantic(f"replace_regex(): '{rewrite[:100]}' refers to a group that the pattern has not.", "SEM0219")


def _trim(start: bool, end: bool) -> Callable[[Any, Any], str]:
    def trim(pattern: Any, source: Any) -> str:
        string = text(source)
        if start and (found := regex(f"^(?:{text(pattern)})").search(string)):
            string = string[found.end() :]
        if end and (found := regex(f"(?:{text(pattern)})$").search(string)):
            string = string[: found.start()]
        return string

    return trim


def _fits(name: str, size: int) -> None:
    if size > LONGEST_STRING:
        semantic(f"Runaway query: {name}(): the result is longer than 1 MB.", "E_RUNAWAY_QUERY")


# Text


def _strcat(*parts: Any) -> str:
    found = [text(part) for part in parts]
    _fits("strcat", sum(map(len, found)))
    return "".join(found)


def _delimited(between: Any, *parts: Any) -> str:
    found = [text(part) for part in parts]
    _fits("strcat_delim", sum(map(len, found)) + len(text(between)) * len(found))
    return text(between).join(found)


def _joined(values: Any, between: Any) -> str:
    return _delimited(between, *values) if isinstance(values, list) else ""


def _replace(source: Any, old: Any, new: Any) -> str:
    string, before, after = text(source), text(old), text(new)
    if not before:
        return string
    _fits("replace_string", len(string) + string.count(before) * max(len(after) - len(before), 0))
    return string.replace(before, after)


def _repeated(value: Any, times: Any, between: Any = "") -> str:
    count = max(times, 0) if isinstance(times, int) else 0
    _fits("strrep", (len(text(value)) + len(text(between))) * count)
    return text(between).join([text(value)] * count)


def _substring(value: Any, start: Any, length: Any = None) -> str:
    if not isinstance(start, int) or not isinstance(length, int | None):
        return ""
    string = text(value)
    start = max(start + len(string), 0) if start < 0 else start
    return string[start:] if length is None else string[start : start + max(length, 0)]


def _split(value: Any, between: Any, at: Any = None) -> Values:
    parts = text(value).split(text(between)) if text(between) else [text(value)]
    if at is None:
        return list(parts)
    return [parts[at]] if isinstance(at, int) and 0 <= at < len(parts) else []


def _indexof(value: Any, wanted: Any, start: Any = 0, length: Any = -1, nth: Any = 1) -> int | None:
    string, part = text(value), text(wanted)
    if not all(isinstance(one, int) for one in (start, length, nth)) or nth == 0:
        return None
    begin: int = max(start + len(string), 0) if start < 0 else start
    end = len(string) if length < 0 else min(len(string), begin + length)
    at = begin - 1
    for _ in range(min(max(nth, 1), LONGEST_STRING)):
        at = string.find(part, at + 1, end)
        if at < 0:
            return -1
    return at


def _countof(value: Any, wanted: Any, kind: Any = "normal") -> int:
    if text(kind) == "regex":
        return sum(1 for _ in regex(text(wanted)).finditer(text(value)))
    string, part = text(value), text(wanted)
    if not part:
        return 0
    found, at = 0, string.find(part)
    while at >= 0:
        found, at = found + 1, string.find(part, at + 1)
    return found


def _base64_decoded(value: Any) -> str:
    try:
        return base64.b64decode(text(value), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _url(value: Any) -> dict[str, Any]:
    try:
        parts = urlsplit(text(value))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return {}
    return {
        "Scheme": parts.scheme,
        "Host": host,
        "Port": str(port or ""),
        "Path": parts.path,
        "Username": parts.username or "",
        "Password": parts.password or "",
        "Query Parameters": dict(parse_qsl(parts.query, keep_blank_values=True)),
        "Fragment": parts.fragment,
    }


def _path(value: Any) -> dict[str, str]:
    whole_path = text(value)
    directory, _, name = whole_path.rpartition("/")
    return {
        "Scheme": whole_path.partition("://")[0] if "://" in whole_path else "",
        "RootPath": "/" if whole_path.startswith("/") else "",
        "DirectoryPath": directory,
        "DirectoryName": directory.rpartition("/")[2],
        "Filename": name,
        "Extension": name.rpartition(".")[2] if "." in name else "",
        "AlternateDataStreamName": "",
    }


def _version(value: Any) -> float | None:
    parts = text(value).split(".")
    if not 1 <= len(parts) <= 4 or not all(part.isdigit() and len(part) <= 8 for part in parts):
        return None
    return float("".join(part.rjust(8, "0") for part in [*parts, *["0"] * (4 - len(parts))]))


def _ipv4(value: Any) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(text(value), strict=False)
    except ValueError:
        return None


def _private(value: Any) -> bool | None:
    found = _ipv4(value)
    ranges = map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
    return None if found is None else any(found.subnet_of(one) for one in ranges)


def _in_range(value: Any, *ranges: Any) -> bool | None:
    found, wanted = _ipv4(value), [_ipv4(one) for one in ranges]
    if found is None or None in wanted:
        return None
    return any(one is not None and found.subnet_of(one) for one in wanted)


def words(string: str) -> list[str]:
    """The terms of a text: runs of letters and digits."""
    return re.findall(r"[^\W_]+", string)


# Numbers


def _real(compute: Callable[..., float]) -> Callable[..., float | None]:
    def run(*values: Any) -> float | None:
        try:
            result = compute(*values)
            return float(result) if math.isfinite(result) else None
        except (TypeError, ValueError, OverflowError, ZeroDivisionError):
            return None

    return run


def _round(value: Any, digits: Any = 0) -> Any:
    if not isinstance(value, int | float) or not isinstance(digits, int) or abs(digits) > 15:
        return None
    return round(value, digits) if digits else type(value)(round(value))


def _bits(compute: Callable[[int, int], int]) -> Callable[[Any, Any], int | None]:
    def run(left: Any, right: Any) -> int | None:
        return whole(compute(left, right)) if isinstance(left, int) and isinstance(right, int) else None

    return run


def _extreme(sign: int) -> Callable[..., Any]:
    def run(*values: Any) -> Any:
        held = [value for value in values if value is not None]
        return (max if sign > 0 else min)(held, key=sortable, default=None)

    return run


# Time


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


def _unit(name: Any) -> str:
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
        return add(_unit(unit), amount, moment)
    except (OverflowError, ValueError):
        return None


def _datetime_diff(unit: Any, later: Any, earlier: Any) -> int | None:
    """How many borders of the unit lie between two moments."""
    name = _unit(unit)
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


# Dynamic values


def _array(value: Any) -> Values:
    return value if isinstance(value, list) else []


def _slice(value: Any, start: Any, end: Any) -> Values | None:
    if not isinstance(value, list) or not isinstance(start, int) or not isinstance(end, int):
        return None
    first = start + len(value) if start < 0 else start
    last = end + len(value) if end < 0 else end
    return value[max(first, 0) : max(last + 1, 0)]


def _sorted(descending: bool) -> Callable[..., Any]:
    def run(value: Any, nulls_last: Any = True) -> Any:
        if not isinstance(value, list):
            return None
        held = sorted((one for one in value if one is not None), key=sortable, reverse=descending)
        nulls: Values = [None] * (len(value) - len(held))
        return held + nulls if nulls_last is not False else nulls + held

    return run


def _distinct(values: Iterable[Any]) -> dict[Any, Any]:
    return {key(value): value for value in values}


def _set(choose: Callable[[dict[Any, Any], dict[Any, Any]], dict[Any, Any]]) -> Callable[..., Values]:
    def run(first: Any, *others: Any) -> Values:
        found = _distinct(_array(first))
        for other in others:
            found = choose(found, _distinct(_array(other)))
        return list(found.values())

    return run


def _bag(*pairs: Any) -> dict[str, Any]:
    return {text(name): plain(value) for name, value in zip(pairs[::2], pairs[1::2], strict=False)}


def _merged(*bags: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for bag in bags:
        for name, value in bag.items() if isinstance(bag, dict) else ():
            found.setdefault(name, value)
    return found


def _range(start: Any, stop: Any, step: Any = None) -> Values | None:
    if step is None:
        step = timedelta(hours=1) if isinstance(start, datetime | timedelta) else 1
    found: Values = []
    try:
        zero = type(step)()
        while step != zero and (start <= stop if step > zero else start >= stop):
            found.append(plain(start))
            if len(found) > LONGEST_STRING:
                semantic("range(): more than 1048576 values.", "E_RUNAWAY_QUERY")
            start = start + step
    except (TypeError, OverflowError):
        return None
    return found


def _gettype(value: Any) -> str:
    names = {
        bool: "bool",
        int: "long",
        float: "double",
        str: "string",
        list: "array",
        dict: "dictionary",
        datetime: "datetime",
    }
    return "null" if value is None else names.get(type(value), "timespan")


def _iff(test: Any, yes: Any, no: Any) -> Any:
    return yes if test is True else no


def _case(*parts: Any) -> Any:
    for test, value in zip(parts[::2], parts[1::2], strict=False):
        if test is True:
            return value
    return parts[-1]


def _coalesce(*values: Any) -> Any:
    return next((value for value in values if value is not None and value != ""), values[-1])


def _as(kind: str) -> Callable[[Any], Any]:
    return lambda value: convert(value, kind)


def _hash(algorithm: str) -> Callable[[Any], str]:
    return lambda value: hashlib.new(
        algorithm, text(value).encode("utf-8", "replace"), usedforsecurity=False
    ).hexdigest()


def _index_of(values: Any, wanted: Any) -> int:
    wanted = key(plain(wanted))
    return next((at for at, value in enumerate(_array(values)) if key(value) == wanted), -1)


def _total_of(values: Any) -> float | None:
    numbers = [value for value in _array(values) if isinstance(value, int | float) and not isinstance(value, bool)]
    try:
        return float(sum(numbers))
    except OverflowError:
        return None


def _without(bag: Any, names: Any) -> Any:
    gone = {text(name) for name in _array(names)}
    return {name: value for name, value in bag.items() if name not in gone} if isinstance(bag, dict) else None


def _chosen(tests: Any, yes: Any, no: Any) -> Values:
    def one(value: Any, at: int) -> Any:
        return (value[at] if at < len(value) else None) if isinstance(value, list) else value

    return [one(yes if test is True else no, at) for at, test in enumerate(_array(tests))]


_F = Function
FUNCTIONS: dict[str, Function] = {
    # Conditions and types
    "case": _F("bxx*", "cases", _case),
    "iff": _F("bxx", "cases", _iff),
    "iif": _F("bxx", "cases", _iff),
    "coalesce": _F("xx*", "common", _coalesce),
    "isempty": _F("x", "bool", lambda value: value is None or value == ""),
    "isnotempty": _F("x", "bool", lambda value: value is not None and value != ""),
    "notempty": _F("x", "bool", lambda value: value is not None and value != ""),
    "isnull": _F("x", "bool", lambda value: value is None),
    "isnotnull": _F("x", "bool", lambda value: value is not None),
    "notnull": _F("x", "bool", lambda value: value is not None),
    "not": _F("b", "bool", lambda value: None if value is None else value is not True),
    "gettype": _F("x", "string", _gettype),
    "tobool": _F("x", "bool", _as("bool"), True),
    "toboolean": _F("x", "bool", _as("bool"), True),
    "todatetime": _F("x", "datetime", _as("datetime"), True),
    "todecimal": _F("x", "real", _as("real"), True),
    "todouble": _F("x", "real", _as("real"), True),
    "todynamic": _F("s", "dynamic", _as("dynamic"), True),
    "parse_json": _F("s", "dynamic", _as("dynamic"), True),
    "toobject": _F("s", "dynamic", _as("dynamic"), True),
    "toguid": _F("s", "guid", _as("guid"), True),
    "toint": _F("x", "int", _as("int"), True),
    "tolong": _F("x", "long", _as("long"), True),
    "toreal": _F("x", "real", _as("real"), True),
    "tostring": _F("x", "string", text, True),
    "totimespan": _F("x", "timespan", _as("timespan"), True),
    # Numbers
    "abs": _F("x", "number", lambda value: abs(value) if isinstance(value, int | float | timedelta) else None),
    "bin": _F("xx", "bin", binned, True),
    "floor": _F("xx", "bin", binned, True),
    "ceiling": _F("n", "real", _real(math.ceil)),
    "exp": _F("n", "real", _real(math.exp)),
    "exp2": _F("n", "real", _real(lambda value: 2.0**value)),
    "exp10": _F("n", "real", _real(lambda value: 10.0**value)),
    "log": _F("n", "real", _real(math.log)),
    "log2": _F("n", "real", _real(math.log2)),
    "log10": _F("n", "real", _real(math.log10)),
    "pow": _F("nn", "real", _real(lambda value, by: float(value) ** float(by))),
    "sqrt": _F("n", "real", _real(math.sqrt)),
    "pi": _F("", "real", lambda: math.pi),
    "rand": _F(
        "n?", "real", lambda most=None: random.random() if not most else float(random.randrange(max(int(most), 1)))
    ),
    "round": _F("nn?", "same", _round, True),
    "sign": _F("n", "real", _real(lambda value: float((value > 0) - (value < 0)))),
    "isfinite": _F("n", "bool", lambda value: value is not None),
    "isinf": _F("n", "bool", lambda _: False),
    "isnan": _F("n", "bool", lambda _: False),
    "max_of": _F("xx*", "common", _extreme(1)),
    "min_of": _F("xx*", "common", _extreme(-1)),
    "binary_and": _F("ii", "long", _bits(lambda left, right: left & right)),
    "binary_or": _F("ii", "long", _bits(lambda left, right: left | right)),
    "binary_xor": _F("ii", "long", _bits(lambda left, right: left ^ right)),
    "tohex": _F("i", "string", lambda value: "" if value is None else f"{value & (1 << 64) - 1:x}"),
    # Text
    "base64_encode_tostring": _F(
        "s", "string", lambda value: base64.b64encode(text(value).encode("utf-8", "replace")).decode()
    ),
    "base64_decode_tostring": _F("s", "string", _base64_decoded),
    "countof": _F("sss?", "long", _countof),
    "extract": _F("sis", "string", _extract),
    "extract_all": _F("sxx?", "dynamic", _extract_all),
    "hash_md5": _F("x", "string", _hash("md5")),
    "hash_sha1": _F("x", "string", _hash("sha1")),
    "hash_sha256": _F("x", "string", _hash("sha256")),
    "indexof": _F("xxi?ii", "long", _indexof),
    "ipv4_is_in_range": _F("ss", "bool", _in_range),
    "ipv4_is_in_any_range": _F("ss*", "bool", _in_range),
    "ipv4_is_private": _F("s", "bool", _private),
    "parse_ipv4": _F("s", "long", lambda value: int(found.network_address) if (found := _ipv4(value)) else None),
    "parse_path": _F("s", "dynamic", _path),
    "parse_url": _F("s", "dynamic", _url),
    "parse_urlquery": _F(
        "s", "dynamic", lambda value: {"Query Parameters": dict(parse_qsl(text(value), keep_blank_values=True))}
    ),
    "parse_version": _F("s", "real", _version),
    "replace_regex": _F("sss", "string", _replace_regex),
    "replace_string": _F("sss", "string", _replace),
    "reverse": _F("x", "string", lambda value: text(value)[::-1]),
    "split": _F("ssi?", "dynamic", _split),
    "strcat": _F("x*", "string", _strcat),
    "strcat_array": _F("ys", "string", _joined),
    "strcat_delim": _F("sxx*", "string", _delimited),
    "strcmp": _F("ss", "long", lambda left, right: order(text(left), text(right))),
    "strlen": _F("s", "long", lambda value: len(text(value))),
    "strrep": _F("xis?", "string", _repeated),
    "substring": _F("sii?", "string", _substring),
    "tolower": _F("x", "string", lambda value: text(value).lower()),
    "toupper": _F("x", "string", lambda value: text(value).upper()),
    "trim": _F("ss", "string", _trim(True, True)),
    "trim_start": _F("ss", "string", _trim(True, False)),
    "trim_end": _F("ss", "string", _trim(False, True)),
    "url_encode": _F("s", "string", lambda value: quote(text(value).encode("utf-8", "replace"), safe="")),
    "url_decode": _F("s", "string", lambda value: unquote(text(value))),
    "new_guid": _F("", "guid", lambda: str(uuid.uuid4())),
    # Time
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
    # Dynamic values
    "array_concat": _F("yy*", "dynamic", lambda *arrays: list(itertools.chain.from_iterable(map(_array, arrays)))),
    "array_iff": _F("yxx", "dynamic", _chosen),
    "array_index_of": _F("yx", "long", _index_of),
    "array_length": _F("y", "long", lambda value: len(value) if isinstance(value, list) else None),
    "array_reverse": _F("y", "dynamic", lambda value: value[::-1] if isinstance(value, list) else None),
    "array_slice": _F("yii", "dynamic", _slice),
    "array_sort_asc": _F("yb?", "dynamic", _sorted(False)),
    "array_sort_desc": _F("yb?", "dynamic", _sorted(True)),
    "array_sum": _F("y", "real", _total_of),
    "bag_has_key": _F("ys", "bool", lambda bag, name: text(name) in bag if isinstance(bag, dict) else None),
    "bag_keys": _F("y", "dynamic", lambda bag: list(bag) if isinstance(bag, dict) else None),
    "bag_merge": _F("yy*", "dynamic", _merged),
    "bag_pack": _F("sx*", "dynamic", _bag),
    "pack": _F("sx*", "dynamic", _bag),
    "bag_remove_keys": _F("yy", "dynamic", _without),
    "dynamic_to_json": _F(
        "y", "string", lambda value: json.dumps(value, sort_keys=True, separators=(",", ":"), default=text)
    ),
    "pack_array": _F("x*", "dynamic", lambda *values: [plain(value) for value in values]),
    "range": _F("qqx?", "dynamic", _range),
    "repeat": _F("xi", "dynamic", lambda value, times: [plain(value)] * min(max(times or 0, 0), LONGEST_STRING)),
    "set_difference": _F("yy*", "dynamic", _set(lambda left, right: {at: left[at] for at in left if at not in right})),
    "set_has_element": _F("yx", "bool", lambda values, wanted: _index_of(values, wanted) >= 0),
    "set_intersect": _F("yy*", "dynamic", _set(lambda left, right: {at: left[at] for at in left if at in right})),
    "set_union": _F("yy*", "dynamic", _set(lambda left, right: {**left, **right})),
    "zip": _F("yy*", "dynamic", lambda *arrays: [list(one) for one in itertools.zip_longest(*map(_array, arrays))]),
}
"""Scalar functions that need only their arguments' values."""


EARLY: dict[str, tuple[int, Callable[[str], Any]]] = {
    "datetime_add": (0, _unit),
    "datetime_diff": (0, _unit),
    "extract": (0, regex),
    "extract_all": (0, regex),
    "replace_regex": (1, regex),
    "trim": (0, regex),
    "trim_start": (0, regex),
    "trim_end": (0, regex),
}
"""Function → which argument is checked when the query is read, if it is constant, and how."""


def result_type(function: Function, kinds: list[str]) -> str | None:
    """The type that a function gives for arguments of these types; `None` when they do not fit together."""
    match function.gives:
        case "same":
            return kinds[0]
        case "common":
            return common(kinds)
        case "number":
            return {"int": "long", "long": "long", "real": "real", "timespan": "timespan"}.get(kinds[0])
        case "cases":
            return _cases(kinds)
        case "bin":
            return _bin_type(*kinds)
    return function.gives


def _cases(kinds: list[str]) -> str:
    return common([*kinds[1::2], *kinds[-1:]]) or "dynamic"


def _bin_type(value: str, size: str) -> str | None:
    if value in ("datetime", "timespan"):
        return value if size == "timespan" else None
    return common((value, size)) if {value, size} <= {"int", "long", "real"} else None


# Aggregates


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregate over one group's values.

    Attributes:
        takes: as `Function.takes`, and ``o`` for what has an order, ``u`` for what can be summed.
        gives: the type of the result, or ``same``, or ``sum`` (long for integers, else the same).
        run: gets one list of values for each argument.
        prefix: what its column is called, before `_` and the first argument's name.
        conditional: whether its last argument but the optional ones is a predicate: only rows where it holds are in the lists.
    """

    takes: str
    gives: str
    run: Callable[..., Any]
    prefix: str
    conditional: bool = False

    @property
    def fewest(self) -> int:
        """How many arguments it needs."""
        return Function(self.takes, "", self.run).fewest

    @property
    def most(self) -> int:
        """How many arguments it takes."""
        return Function(self.takes, "", self.run).most

    def kind(self, at: int) -> str:
        """The kind of the argument at an index."""
        return Function(self.takes, "", self.run).kind(at)


ORDERED = frozenset({"int", "long", "real", "timespan", "datetime", "string", "bool", "guid"})
SUMMABLE = frozenset({"int", "long", "real", "timespan"})


def _present(values: Values) -> Values:
    return [value for value in values if value is not None]


def _sum(values: Values) -> Any:
    held = _present(values)
    try:
        if held and isinstance(held[0], timedelta):
            return sum(held, timedelta(0))
        return math.fsum(held) if any(isinstance(one, float) for one in held) else whole(sum(held))
    except OverflowError:
        return None


def _avg(values: Values) -> Any:
    held = _present(values)
    try:
        if held and isinstance(held[0], timedelta):
            return sum(held, timedelta(0)) / len(held)
        return math.fsum(held) / len(held) if held else None
    except OverflowError:
        return None


def _best(largest: bool) -> Callable[[Values], Any]:
    return lambda values: (max if largest else min)(_present(values), key=sortable, default=None)


def percentile(values: Values, share: Any) -> Any:
    """The smallest value that is at least as large as `share` percent of all (nearest rank)."""
    held = sorted(_present(values), key=sortable)
    if not held or not isinstance(share, int | float):
        return None
    return held[min(len(held) - 1, max(0, math.ceil(share / 100 * len(held)) - 1))]


def _spread(compute: Callable[[Values], float]) -> Callable[[Values], float | None]:
    def run(values: Values) -> float | None:
        held = [float(value) for value in _present(values)]
        try:
            return compute(held) if len(held) > 1 else (0.0 if held else None)
        except OverflowError:
            return None

    return run


def _most(sizes: Values) -> int:
    return sizes[0] if sizes and isinstance(sizes[0], int) and sizes[0] >= 0 else LONGEST_STRING


def _list(values: Values, sizes: Values = []) -> Values:  # noqa: B006  (never changed)
    return [plain(value) for value in _present(values)][: _most(sizes)]


def _set_of(values: Values, sizes: Values = []) -> Values:  # noqa: B006  (never changed)
    return [plain(value) for value in _distinct(_present(values)).values()][: _most(sizes)]


def _bag_of(values: Values) -> dict[str, Any]:
    return _merged(*values)


def _any(values: Values) -> Any:
    return next(iter(_present(values)), None)


_A = Aggregate
AGGREGATES: dict[str, Aggregate] = {
    "count": _A("", "long", len, "count"),
    "countif": _A("b", "long", len, "countif", True),
    "dcount": _A("xi?", "long", lambda values, *_: len(_distinct(_present(values))), "dcount"),
    "dcountif": _A("xbi?", "long", lambda values, *_: len(_distinct(_present(values))), "dcountif", True),
    "count_distinct": _A("x", "long", lambda values: len(_distinct(_present(values))), "count_distinct"),
    "count_distinctif": _A("xb", "long", lambda values: len(_distinct(_present(values))), "count_distinctif", True),
    "sum": _A("u", "sum", _sum, "sum"),
    "sumif": _A("ub", "sum", _sum, "sumif", True),
    "avg": _A("u", "avg", _avg, "avg"),
    "avgif": _A("ub", "avg", _avg, "avgif", True),
    "min": _A("o", "same", _best(False), "min"),
    "minif": _A("ob", "same", _best(False), "minif", True),
    "max": _A("o", "same", _best(True), "max"),
    "maxif": _A("ob", "same", _best(True), "maxif", True),
    "stdev": _A("n", "real", _spread(statistics.stdev), "stdev"),
    "stdevif": _A("nb", "real", _spread(statistics.stdev), "stdevif", True),
    "variance": _A("n", "real", _spread(statistics.variance), "variance"),
    "varianceif": _A("nb", "real", _spread(statistics.variance), "varianceif", True),
    "make_list": _A("xi?", "dynamic", _list, "list"),
    "make_list_if": _A("xbi?", "dynamic", _list, "list", True),
    "make_set": _A("xi?", "dynamic", _set_of, "set"),
    "make_set_if": _A("xbi?", "dynamic", _set_of, "set", True),
    "make_bag": _A("y", "dynamic", _bag_of, "bag"),
    "make_bag_if": _A("yb", "dynamic", _bag_of, "bag", True),
    "take_anyif": _A("xb", "same", _any, "", True),
}
"""Aggregates that give one column from their arguments' values; `arg_max`, `percentiles` and their kin are operators' own."""


def fold_row(rows: list[Row], value: Callable[[Row], Any], largest: bool) -> Row | None:
    """The row where a value is largest or smallest, or `None` when it is null in all."""
    filled = [row for row in rows if value(row) is not None]
    return (max if largest else min)(filled, key=lambda row: sortable(value(row)), default=None)
