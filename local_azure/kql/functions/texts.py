"""Functions of text."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from local_azure.kql.budget import LONGEST_STRING
from local_azure.kql.functions.regexes import extract, extract_all, fits, regex, replace_regex, trim
from local_azure.kql.signatures import Function, Values
from local_azure.kql.values import order, text


def _strcat(*parts: Any) -> str:
    found = [text(part) for part in parts]
    fits("strcat", sum(map(len, found)))
    return "".join(found)


def _delimited(between: Any, *parts: Any) -> str:
    found = [text(part) for part in parts]
    fits("strcat_delim", sum(map(len, found)) + len(text(between)) * len(found))
    return text(between).join(found)


def _joined(values: Any, between: Any) -> str:
    return _delimited(between, *values) if isinstance(values, list) else ""


def _replace(source: Any, old: Any, new: Any) -> str:
    string, before, after = text(source), text(old), text(new)
    if not before:
        return string
    fits("replace_string", len(string) + string.count(before) * max(len(after) - len(before), 0))
    return string.replace(before, after)


def _repeated(value: Any, times: Any, between: Any = "") -> str:
    count = max(times, 0) if isinstance(times, int) else 0
    fits("strrep", (len(text(value)) + len(text(between))) * count)
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


def _hash(algorithm: str) -> Callable[[Any], str]:
    return lambda value: hashlib.new(
        algorithm, text(value).encode("utf-8", "replace"), usedforsecurity=False
    ).hexdigest()


_F = Function
TEXTS: dict[str, Function] = {
    "base64_encode_tostring": _F(
        "s", "string", lambda value: base64.b64encode(text(value).encode("utf-8", "replace")).decode()
    ),
    "base64_decode_tostring": _F("s", "string", _base64_decoded),
    "countof": _F("sss?", "long", _countof),
    "extract": _F("sis", "string", extract),
    "extract_all": _F("sxx?", "dynamic", extract_all),
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
    "replace_regex": _F("sss", "string", replace_regex),
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
    "trim": _F("ss", "string", trim(True, True)),
    "trim_start": _F("ss", "string", trim(True, False)),
    "trim_end": _F("ss", "string", trim(False, True)),
    "url_encode": _F("s", "string", lambda value: quote(text(value).encode("utf-8", "replace"), safe="")),
    "url_decode": _F("s", "string", lambda value: unquote(text(value))),
    "new_guid": _F("", "guid", lambda: str(uuid.uuid4())),
}
