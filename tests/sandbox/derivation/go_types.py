"""Reads the layout of Go structs out of the official kubectl binary.

How an API server writes an object depends on the Go structs behind it: which fields are pointers, which are
left out when they are empty, in which order and with which protobuf number they stand. No schema says that, but
every Go program carries it as type information for reflection (Go's `internal/abi`, types `Type`, `PtrType`,
`StructType`). Used by `derive` only.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

HEADER = 48  # bytes of abi.Type, which every type descriptor begins with
FLOATS, INTEGERS = (13, 14), range(2, 13)
BOOL, MAP, POINTER, SLICE, STRING, STRUCT = 1, 21, 22, 23, 24, 25


@dataclass(frozen=True)
class Field:
    """One field of a Go struct."""

    name: str
    json: str  # empty if the struct is embedded inline
    type: str
    kind: str  # s string, i integer, f float, b bool, S struct, l slice, m map, p pointer, y bytes
    target: str  # the definition behind it, also through a pointer, slice or map
    element: str  # the kind of what a pointer, slice or map holds
    number: int
    proto: str
    omit: bool  # left out when empty

    @property
    def is_dropped_when_empty(self) -> bool:
        """Whether an empty value gets lost: nil slices and maps always do, zero values with omitempty."""
        return self.kind in ("l", "m", "y") or (self.omit and self.kind in ("s", "i", "b", "f"))


class Binary:
    """A statically linked, position-dependent ELF executable made by Go, as kubectl's releases are."""

    def __init__(self, content: bytes) -> None:
        self._bytes = content
        sections = dict(self._sections())
        self._base, self._offset, _ = sections[".rodata"]
        _, start, size = sections[".typelink"]
        self._links = struct.unpack_from(f"<{size // 4}i", content, start)

    def _sections(self) -> Iterator[tuple[str, tuple[int, int, int]]]:
        data = self._bytes
        (table,) = struct.unpack_from("<Q", data, 40)
        entry, count, names = struct.unpack_from("<HHH", data, 58)
        rows = [struct.unpack_from("<IIQQQQ", data, table + index * entry) for index in range(count)]
        for name, _, _, address, offset, size in rows:
            begin = rows[names][4] + name
            yield data[begin : data.index(b"\0", begin)].decode(), (address, offset, size)

    def _unpack(self, form: str, address: int) -> int:
        found: int = struct.unpack_from(form, self._bytes, address - self._base + self._offset)[0]
        return found

    def _text(self, address: int) -> tuple[str, int]:
        length = shift = 0
        while True:
            byte = self._unpack("<B", address)
            address, length, shift = address + 1, length | (byte & 127) << shift, shift + 7
            if byte < 128:
                break
        at = address - self._base + self._offset
        return self._bytes[at : at + length].decode(), address + length

    def _name(self, address: int) -> tuple[str, str]:
        """A name and its tag."""
        text, end = self._text(address + 1)
        return text, self._text(end)[0] if self._unpack("<B", address) & 2 else ""

    def _kind(self, address: int) -> int:
        return self._unpack("<B", address + 23) & 31

    def _string(self, address: int) -> str:
        text = self._name(self._base + self._unpack("<i", address + 40))[0]
        return text[1:] if self._unpack("<B", address + 20) & 2 else text

    def _definition(self, address: int) -> str:
        """`io.k8s.api.core.v1.Pod` for a named struct; other packages than Kubernetes' have none."""
        if not self._unpack("<B", address + 20) & 1:
            return ""
        package = self._name(self._base + self._unpack("<i", address + HEADER + 32))[0]
        dotted = re.sub(r"^k8s\.io/", "io.k8s.", package).replace("/", ".")
        return f"{dotted}.{self._string(address).rpartition('.')[2]}" if dotted.startswith("io.k8s.") else ""

    def structs(self) -> dict[str, list[Field]]:
        """Every struct of Kubernetes that some pointer type leads to."""
        found = {}
        for link in self._links:
            address = self._base + link
            if self._kind(address) == POINTER:
                target = self._unpack("<Q", address + HEADER)
                if self._kind(target) == STRUCT and (name := self._definition(target)):
                    found[name] = list(self._fields(target))
        return found

    def _fields(self, address: int) -> Iterator[Field]:
        table, count = (self._unpack("<Q", address + HEADER + step) for step in (8, 16))
        for at in range(table, table + 24 * count, 24):
            name, tag = self._name(self._unpack("<Q", at))
            kind = self._unpack("<Q", at + 8)
            json = re.search(r'json:"([^",]*)([^"]*)"', tag)
            proto = re.search(r'protobuf:"\w+,(\d+),\w+,name=([^",]*)', tag)
            if json and proto:
                yield self._field(name, kind, json, proto)

    def _field(self, name: str, address: int, json: re.Match[str], proto: re.Match[str]) -> Field:
        letter, element = self._letter(address), address
        if letter in ("p", "l", "m"):
            element = self._unpack("<Q", address + HEADER + (8 if letter == "m" else 0))
        target = self._definition(element) if self._kind(element) == STRUCT else ""
        # omitempty means nothing for a struct: only omitzero leaves one out.
        omit = "omitzero" in json[2] if letter == "S" else "omit" in json[2]
        number, proto_name, held = int(proto[1]), proto[2], self._letter(element)
        return Field(name, json[1], self._string(address), letter, target, held, number, proto_name, omit)

    def _letter(self, address: int) -> str:
        kind = self._kind(address)
        if kind == SLICE and self._kind(self._unpack("<Q", address + HEADER)) == 8:
            return "y"
        if kind in INTEGERS:
            return "i"
        letters = {BOOL: "b", MAP: "m", POINTER: "p", SLICE: "l", STRING: "s", STRUCT: "S"}
        return letters.get(kind, "f" if kind in FLOATS else "?")
