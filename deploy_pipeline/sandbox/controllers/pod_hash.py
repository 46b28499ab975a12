"""The hash in the names of ReplicaSets and pods, the same as on a real cluster.

The deployment controller hashes the printed form of the Go struct of the pod template (`controller.ComputeHash`):
FNV-1a over what go-spew prints of every field with its type, empty ones included, in an alphabet without vowels. The
layout of the structs is derived data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.objects.writes import LETTERS
from deploy_pipeline.sandbox.typed import quantity

Layouts = Mapping[str, list[tuple[str, str, str, str, str]]]
EMPTY: Mapping[str, Any] = {"s": "", "b": False, "S": {}}
NO_TIME = "{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}"  # templates carry no times


def template_hash(template: Json, layouts: Layouts) -> str:
    """The hash of a pod template."""
    value = 0x811C9DC5
    for byte in f"(v1.PodTemplateSpec){_printed(template, 'io.k8s.api.core.v1.PodTemplateSpec', layouts)}".encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return "".join(LETTERS[ord(digit) % len(LETTERS)] for digit in str(value))


def _printed(value: Any, definition: str, layouts: Layouts) -> str:
    name = definition.rpartition(".")[2]
    if not name:
        return str(value).lower() if isinstance(value, bool) else str(value)
    if name == "Time":
        return NO_TIME
    if name == "Quantity":
        return _quantity(value)
    if name == "IntOrString":
        number, word = (0, value) if isinstance(value, str) else (value or 0, "")
        return f"{{Type:(intstr.Type){int(isinstance(value, str))} IntVal:(int32){number} StrVal:(string){word}}}"
    return "{" + " ".join(_field(value, row, layouts) for row in layouts[definition]) + "}"


def _field(owner: Json, field: tuple[str, str, str, str, str], layouts: Layouts) -> str:
    """One field with its type; an embedded struct takes its fields from the same JSON object."""
    name, key, kind, letter, target = field
    value: Any = owner.get(key) if key else owner
    if value is None and letter in "plmy":
        text = "<nil>"
    elif letter == "l":
        text = "[" + " ".join(_printed(item, target, layouts) for item in value) + "]"
    elif letter == "m":
        text = "map[" + " ".join(f"{k}:{_printed(value[k], target, layouts)}" for k in sorted(value)) + "]"
    else:
        text = _printed(EMPTY.get(letter, 0) if value is None else value, target, layouts)
    return f"{name}:({kind}){text}"


def _quantity(value: Any) -> str:
    """A parsed quantity: an amount scaled by a power of ten; one that was read is not cached as text."""
    text = quantity.canonical(value or 0)
    number, scale = quantity.parse(text), 0
    while number.denominator != 1:
        number, scale = number * 10, scale - 1
    amount = f"i:(resource.int64Amount){{value:(int64){number} scale:(resource.Scale){scale}}}"
    decimal, form = "d:(resource.infDecAmount){Dec:(*inf.Dec)<nil>}", "BinarySI" if text[-1] == "i" else "DecimalSI"
    return f"{{{amount} {decimal} s:(string){text} Format:(resource.Format){form}}}"
