"""The hash in the names of ReplicaSets and pods, the same as on a real cluster.

The deployment controller hashes the printed form of the Go struct of the pod template (`controller.ComputeHash`):
FNV-1a over what go-spew prints of every field with its type, empty ones included, written in an alphabet without
vowels. The layout of the structs is derived data, so a template has the name here that it has there.
"""

from __future__ import annotations

from typing import Any

from deploy_pipeline.sandbox import quantity
from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.schema import Definitions, GoField
from deploy_pipeline.sandbox.writes import LETTERS

TEMPLATE = "io.k8s.api.core.v1.PodTemplateSpec"
NO_TIME = "{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}"
NIL = "<nil>"


def template_hash(template: Json, definitions: Definitions) -> str:
    """The hash of a pod template."""
    value = 0x811C9DC5
    for byte in f"(v1.PodTemplateSpec){_struct(template, TEMPLATE, definitions)}".encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return "".join(LETTERS[ord(digit) % len(LETTERS)] for digit in str(value))


def _struct(value: Json, definition: str, definitions: Definitions) -> str:
    name = definition.rpartition(".")[2]
    if name == "Time":
        return NO_TIME  # templates carry no times
    if name == "Quantity":
        return _quantity(value)
    if name == "IntOrString":
        text = isinstance(value, str)
        number, word = (0, value) if text else (value or 0, "")
        return f"{{Type:(intstr.Type){int(text)} IntVal:(int32){number} StrVal:(string){word}}}"
    fields = definitions.layout(definition)
    printed = (f"{field.name}:({field.type}){_field(value, field, definitions)}" for field in fields)
    return "{" + " ".join(printed) + "}"


def _field(value: Json, field: GoField, definitions: Definitions) -> str:
    """The printed value of one field; an embedded struct takes its fields from the same JSON object."""
    found: Any = value.get(field.json) if field.json else value
    if found is None and field.kind in "plmy":
        return NIL
    if field.kind == "l":
        return "[" + " ".join(_plain(item, field.target, definitions) for item in found) + "]"
    if field.kind == "m":
        entries = (f"{key}:{_plain(found[key], field.target, definitions)}" for key in sorted(found))
        return "map[" + " ".join(entries) + "]"
    empty: Any = {"s": "", "b": False, "S": {}}.get(field.kind, 0)
    return _plain(empty if found is None else found, field.target, definitions)


def _plain(value: Any, definition: str, definitions: Definitions) -> str:
    if definition:
        return _struct(value, definition, definitions)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quantity(value: Any) -> str:
    """A parsed quantity: an amount scaled by a power of ten; one that was read is not cached as text."""
    text = quantity.canonical(value or 0)
    number, scale = quantity.parse(text), 0
    while number.denominator != 1:
        number, scale = number * 10, scale - 1
    form = "BinarySI" if text.endswith("i") else "DecimalSI"
    amount = f"i:(resource.int64Amount){{value:(int64){number} scale:(resource.Scale){scale}}}"
    return (
        f"{{{amount} d:(resource.infDecAmount){{Dec:(*inf.Dec)<nil>}} s:(string){text} Format:(resource.Format){form}}}"
    )
