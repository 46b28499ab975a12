"""The shape of every kind: what patches, server-side apply, decoding and validation walk along.

A `Node` is one place in an object. It is made on first use from an OpenAPI definition, built-in or
out of a CustomResourceDefinition, so that starting costs nothing for kinds nobody touches. List and
map types follow "Merge strategy" in the server-side apply documentation.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from functools import cached_property
from importlib import resources
from typing import Any, Literal, NamedTuple

Json = dict[str, Any]
Shape = Literal["struct", "map", "list", "scalar", "any"]
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
SCALARS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
    META + "Time": "time",
    META + "MicroTime": "micro-time",
}
FREE_FORM = (META + "FieldsV1", "io.k8s.apimachinery.pkg.runtime.RawExtension")
KEY_DEFAULTS: Mapping[str, Any] = {"protocol": "TCP"}  # the only list-map key with a default
ZERO: Mapping[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False}


class GoField(NamedTuple):
    """A field of a Go struct; `kind` is a letter as in `go_types.Field`."""

    name: str
    json: str
    type: str
    kind: str
    target: str
    omit: bool


class Definitions:
    """The derived data file: definitions, resources and protobuf field numbers."""

    def __init__(self, data: Json) -> None:
        self.raw: Json = data["definitions"]
        self.resources: list[Json] = data["resources"]
        self.messages: Json = data["messages"]
        self._layouts: Json = data["layouts"]
        self._nodes: dict[str, Node] = {}

    @classmethod
    def load(cls) -> Definitions:
        """Read the file that is part of this package."""
        packed = resources.files(__package__).joinpath("schemas.json.gz").read_bytes()
        return cls(json.loads(gzip.decompress(packed)))

    def node(self, name: str) -> Node:
        """The node of a definition, shared by everything that refers to it."""
        if name not in self._nodes:
            self._nodes[name] = Node(self, self.raw[name], name)
        return self._nodes[name]

    def layout(self, name: str) -> list[GoField]:
        """The Go struct behind a definition; empty for those that are not known."""
        return [GoField(*row) for row in self._layouts.get(name, ())]

    def json_fields(self, name: str) -> dict[str, GoField]:
        """The fields of the struct by JSON name, those of embedded structs among them."""
        found = {}
        for field in self.layout(name):
            found.update({field.json: field} if field.json else self.json_fields(field.target))
        return found

    def custom(self, schema: Json) -> Node:
        """The root node of a custom kind: its structural schema with the standard metadata."""
        properties = {**schema.get("properties", {})}
        properties["metadata"] = {"$ref": f"#/components/schemas/{META}ObjectMeta"}
        for name in ("apiVersion", "kind"):
            properties[name] = {"type": "string"}
        return Node(self, {**schema, "type": "object", "properties": properties}, custom=True)


class Node:
    """One place in an object and the rules that hold there."""

    def __init__(self, definitions: Definitions, raw: Json, name: str = "", *, custom: bool = False) -> None:
        self._definitions = definitions
        self.raw = raw
        self.definition = name
        self.name = name.rpartition(".")[2]
        self.custom = custom
        self.scalar = str(SCALARS.get(name) or raw.get("type", ""))
        if raw.get("x-kubernetes-int-or-string"):
            self.scalar = "int-or-string"
        self.preserve = bool(raw.get("x-kubernetes-preserve-unknown-fields"))
        self.shape: Shape = self._shape(name)
        kind = raw.get("x-kubernetes-list-type", "atomic")
        self.keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys", ()))
        self.is_set = kind == "set"
        self.atomic = (self.shape == "list" and kind == "atomic") or (raw.get("x-kubernetes-map-type") == "atomic")
        self.required: tuple[str, ...] = tuple(raw.get("required", ()))
        self.patch_key: str = raw.get("x-kubernetes-patch-merge-key", "")
        self.patch_strategies: tuple[str, ...] = tuple(raw.get("x-kubernetes-patch-strategy", "").split(","))

    def _shape(self, name: str) -> Shape:
        if name in SCALARS or self.scalar == "int-or-string":
            return "scalar"
        if name in FREE_FORM or not self.scalar:
            return "any"
        if self.scalar == "array":
            return "list"
        if self.scalar != "object":
            return "scalar"
        if "properties" in self.raw:
            return "struct"
        if isinstance(self.raw.get("additionalProperties"), dict):
            return "map"
        return "any"

    def _child(self, raw: Json) -> Node:
        reference = raw.get("$ref", "").rpartition("/")[2]
        if not reference:
            return Node(self._definitions, raw, custom=self.custom)
        if "x-kubernetes-map-type" in raw or "x-kubernetes-patch-strategy" in raw:
            merged = {**self._definitions.raw[reference], **raw}
            return Node(self._definitions, merged, reference)
        return self._definitions.node(reference)

    @cached_property
    def fields(self) -> Mapping[str, Node]:
        """The declared fields of a struct."""
        return {name: self._child(raw) for name, raw in self.raw.get("properties", {}).items()}

    @cached_property
    def go_fields(self) -> Mapping[str, GoField]:
        """How Go writes the fields of a struct; empty where that is not known."""
        return {} if self.custom else self._definitions.json_fields(self.definition)

    @cached_property
    def element(self) -> Node:
        """What a list or map holds; for free-form content, anything."""
        raw = self.raw.get("items" if self.shape == "list" else "additionalProperties")
        return self._child(raw) if isinstance(raw, dict) else ANYTHING

    def child(self, key: str) -> Node | None:
        """The node of a key, None if the key is not declared."""
        if self.shape == "struct":
            found = self.fields.get(key)
            if found is None and (self.preserve or "additionalProperties" in self.raw):
                return self.element
            return found
        return self.element

    def key_of(self, item: Json, key: str) -> Any:
        """The value of a list-map key; a left-out key has its default or zero value."""
        if item.get(key) is not None:
            return item[key]
        node = self.element.fields.get(key)
        if node is not None and "default" in node.raw:
            return node.raw["default"]
        return KEY_DEFAULTS.get(key, ZERO.get(node.scalar if node else "string", ""))


ANYTHING = Node(Definitions({"definitions": {}, "resources": [], "messages": {}, "layouts": {}}), {})
