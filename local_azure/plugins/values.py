"""Values as they cross Pulumi's plugin protocol.

Pulumi sends property maps as protobuf ``Struct``s in which secrets, unknown values, assets and resource references
are marked by magic strings. Source: ``sdk/proto/pulumi/provider.proto`` and ``sdk/go/common/resource/sig`` of Pulumi.
Everything past this module sees plain Python values, :data:`UNKNOWN`, and the names of the secret properties.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from typing import Any

from google.protobuf import struct_pb2

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_ASSETS = {"c44067f5952c0a294b673a41bacd8c17", "0def7320c3a5731c473e5ecbe6d01bc7"}

_UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWN_TEXTS = {
    _UNKNOWN_TEXT,
    "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
    "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
    "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
    "030794c1-ac77-496b-92df-f27374a8bd58",
    "e48ece36-62e2-4504-bad9-02848725956a",
    "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
}

Properties = dict[str, Any]


class _Unknown(enum.Enum):
    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown.UNKNOWN
"""Stands for a value that is not known before the update runs."""


def has_unknown(value: Any) -> bool:
    """Whether ``value`` is, or holds, something unknown."""
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return value is UNKNOWN


def decode(properties: struct_pb2.Struct) -> tuple[Properties, set[str]]:
    """The plain values of ``properties`` and the names of those properties that are, or hold, secrets."""
    secrets: set[str] = set()
    plain: Properties = {}
    for name, value in properties.fields.items():
        plain[name], secret = _decode(value)
        if secret:
            secrets.add(name)
    return plain, secrets


def encode(properties: Mapping[str, Any], secrets: Collection[str] = ()) -> struct_pb2.Struct:
    """``properties`` for the wire; those named in ``secrets`` are marked secret unless they are null."""
    struct = struct_pb2.Struct()
    for name, value in properties.items():
        encoded = _encode(value)
        if name in secrets and value is not None:
            wrapper = struct_pb2.Struct()
            wrapper.fields[_SIGNATURE].string_value = _SECRET
            wrapper.fields["value"].CopyFrom(encoded)
            encoded = struct_pb2.Value(struct_value=wrapper)
        struct.fields[name].CopyFrom(encoded)
    return struct


def _decode(value: struct_pb2.Value) -> tuple[Any, bool]:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return (UNKNOWN if value.string_value in _UNKNOWN_TEXTS else value.string_value), False
    if kind == "number_value":
        number = value.number_value
        return (int(number) if number.is_integer() else number), False
    if kind == "bool_value":
        return value.bool_value, False
    if kind == "list_value":
        items = [_decode(item) for item in value.list_value.values]
        return [item for item, _ in items], any(secret for _, secret in items)
    if kind == "struct_value":
        return _decode_struct(value.struct_value)
    return None, False


def _decode_struct(struct: struct_pb2.Struct) -> tuple[Any, bool]:
    signature = struct.fields[_SIGNATURE].string_value if _SIGNATURE in struct.fields else ""
    if signature == _SECRET:
        return _decode(struct.fields["value"])[0], True
    if signature == _OUTPUT:
        secret = "secret" in struct.fields and struct.fields["secret"].bool_value
        return (_decode(struct.fields["value"])[0] if "value" in struct.fields else UNKNOWN), secret
    if signature in _ASSETS:
        raise ValueError("an asset or archive was given where a plain value is needed")
    plain, secrets = decode(struct)
    return plain, bool(secrets)


def _encode(value: Any) -> struct_pb2.Value:
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if value is UNKNOWN:
        return struct_pb2.Value(string_value=_UNKNOWN_TEXT)
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, int | float):
        return struct_pb2.Value(number_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    if isinstance(value, Mapping):
        return struct_pb2.Value(struct_value=encode(value))
    if isinstance(value, list | tuple):
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[_encode(item) for item in value]))
    raise TypeError(f"a {type(value).__name__} cannot be sent to Pulumi")
