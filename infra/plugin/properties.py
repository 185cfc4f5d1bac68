"""Properties as they travel: the engine's unknowns and secrets, and plain values without them."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import json_format, struct_pb2
from pulumi.runtime import rpc

UNKNOWN: Final = rpc.UNKNOWN
"""Stands for a value that is not known before an update."""

SIGNATURE: Final = rpc._special_sig_key  # noqa: SLF001 - the protocol's constant has no public name
SECRET: Final = rpc._special_secret_sig  # noqa: SLF001

Properties = dict[str, Any]


def from_wire(struct: struct_pb2.Struct) -> Properties:
    """A dict with secrets still wrapped; numbers that are whole are ints, as every one of Docker's is."""
    converted = _whole(json_format.MessageToDict(struct))
    return converted if isinstance(converted, dict) else {}


def to_wire(properties: Properties) -> struct_pb2.Struct:
    """The other way; None is left out."""
    struct = struct_pb2.Struct()
    struct.update({key: value for key, value in properties.items() if value is not None})
    return struct


def plain(value: Any) -> Any:
    """The same value with every secret unwrapped."""
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET:
            return plain(value["value"])
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def secret(value: Any) -> dict[str, Any]:
    """`value` as a secret."""
    return {SIGNATURE: SECRET, "value": value}


def has_unknown(value: Any) -> bool:
    """Whether anything in a plain value is not known yet."""
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    return any(has_unknown(item) for item in value) if isinstance(value, list) else value == UNKNOWN


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
