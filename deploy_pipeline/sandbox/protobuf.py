"""Decodes the protobuf bodies that `kubectl create`, `kubectl auth` and Helm send.

Such clients do not fall back to JSON, so a server has to read them. The wire format says only field
numbers; the names come from the derived table (see `derive_schemas`). An object is wrapped in a
`runtime.Unknown` behind four magic bytes. Answers are always JSON, which every client accepts.
"""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Callable, Mapping
from typing import Any

MAGIC = b"k8s\x00"
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
BOOL, STRING, MESSAGE, BYTES = 8, 9, 11, 12
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
Messages = Mapping[str, Mapping[str, tuple[str, Any, int, str]]]


def varint(data: bytes, at: int) -> tuple[int, int]:
    """One base-128 number and the position behind it."""
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
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
        value: Any
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            size = 8 if key & 7 == 1 else 4
            value, at = data[at : at + size], at + size
        found.setdefault(key >> 3, []).append(value)
    return found


def utf8(value: bytes) -> str:
    """A string field."""
    return value.decode()


def signed(value: int) -> int:
    """Negative numbers are sent as 64-bit two's complement."""
    return value - (1 << 64) if value >> 63 else value


def time_of(data: bytes) -> str:
    """meta/v1 Time and MicroTime: seconds and nanoseconds."""
    parts = fields(data)
    moment = datetime.datetime.fromtimestamp(signed(parts.get(1, [0])[0]), datetime.timezone.utc)
    nanos = parts.get(2, [0])[0]
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{nanos // 1000:06d}" if nanos else "") + "Z"


def int_or_string(data: bytes) -> int | str:
    """util/intstr: type, number, text."""
    parts = fields(data)
    if parts.get(1, [0])[0]:
        return utf8(parts.get(3, [b""])[0])
    return signed(parts.get(2, [0])[0])


SPECIAL: Mapping[str, Callable[[bytes], Any]] = {
    META + "Time": time_of,
    META + "MicroTime": time_of,
    META + "FieldsV1": lambda data: json.loads(fields(data).get(1, [b"{}"])[0]),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": int_or_string,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": lambda data: utf8(fields(data).get(1, [b"0"])[0]),
    "io.k8s.apimachinery.pkg.runtime.RawExtension": lambda data: json.loads(fields(data).get(1, [b"{}"])[0]),
}


class Decoder:
    """Turns wire bytes into the JSON form of the same object."""

    def __init__(self, messages: Messages, properties: Mapping[str, frozenset[str]]) -> None:
        self._messages = messages
        self._properties = properties

    def decode(self, body: bytes) -> dict[str, Any]:
        """The object inside a `runtime.Unknown`."""
        if not body.startswith(MAGIC):
            raise ValueError("the body is no Kubernetes protobuf")
        unknown = fields(body[len(MAGIC) :])
        meta = fields(unknown[1][0])
        version, kind = utf8(meta.get(1, [b""])[0]), utf8(meta.get(2, [b""])[0])
        name = self._message_name(version, kind)
        return {"apiVersion": version, "kind": kind, **self._message(name, unknown[2][0])}

    def _message_name(self, version: str, kind: str) -> str:
        if kind in ("DeleteOptions", "Status"):
            return META + kind
        group, _, short = version.rpartition("/")
        tail = f".{group.partition('.')[0] or 'core'}.{short}.{kind}"
        found = [name for name in self._messages if name.endswith(tail)]
        if not found:
            raise ValueError(f"no protobuf definition of {version} {kind}")
        return found[0]

    def _message(self, name: str, data: bytes) -> dict[str, Any]:
        result: dict[str, Any] = {}
        known = self._properties.get(name)
        for number, values in fields(data).items():
            if str(number) not in self._messages[name]:
                continue
            field, kind, extra, target = self._messages[name][str(number)]
            if kind == "map":
                result[field] = self._map(extra, target, values)
            elif kind == MESSAGE and known is not None and field not in known and not extra:
                result.update(self._message(target, values[-1]))  # a Go struct embedded inline
            elif extra:
                result[field] = [self._value(kind, target, value) for value in values]
            elif (value := self._value(kind, target, values[-1])) not in ("", None):
                result[field] = value
        return result

    def _map(self, kind: int, target: str, values: list[bytes]) -> dict[str, Any]:
        entries = [fields(value) for value in values]
        return {utf8(entry.get(1, [b""])[0]): self._value(kind, target, entry.get(2, [b""])[0]) for entry in entries}

    def _value(self, kind: int, target: str, value: Any) -> Any:
        if kind == MESSAGE:
            if target in SPECIAL:
                return SPECIAL[target](value) if value else None
            return self._message(target, value)
        if kind == STRING:
            return utf8(value)
        if kind == BYTES:
            return base64.b64encode(value).decode()
        if kind == BOOL:
            return bool(value)
        return signed(value)
