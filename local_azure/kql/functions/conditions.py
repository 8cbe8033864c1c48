"""Functions that choose between values, ask for their type, or change it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from local_azure.kql.signatures import Function
from local_azure.kql.values import convert, text


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


_F = Function
CONDITIONS: dict[str, Function] = {
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
}
