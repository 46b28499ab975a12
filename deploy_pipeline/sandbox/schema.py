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
from typing import Any, Literal

import yaml

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


class Definitions:
    """The derived data file: definitions, resources, Go structs and protobuf messages (see README.md)."""

    def __init__(self, data: Json) -> None:
        self.raw: Json = data["definitions"]
        self.resources: list[Json] = data["resources"]
        self.messages: Json = data["messages"]
        self.structs: Json = data["structs"]
        self.printed: Json = data["printed"]
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

    def custom(self, schema: Json) -> Node:
        """The root node of a custom kind: its structural schema with the standard metadata."""
        properties = {**schema.get("properties", {}), "apiVersion": {"type": "string"}, "kind": {"type": "string"}}
        properties["metadata"] = {"$ref": f"#/components/schemas/{META}ObjectMeta"}
        return Node(self, {**schema, "type": "object", "properties": properties}, custom=True)


def data(name: str) -> Any:
    """A table of this package, from its YAML file."""
    text = resources.files(__package__).joinpath(f"data/{name}.yaml").read_text()
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506


class Node:
    """One place in an object and the rules that hold there."""

    def __init__(self, definitions: Definitions, raw: Json, name: str = "", *, custom: bool = False) -> None:
        self._definitions = definitions
        self.raw = raw
        self.definition = name
        go = definitions.structs.get(name, {})
        self.order: tuple[str, ...] = tuple(go.get("order", ()))
        self.drops: frozenset[str] = frozenset(go.get("drops", ()))
        self.blanks: Json = go.get("blanks", {})
        self.name = name.rpartition(".")[2]
        self.custom = custom
        self.scalar = str(SCALARS.get(name) or raw.get("type", ""))
        if raw.get("x-kubernetes-int-or-string"):
            self.scalar = "int-or-string"
        self.preserve = bool(raw.get("x-kubernetes-preserve-unknown-fields"))
        self.shape: Shape = self._shape(name)
        kind = raw.get("x-kubernetes-list-type", "atomic")
        self.keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys", ()))
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


ANYTHING = Node(Definitions({"definitions": {}, "resources": [], "messages": {}, "structs": {}, "printed": {}}), {})
