"""Validates custom objects against their structural schema, in the words of kube-openapi's validator.

CEL rules (`x-kubernetes-validations`) are not evaluated: the sandbox has no CEL interpreter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from deploy_pipeline.sandbox.errors import Cause, Json, cause, text_of, unsupported

TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "object": (dict,),
    "array": (list,),
    "string": (str,),
}
SIZES = (  # type, its lower and upper bound, how it is said
    (str, "minLength", "maxLength", "be at {} {} chars long"),
    (list, "minItems", "maxItems", "have at {} {} items"),
    (dict, "minProperties", "maxProperties", "have at {} {} properties"),
)


def _has_type(value: Any, name: str) -> bool:
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, TYPES.get(name, ())) and isinstance(value, bool) == (name == "boolean")


def validate(value: Any, schema: Json, path: str) -> list[Cause]:
    """Everything about the value that its schema forbids."""
    if value is None and schema.get("nullable"):
        return []
    wanted = "integer,string" if schema.get("x-kubernetes-int-or-string") else schema.get("type", "")
    if wanted and not any(_has_type(value, name) for name in wanted.split(",")):
        found = next((name for name in TYPES if _has_type(value, name)), "null")
        return [cause("TypeInvalid", path or "<nil>", f'{path} in body must be of type {wanted}: "{found}"', found)]
    if "enum" in schema and value not in schema["enum"]:
        return [unsupported(path, value, schema["enum"])]
    complaints = [*_limits(value, schema), *_combinations(value, schema, path)]
    return [cause("Invalid", path, f"{path} in body {text}", value) for text in complaints] + _parts(
        value, schema, path
    )


def _parts(value: Any, schema: Json, path: str) -> list[Cause]:
    causes = [found for part in schema.get("allOf", ()) for found in validate(value, part, path)]
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            causes += validate(item, schema["items"], f"{path}[{index}]")
    if isinstance(value, dict):
        prefix = f"{path}." if path else ""
        causes += [cause("Required", prefix + key) for key in schema.get("required", ()) if key not in value]
        for key, item in value.items():
            below = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if isinstance(below, dict) and "$ref" not in below:
                causes += validate(item, below, prefix + key)
    return causes


def _combinations(value: Any, schema: Json, path: str) -> Iterator[str]:
    for name, text in (("anyOf", "at least one schema (anyOf)"), ("oneOf", "one and only one schema (oneOf)")):
        fitting = sum(not validate(value, part, path) for part in schema.get(name, ()))
        if schema.get(name) and (not fitting or (name == "oneOf" and fitting > 1)):
            yield f"must validate {text}"
    if "not" in schema and not validate(value, schema["not"], path):
        yield "must not validate the schema (not)"


def _limits(value: Any, schema: Json) -> Iterator[str]:
    """Bounds of numbers, sizes and patterns that do not hold."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        for bound, exclusive, sign, words in (
            ("minimum", "exclusiveMinimum", 1, "greater than"),
            ("maximum", "exclusiveMaximum", -1, "less than"),
        ):
            gap = (value - schema[bound]) * sign if bound in schema else 1
            if gap < 0 or (gap == 0 and schema.get(exclusive)):
                yield f"should be {words}{'' if schema.get(exclusive) else ' or equal to'} {text_of(schema[bound])}"
        if schema.get("multipleOf") and value % schema["multipleOf"]:
            yield f"should be a multiple of {text_of(schema['multipleOf'])}"
    for kind, least, most, words in SIZES:
        if isinstance(value, kind) and len(value) < schema.get(least, 0):
            yield "should " + words.format("least", schema[least])
        if isinstance(value, kind) and len(value) > schema.get(most, len(value)):
            yield "should " + words.format("most", schema[most])
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"should match '{schema['pattern']}'"
