"""GitHub's own description of its API, and what it says about one request and its answer.

``openapi.json`` is cut from the npm package ``@octokit/openapi`` 23.0.2 (MIT): the paths this project uses, without
prose. Holding the stand-in *and* the client to it keeps both from agreeing on something GitHub never said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema_rs

_FILE = Path(__file__).with_name("openapi.json")
_VARIANTS = ("allOf", "anyOf", "oneOf")
# Where real GitHub answers null though its description has no null: forks that are gone, organisations without profile.
_NULL_IN_FACT = {
    "pull-request": ("head.repo", "head.user", "head.label"),
    "pull-request-simple": ("head.repo", "head.user", "head.label"),
}


@dataclass(frozen=True)
class Operation:
    """One operation of the description: its path template, its parameters and its document."""

    path: str
    method: str
    document: Mapping[str, Any]
    arguments: Mapping[str, str]


def find_operation(method: str, path: str) -> Operation | None:
    """The operation that a request means, if it is described."""
    for template, pattern, operations in _templates():
        match = pattern.fullmatch(path)
        if match and method.lower() in operations:
            arguments = {name: unquote(value) for name, value in match.groupdict().items()}
            return Operation(template, method, operations[method.lower()], arguments)
    return None


def request_faults(operation: Operation, query: Mapping[str, str], body: Any) -> list[str]:
    """What of a request the description does not know, or forbids."""
    known = {p["name"]: p for p in _parameters(operation) if p["in"] == "query"}
    faults = [f"query parameter `{name}` is not described" for name in query if name not in known]
    for name, value in query.items():
        if name in known:
            faults += _faults(known[name]["schema"], _typed(known[name]["schema"], value))
    content = operation.document.get("requestBody", {})
    schema = content.get("content", {}).get("application/json", {}).get("schema")
    if body is None:
        return faults + (["the body is missing"] if content.get("required") else [])
    if schema is None:
        return [*faults, "a body is not described"]
    undescribed = set(body) - set(_resolve(schema).get("properties", body)) if isinstance(body, dict) else set()
    return [*faults, *(f"`{name}` is not described" for name in sorted(undescribed)), *_faults(schema, body)]


def answer_faults(operation: Operation, status: int, body: Any) -> list[str]:
    """What of an answer is not as described. Errors and redirects that are not must be GitHub's general document."""
    responses = operation.document["responses"]
    described = _resolve(responses[str(status)]) if str(status) in responses else None
    if described is None and status < 300:
        return [f"status {status} is not described"]
    if status in (204, 304):
        return [] if body is None else [f"status {status} has a body"]
    schema = (described or {}).get("content", {}).get("application/json", {}).get("schema")
    return _faults(schema or {"$ref": "#/components/schemas/basic-error"}, body)


def schema(name: str) -> Mapping[str, Any]:
    """A schema of the description by name."""
    found: Mapping[str, Any] = _description()["components"]["schemas"][name]
    return found


def flat(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema without references: the first variant stands for all; ``nullable`` as described."""
    part = _resolve(part)
    for variant in _VARIANTS:
        if variant in part:
            nullable = part.get("nullable", False)
            return {**flat(part[variant][0]), **({"nullable": True} if nullable else {})}
    return part


def _parameters(operation: Operation) -> list[Mapping[str, Any]]:
    return [_resolve(parameter) for parameter in operation.document.get("parameters", [])]


def _resolve(part: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in part:
        kind, name = part["$ref"].split("/")[-2:]
        part = _description()["components"][kind][name]
    return part


def _typed(schema: Mapping[str, Any], text: str) -> Any:
    kind = _resolve(schema).get("type")
    if kind == "integer" and text.isdigit():
        return int(text)
    return text == "true" if kind == "boolean" else text


def _faults(schema: Mapping[str, Any], value: Any) -> list[str]:
    return [
        f"{'.'.join(map(str, e.instance_path))}: {e.message[:300]}" for e in _validator(_key(schema)).iter_errors(value)
    ]


def _key(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, sort_keys=True)


@cache
def _validator(key: str) -> Any:
    schema = {**_with_nulls(json.loads(key)), "components": _components()}
    return jsonschema_rs.Draft7Validator(schema if "$ref" not in schema else _behind_reference(schema))


def _behind_reference(schema: dict[str, Any]) -> dict[str, Any]:
    """Draft 7 ignores what stands beside a ``$ref``, and so the components it points into."""
    return {"allOf": [{"$ref": schema.pop("$ref")}], **schema}


@cache
def _components() -> Any:
    schemas = json.loads(json.dumps(_description()["components"]["schemas"]))
    for name, paths in _NULL_IN_FACT.items():
        for path in paths:
            part, last = schemas[name], path.split(".")[-1]
            for step in path.split(".")[:-1]:
                part = part["properties"][step]
            part["properties"][last] = {"anyOf": [part["properties"][last], {"type": "null"}]}
    return {"schemas": {name: _with_nulls(part) for name, part in schemas.items()}}


def _with_nulls(part: Any) -> Any:
    """OpenAPI 3.0's ``nullable`` in the words of JSON schema."""
    if isinstance(part, list):
        return [_with_nulls(item) for item in part]
    if not isinstance(part, dict):
        return part
    converted = {key: _with_nulls(value) for key, value in part.items() if key != "nullable"}
    return {"anyOf": [converted, {"type": "null"}]} if part.get("nullable") is True else converted


@cache
def _description() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(_FILE.read_text())
    return loaded


@cache
def _templates() -> list[tuple[str, re.Pattern[str], Mapping[str, Any]]]:
    def pattern(template: str, operations: Mapping[str, Any]) -> re.Pattern[str]:
        wide = {
            parameter["name"]
            for operation in operations.values()
            for parameter in map(_resolve, operation.get("parameters", []))
            if parameter.get("x-multi-segment")
        }
        parts = re.split(r"\{(\w+)\}", template)
        regex = "".join(
            f"(?P<{part}>{'.+' if part in wide else '[^/]+'})" if index % 2 else re.escape(part)
            for index, part in enumerate(parts)
        )
        return re.compile(regex)

    paths: Mapping[str, Any] = _description()["paths"]
    # A longer template is the more exact one: `commits/{ref}/status` before `commits/{ref}`.
    ordered = sorted(paths, key=lambda template: (-template.count("/"), template.count("{"), template))
    return [(template, pattern(template, paths[template]), paths[template]) for template in ordered]
