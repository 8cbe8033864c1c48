"""The types of Graph's properties: what a value may be, what it is when nobody sets it, and how a change is taken in."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local_azure.graph.errors import bad_request, invalid_value
from local_azure.wire import epoch_of, is_guid, utc

Doc = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a value; every value may also be null. `read_only` values are ignored when they are sent."""

    read_only: bool = False
    default: Any = None

    def check(self, value: Any, path: str, kind: str) -> Any:
        """The value to store, or a 400."""
        return value


@dataclass(frozen=True, slots=True)
class Str(Type):
    """A string of at most `longest` characters, one of `options` when there are any."""

    longest: int = 1_048_576
    options: tuple[str, ...] = ()

    def check(self, value: Any, path: str, kind: str) -> Any:
        if not isinstance(value, str) or len(value) > self.longest:
            invalid_value(path, kind)
        if self.options:
            spelled = {option.lower(): option for option in self.options}
            if value.lower() not in spelled:
                invalid_value(path, kind)
            return spelled[value.lower()]
        return value


@dataclass(frozen=True, slots=True)
class Guid(Type):
    """A GUID."""

    def check(self, value: Any, path: str, kind: str) -> Any:
        if not is_guid(value):
            invalid_value(path, kind)
        return value.lower()


@dataclass(frozen=True, slots=True)
class Bool(Type):
    """True or false."""

    def check(self, value: Any, path: str, kind: str) -> Any:
        if not isinstance(value, bool):
            invalid_value(path, kind)
        return value


@dataclass(frozen=True, slots=True)
class Int(Type):
    """A 32-bit integer."""

    def check(self, value: Any, path: str, kind: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**31:
            invalid_value(path, kind)
        return value


@dataclass(frozen=True, slots=True)
class Time(Type):
    """A moment; stored as RFC 3339 in UTC with whole seconds."""

    def check(self, value: Any, path: str, kind: str) -> Any:
        if not isinstance(value, str):
            invalid_value(path, kind)
        try:
            return utc(epoch_of(value))
        except (ValueError, OSError, OverflowError):
            invalid_value(path, kind)


@dataclass(frozen=True, slots=True)
class Binary(Type):
    """Bytes as base64."""

    def check(self, value: Any, path: str, kind: str) -> Any:
        if not isinstance(value, str):
            invalid_value(path, kind)
        try:
            base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_" if "-" in value or "_" in value else None)
        except (binascii.Error, ValueError):
            invalid_value(path, kind)
        return value


@dataclass(frozen=True, slots=True)
class Many(Type):
    """A collection; sent whole, replaced whole."""

    of: Type = field(default_factory=Str)
    default: Any = field(default_factory=list)

    def check(self, value: Any, path: str, kind: str) -> Any:
        if not isinstance(value, list):
            invalid_value(path, kind)
        return [self.of.check(one, path, kind) for one in value]


@dataclass(frozen=True, slots=True)
class Complex(Type):
    """An object with these properties, or with any when there are none.

    A PATCH changes only those of its properties that it names (OData 4.01, part 1, 11.4.3), unless Graph keeps the object `whole`:
    then what the PATCH leaves out goes. docs/local-azure.md says which is which, and how that is known.
    """

    of: Mapping[str, Type] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    whole: bool = False

    def check(self, value: Any, path: str, kind: str) -> Any:
        if not isinstance(value, dict):
            invalid_value(path, kind)
        if not self.of:
            return value
        for name in self.required:
            if value.get(name) in (None, ""):
                bad_request(f"Property {path}.{name} is invalid: it is required.")
        return checked(value, self.of, kind, path)


def checked(body: Doc, properties: Mapping[str, Type], kind: str, outer: str = "") -> Doc:
    """The writable properties of a request body, each checked; unknown names are a 400, annotations (`@…`) are dropped."""
    result: Doc = {}
    for name, value in body.items():
        if "@" in name:
            continue
        spec = properties.get(name)
        path = f"{outer}.{name}" if outer else name
        if spec is None:
            bad_request(f"Invalid property '{name}'.")
        if spec.read_only:
            continue
        result[name] = None if value is None else spec.check(value, path, kind)
    return result


def defaults(properties: Mapping[str, Type]) -> Doc:
    """A fresh object with every property at its default."""
    return {name: default_of(spec) for name, spec in properties.items()}


def default_of(spec: Type) -> Any:
    """The default of one property."""
    if spec.default is not None:
        return spec.default.copy() if isinstance(spec.default, dict | list) else spec.default
    if isinstance(spec, Complex) and spec.of and not spec.required:
        return defaults(spec.of)
    return None


def merge(doc: Doc, changes: Doc, properties: Mapping[str, Type]) -> Doc:
    """`doc` with `changes`: complex properties change as `Complex` says, collections are replaced, null means the default."""
    result = dict(doc)
    for name, value in changes.items():
        spec = properties[name]
        if isinstance(spec, Complex) and isinstance(value, dict):
            held = result.get(name)
            if spec.whole or not isinstance(held, dict):
                held = defaults(spec.of)
            result[name] = merge(held, value, spec.of) if spec.of else _merge_any(held, value)
        elif value is None:
            result[name] = [] if isinstance(spec, Many) else default_of(spec)
        else:
            result[name] = value
    return result


def _merge_any(held: Doc, changes: Doc) -> Doc:
    """The same for an object with any properties: null takes one away."""
    result = dict(held)
    for name, value in changes.items():
        before = held.get(name)
        result[name] = (
            _merge_any(before if isinstance(before, dict) else {}, value) if isinstance(value, dict) else value
        )
    return {name: value for name, value in result.items() if value is not None}
