"""OpenAPI v3: what `kubectl explain`, client-side diffs and checks of `--validate` read.

The documents hold the derived definitions of a group version and those paths that tell a client which
parameters a patch understands. They are made on first use and kept as bytes.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from typing import Any

from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.kinds import Kinds, Resource

PARAMETERS: list[Json] = [
    {"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": True}}
    for name, kind in (
        ("dryRun", "string"),
        ("fieldManager", "string"),
        ("fieldValidation", "string"),
        ("force", "boolean"),
    )
]
ACTIONS = {"post": "create", "put": "update", "patch": "patch", "delete": "delete", "get": "get"}


class Documents:
    """The OpenAPI documents of everything that is served."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._made: dict[tuple[int, str], bytes] = {}
        self._lock = threading.Lock()

    def index(self) -> Json:
        """/openapi/v3: where the documents are; the hash lets clients keep them."""
        paths = {}
        for group, versions in self._kinds.groups().items():
            for version in versions:
                path = f"apis/{group}/{version}" if group else f"api/{version}"
                resources = self._kinds.at(group, version)
                text = repr([(r.plural, r.custom or r.definition) for r in resources])
                digest = hashlib.sha256(text.encode()).hexdigest().upper()
                paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return {"paths": {**paths, "version": {"serverRelativeURL": "/openapi/v3/version"}}}

    def document(self, path: str) -> bytes | None:
        """/openapi/v3/PATH."""
        parts = path.split("/")
        group, version = ("", parts[-1]) if parts[0] == "api" else ("/".join(parts[1:-1]), parts[-1])
        resources = self._kinds.at(group, version)
        if path != "version" and not resources:
            return None
        key = (self._kinds.generation if any(r.custom for r in resources) else 0, path)
        with self._lock:
            if key not in self._made:
                self._made[key] = json.dumps(self._make(resources)).encode()
            return self._made[key]

    def _make(self, resources: list[Resource]) -> Json:
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes (simulated by the sandbox)", "version": "v1.36.2"},
            "paths": {path: item for resource in resources for path, item in _paths(resource)},
            "components": {"schemas": self._schemas(resources)},
        }

    def _schemas(self, resources: list[Resource]) -> Json:
        raw = self._kinds.definitions.raw
        schemas: Json = {}
        todo = []
        for resource in resources:
            if resource.custom:
                name = _custom_name(resource)
                schemas[name] = {**resource.node.raw, "x-kubernetes-group-version-kind": [_gvk(resource)]}
                todo += list(_references(schemas[name]))
            else:
                todo.append(resource.definition)
        while todo:
            name = todo.pop()
            if name not in schemas:
                schemas[name] = raw[name]
                todo += list(_references(raw[name]))
        return {name: _published(schema) for name, schema in sorted(schemas.items())}


def _custom_name(resource: Resource) -> str:
    reverse = ".".join(reversed(resource.group.split(".")))
    return f"{reverse}.{resource.version}.{resource.kind}"


def _gvk(resource: Resource) -> Json:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rpartition("/")[2]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _published(node: Any) -> Any:
    """OpenAPI v3 allows nothing beside `$ref`, so a described reference is an `allOf`."""
    if isinstance(node, list):
        return [_published(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: _published(value) for key, value in node.items()}
    if isinstance(found.get("$ref"), str) and len(found) > 1:
        found["allOf"] = [{"$ref": found.pop("$ref")}]
    return found


def _paths(resource: Resource) -> Iterator[tuple[str, Json]]:
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    middle = "/namespaces/{namespace}" if resource.namespaced else ""
    collection = f"{base}{middle}/{resource.plural}"
    one = {"put", "patch", "delete", "get"}
    yield collection, _operations(resource, set(ACTIONS) - one)
    yield f"{collection}/{{name}}", _operations(resource, one)


def _operations(resource: Resource, methods: set[str]) -> Json:
    return {
        method: {
            "parameters": PARAMETERS if method != "get" else [],
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": _gvk(resource),
        }
        for method, action in ACTIONS.items()
        if method in methods and action in resource.verbs
    }
