"""From what a client sent to the typed object the server works with, and its JSON form.

A real server decodes into Go structs: unknown fields get lost (and are reported), wrong types are
refused, nulls and empty values vanish, quantities become canonical, defaults are filled in. Here one
walk along the schema does all of that. Custom objects keep what their schema allows and nothing else
("Structural schemas", field pruning and defaulting).
"""

from __future__ import annotations

import base64
import copy
import datetime
import re
from dataclasses import dataclass, field
from typing import Any

from deploy_pipeline.sandbox import defaults, quantity
from deploy_pipeline.sandbox.errors import Json, bad_request
from deploy_pipeline.sandbox.schema import GoField, Node

GO_SCALARS = {
    "string": "string",
    "boolean": "bool",
    "number": "float64",
    "time": "v1.Time",
    "micro-time": "v1.MicroTime",
}
EMPTY_SCALARS = {"s": "", "i": 0, "f": 0, "b": False}
EMPTY_VALUES = {
    "Time": None,
    "MicroTime": None,
    "Quantity": "0",
    "IntOrString": 0,
    "FieldsV1": None,
    "RawExtension": None,
}


@dataclass
class Conversion:
    """One object on its way in; `unknown` collects the fields that its schema does not have."""

    kind: str
    version: str
    defaulting: bool = True
    unknown: list[str] = field(default_factory=list)

    def refuse(self, why: str) -> Exception:
        """400: the body is no object of this kind."""
        return bad_request(f'{self.kind} in version "{self.version}" cannot be handled as a {self.kind}: {why}')

    def convert(self, value: Any, node: Node, path: str = "", owner: str = "") -> Any:
        """The value in the form the server keeps."""
        if node.shape == "struct":
            if isinstance(value, dict):
                return self._custom(value, node, path) if node.custom else self._struct(value, node, path)
        elif node.shape == "map":
            if isinstance(value, dict):
                where = path + (".{}" if node.custom else "[{}]")
                return {
                    key: self.convert(item, node.element, where.format(key), owner)
                    for key, item in value.items()
                    if item is not None or node.element.scalar == "string"
                }
        elif node.shape == "list":
            if isinstance(value, list):
                return [self.convert(item, node.element, f"{path}[{i}]", owner) for i, item in enumerate(value)]
        elif node.shape == "any":
            return value
        else:
            return self._scalar(value, node, path, owner)
        return value if node.custom else self._mismatch(value, node, path, owner)

    def _struct(self, value: Json, node: Node, path: str) -> Json:
        result: Json = {}
        for key, item in value.items():
            child = node.fields.get(key)
            where = f"{path}.{key}" if path else key
            if child is None:
                if node.preserve:
                    result[key] = item
                else:
                    self.unknown.append(f'unknown field "{where}"')
            elif item is not None:
                new = self.convert(item, child, where, node.name)
                if not vanishes(new, child, node.go_fields.get(key)):
                    result[key] = new
        self._complete(result, node)
        if self.defaulting:
            defaults.fill(result, node.name)
        return result

    def _complete(self, result: Json, node: Node) -> None:
        """Add what Go writes even if it is empty."""
        for key, known in node.go_fields.items():
            if known.omit or key in result or key not in node.fields:
                continue
            target = known.target.rpartition(".")[2]
            if known.kind == "S" and target not in EMPTY_VALUES:
                result[key] = self.convert({}, node.fields[key], key, node.name)
            else:
                result[key] = EMPTY_VALUES.get(target, EMPTY_SCALARS.get(known.kind))
        for key in defaults.STRUCTS_OF_UNKNOWN_LAYOUT.get(node.name, ()):
            result.setdefault(key, {})

    def _custom(self, value: Json, node: Node, path: str) -> Json:
        result: Json = {}
        for key, item in value.items():
            child = node.child(key)
            where = f"{path}.{key}" if path else key
            if child is None:
                self.unknown.append(f'unknown field "{where}"')
            elif item is not None or child.raw.get("nullable"):
                result[key] = item if item is None else self.convert(item, child, where)
        for key, child in node.fields.items():
            if key not in result and "default" in child.raw:
                value = copy.deepcopy(child.raw["default"])
                result[key] = self.convert(value, child, f"{path}.{key}")
        return result

    def _scalar(self, value: Any, node: Node, path: str, owner: str) -> Any:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if node.custom:
            return value
        if node.scalar == "quantity" and (number or isinstance(value, str)):
            try:
                return quantity.canonical(value)
            except ValueError as error:
                raise self.refuse(str(error)) from None
        if value is None:
            return ""
        if isinstance(value, str) and (node.scalar.endswith("time") or node.raw.get("format") == "byte"):
            return self._special_text(value, node)
        fits = {
            "string": isinstance(value, str),
            "time": False,
            "micro-time": False,
            "boolean": isinstance(value, bool),
            "integer": number and value == int(value),
            "number": number,
            "int-or-string": number or isinstance(value, str),
        }.get(node.scalar, True)
        return value if fits else self._mismatch(value, node, path, owner)

    def _special_text(self, value: str, node: Node) -> str:
        """Times are kept in UTC, and bytes have to be base64."""
        if node.raw.get("format") == "byte":
            try:
                base64.b64decode(value, validate=True)
            except ValueError:
                good = re.match(r"(?:[A-Za-z0-9+/]{4})*", value)
                at = good.end() if good else 0
                raise self.refuse(f"illegal base64 data at input byte {at}") from None
            return value
        try:
            # Python 3.10 reads fractions of exactly six digits only.
            text = re.sub(r"\.(\d+)", lambda match: "." + match[1][:6].ljust(6, "0"), value)
            moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            layout = "2006-01-02T15:04:05Z07:00"
            text = f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"'
            raise self.refuse(text) from None
        moment = moment.astimezone(datetime.timezone.utc)
        form = "%Y-%m-%dT%H:%M:%S.%fZ" if node.scalar == "micro-time" else "%Y-%m-%dT%H:%M:%SZ"
        return moment.strftime(form)

    def _mismatch(self, value: Any, node: Node, path: str, owner: str) -> Any:
        where = ".".join(part.partition("[")[0] for part in path.split("."))
        found = {bool: "bool", str: "string", list: "array", dict: "object"}.get(type(value), "number")
        raise self.refuse(
            f"json: cannot unmarshal {found} into Go struct field {owner or self.kind}.{where} of type {go_type(node)}"
        )


def go_type(node: Node) -> str:
    """The Go type of a field, as decoding errors name it."""
    if node.shape == "list":
        return "[]" + go_type(node.element)
    if node.shape == "map":
        return "map[string]" + go_type(node.element)
    if node.shape == "struct":
        return f"v1.{node.name}"
    return GO_SCALARS.get(node.scalar, str(node.raw.get("format", "int64")))


def vanishes(value: Any, node: Node, field: GoField | None) -> bool:
    """Whether an empty value gets lost, because Go cannot tell it from none."""
    if field is None:
        return value in ({}, []) and node.shape in ("map", "list")
    if field.kind in "lmy":
        return value in ({}, [], "")
    return field.omit and field.kind in "sibf" and value in ("", 0, False)


def empty_object(node: Node) -> Json:
    """What a freshly made Go object looks like: the state before a create, for field ownership."""
    found: Json = {} if node.custom else Conversion("", "", defaulting=False).convert({}, node)
    return found
