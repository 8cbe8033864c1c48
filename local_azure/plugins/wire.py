"""The service's JSON: what of a resource is in it, and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_azure.plugins.schema import EMPTY, Prop
from local_azure.plugins.values import Properties


def to_wire(props: Mapping[str, Prop], values: Mapping[str, Any]) -> Properties:
    """``values`` as the service's JSON; what is not set is sent as empty, so that it is cleared."""
    body: Properties = {}
    for name, prop in props.items():
        if prop.wire and prop.is_input:
            value = _to_wire(prop, values.get(name))
            if not (value is None and prop.codec == "absent-when-unset"):
                _put(body, prop.wire, value)
    return body


def _to_wire(prop: Prop, value: Any) -> Any:
    if prop.codec in ("comma", "space"):
        return ("," if prop.codec == "comma" else " ").join(value or []) or None
    if prop.kind == "object":
        if value is None and prop.codec == "absent-when-unset":
            return {}
        return to_wire(prop.fields, value or {})
    if prop.kind in ("list", "set"):
        each = prop.each or Prop(kind="string", blank="")
        return [_to_wire(each, item) for item in value or []]
    if prop.kind == "map":
        return dict(value or {})
    if value is None:
        value = prop.default
    if prop.kind == "bool":
        return bool(value)
    return value if value not in (None, "") else prop.blank


def from_wire(props: Mapping[str, Prop], body: Mapping[str, Any]) -> Properties:
    """The properties that ``body`` (the service's JSON) shows."""
    return {name: _from_wire(prop, _get(body, prop.wire)) for name, prop in props.items() if prop.wire}


def _from_wire(prop: Prop, value: Any) -> Any:
    if prop.codec in ("comma", "space"):
        parts = (value or "").split("," if prop.codec == "comma" else None)
        return [part.strip() for part in parts if part.strip()]
    if prop.kind == "object":
        return from_wire(prop.fields, value or {})
    if prop.kind in ("list", "set"):
        each = prop.each or Prop(kind="string")
        return [_from_wire(each, item) for item in value or []]
    if prop.kind == "map":
        return dict(value or {})
    if value is None:
        return prop.default if prop.kind == "int" and prop.default is not None else EMPTY[prop.kind]
    return value


def _put(body: Properties, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        body = body.setdefault(parent, {})
    body[last] = value


def _get(body: Mapping[str, Any], path: str) -> Any:
    value: Any = body
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value
