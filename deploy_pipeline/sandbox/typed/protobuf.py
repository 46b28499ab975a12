"""Decodes the protobuf bodies that `kubectl create`, `kubectl auth` and Helm send.

Such clients do not fall back to JSON, so a server has to read them. The wire format says only field numbers; the names
are derived data. An object is wrapped in a `runtime.Unknown` behind four magic bytes. Answers are always JSON, which
every client accepts.
"""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Callable, Mapping
from typing import Any

MAGIC = b"k8s\x00"
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
Messages = Mapping[str, Mapping[str, tuple[str, str, str, str]]]


def varint(data: bytes, at: int) -> tuple[int, int]:
    """One base-128 number and the position behind it."""
    result = shift = 0
    while True:
        byte, at = data[at], at + 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7


def fields(data: bytes) -> dict[int, list[Any]]:
    """All values of a message by field number, in order."""
    found: dict[int, list[Any]] = {}
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        value: Any = None
        if key & 7 == 0:
            value, at = varint(data, at)
        else:
            size, at = varint(data, at) if key & 7 == 2 else (8 if key & 7 == 1 else 4, at)
            value, at = data[at : at + size], at + size
        found.setdefault(key >> 3, []).append(value)
    return found


def first(parts: dict[int, list[Any]], number: int, otherwise: Any) -> Any:
    """The value of a field that is there at most once."""
    return parts.get(number, [otherwise])[0]


def signed(value: int) -> int:
    """Negative numbers are sent as 64-bit two's complement."""
    return value - (1 << 64) if value >> 63 else value


def time_of(parts: dict[int, list[Any]]) -> str:
    """meta/v1 Time and MicroTime: seconds and nanoseconds."""
    moment = datetime.datetime.fromtimestamp(signed(first(parts, 1, 0)), datetime.timezone.utc)
    nanos = first(parts, 2, 0)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{nanos // 1000:06d}" if nanos else "") + "Z"


def int_or_string(parts: dict[int, list[Any]]) -> int | str:
    """util/intstr: type, number, text."""
    return first(parts, 3, b"").decode() if first(parts, 1, 0) else signed(first(parts, 2, 0))


SPECIAL: Mapping[str, Callable[[dict[int, list[Any]]], Any]] = {
    "Time": time_of,
    "MicroTime": time_of,
    "FieldsV1": lambda parts: json.loads(first(parts, 1, b"{}")),
    "IntOrString": int_or_string,
    "Quantity": lambda parts: first(parts, 1, b"0").decode(),
    "RawExtension": lambda parts: json.loads(first(parts, 1, b"{}")),
}


def decode(body: bytes, messages: Messages) -> dict[str, Any]:
    """The object inside a `runtime.Unknown`; ValueError or LookupError if it is none."""
    if not body.startswith(MAGIC):
        raise ValueError("the body is no Kubernetes protobuf")
    unknown = fields(body[len(MAGIC) :])
    meta = fields(unknown[1][0])
    version, kind = first(meta, 1, b"").decode(), first(meta, 2, b"").decode()
    group, _, short = version.rpartition("/")
    package = "meta" if kind == "DeleteOptions" else group.partition(".")[0] or "core"
    found = [name for name in messages if name.endswith(f".{package}.{short}.{kind}")]
    if not found:
        raise ValueError(f"no protobuf definition of {version} {kind}")
    return {"apiVersion": version, "kind": kind, **_message(found[0], unknown[2][0], messages)}


def _message(name: str, data: bytes, messages: Messages) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for number, values in fields(data).items():
        if str(number) not in messages[name]:
            continue
        field, kind, often, target = messages[name][str(number)]
        if not field:  # a Go struct embedded inline
            result.update(_message(target, values[-1], messages))
        elif often == "map":
            entries = map(fields, values)
            result[field] = {
                first(e, 1, b"").decode(): _value(kind, target, first(e, 2, b""), messages) for e in entries
            }
        elif often == "list":
            result[field] = [_value(kind, target, value, messages) for value in values]
        elif (value := _value(kind, target, values[-1], messages)) not in ("", None):
            result[field] = value
    return result


def _value(kind: str, target: str, value: Any, messages: Messages) -> Any:
    if kind == "message":
        special = SPECIAL.get(target.rpartition(".")[2])
        if special is None:
            return _message(target, value, messages)
        return special(fields(value)) if value else None
    if kind == "string":
        return value.decode()
    if kind == "bytes":
        return base64.b64encode(value).decode()
    return bool(value) if kind == "bool" else signed(value)
