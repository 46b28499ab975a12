"""Validates custom objects against their structural schema.

The words are those of kube-openapi's validator. CEL rules (`x-kubernetes-validations`) are not
evaluated: the sandbox has no CEL interpreter.
"""

from __future__ import annotations

import re
from typing import Any

from deploy_pipeline.sandbox.errors import Cause, Json, invalid_value, required, text_of, unsupported

TYPES: dict[str, type] = {"object": dict, "array": list, "string": str, "boolean": bool}


def _has_type(value: Any, name: str) -> bool:
    if name in ("integer", "number"):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and (name == "number" or value == int(value))
    return isinstance(value, TYPES.get(name, object))


def _type_name(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "integer" if isinstance(value, int) else "number"
    return next((name for name, kind in TYPES.items() if isinstance(value, kind)), "null")


def validate(value: Any, schema: Json, path: str) -> list[Cause]:
    """Everything about the value that its schema forbids."""
    if value is None and schema.get("nullable"):
        return []
    if schema.get("x-kubernetes-int-or-string"):
        wanted = "" if isinstance(value, (int, str)) else "integer,string"
    else:
        wanted = schema.get("type", "")
    if wanted and not _has_type(value, wanted):
        found = _type_name(value)
        text = f'{path} in body must be of type {wanted}: "{found}"'
        cause = invalid_value(path or "<nil>", found, text)
        return [Cause("FieldValueTypeInvalid", cause.message, cause.field)]
    if "enum" in schema and value not in schema["enum"]:
        return [unsupported(path, value, schema["enum"])]
    causes = [invalid_value(path, value, f"{path} in body {text}") for text in _limits(value, schema)]
    if isinstance(value, dict):
        causes += _validate_object(value, schema, path)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            causes += validate(item, schema["items"], f"{path}[{index}]")
    return causes + _validate_combinations(value, schema, path)


def _validate_object(value: Json, schema: Json, path: str) -> list[Cause]:
    prefix = f"{path}." if path else ""
    properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
    causes = [required(prefix + key) for key in schema.get("required", ()) if key not in value]
    for key, item in value.items():
        below = properties.get(key, rest)
        if isinstance(below, dict) and "$ref" not in below:
            causes += validate(item, below, prefix + key)
    return causes


def _validate_combinations(value: Any, schema: Json, path: str) -> list[Cause]:
    causes = [cause for part in schema.get("allOf", ()) for cause in validate(value, part, path)]
    for name, text in (("anyOf", "at least one schema (anyOf)"), ("oneOf", "one and only one schema (oneOf)")):
        parts = schema.get(name)
        fitting = sum(not validate(value, part, path) for part in parts or ())
        if parts and (not fitting or (name == "oneOf" and fitting > 1)):
            causes.append(invalid_value(path, value, f"{path} in body must validate {text}"))
    if "not" in schema and not validate(value, schema["not"], path):
        causes.append(invalid_value(path, value, f"{path} in body must not validate the schema (not)"))
    return causes


def _limits(value: Any, schema: Json) -> list[str]:
    """Bounds of numbers, lengths and patterns that do not hold."""
    found = []
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        found += _number_limits(value, schema)
    for kind, less, more, unit in (
        (str, "minLength", "maxLength", "chars long"),
        (list, "minItems", "maxItems", "items"),
        (dict, "minProperties", "maxProperties", "properties"),
    ):
        if isinstance(value, kind):
            verb = "be" if kind is str else "have"
            if len(value) < schema.get(less, 0):
                found.append(f"should {verb} at least {schema[less]} {unit}")
            if len(value) > schema.get(more, len(value)):
                found.append(f"should {verb} at most {schema[more]} {unit}")
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"should match '{schema['pattern']}'")
    return found


def _number_limits(value: float, schema: Json) -> list[str]:
    found = []
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if low is not None and (value < low or (schema.get("exclusiveMinimum") and value == low)):
        words = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        found.append(f"should be {words} {text_of(low)}")
    if high is not None and (value > high or (schema.get("exclusiveMaximum") and value == high)):
        words = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        found.append(f"should be {words} {text_of(high)}")
    if step and value % step:
        found.append(f"should be a multiple of {text_of(step)}")
    return found
