"""OpenAPI v3: what `kubectl explain`, client-side diffs and checks of `--validate` read.

The documents hold the derived definitions of a group version and those paths that tell a client which parameters a
patch understands. They are made on first use and kept as bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.kinds import Kinds, Resource
from deploy_pipeline.sandbox.request import Answer, Request

FOREVER = {"Cache-Control": "public, immutable", "Expires": "Thu, 31 Dec 2099 00:00:00 GMT"}
PARAMETERS: list[Json] = [
    {"name": name, "in": "query", "schema": {"type": "boolean" if name == "force" else "string", "uniqueItems": True}}
    for name in ("dryRun", "fieldManager", "fieldValidation", "force")
]
ON_COLLECTIONS = {"post": "create", "get": "list"}
ON_OBJECTS = {"get": "get", "put": "update", "patch": "patch", "delete": "delete"}


class Documents:
    """The OpenAPI documents of everything that is served."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._made: dict[str, tuple[int, bytes]] = {}

    def answer(self, path: str, request: Request) -> Answer | None:
        """GET of /openapi/v3 and below; the hash in its links lets clients keep a document."""
        group, _, version = path.partition("/")[2].rpartition("/")
        resources = self._kinds.at(group, version)
        if not path:
            return Answer(200, {"paths": self._links()}, media_type="text/plain; charset=utf-8")
        if not resources and path != "version":
            return None
        made, document = self._made.get(path, (0, b""))
        if made != self._kinds.generation:
            document = json.dumps(self._make(resources)).encode()
            self._made[path] = (self._kinds.generation, document)
        return Answer(200, document, headers=FOREVER if "hash" in request.query else {})

    def _links(self) -> Json:
        links = {"version": {"serverRelativeURL": "/openapi/v3/version"}}
        for group, versions in self._kinds.groups().items():
            for version in versions:
                path = f"apis/{group}/{version}" if group else f"api/{version}"
                text = repr([(r.plural, r.custom) for r in self._kinds.at(group, version)])
                digest = hashlib.sha256(text.encode()).hexdigest().upper()
                links[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return links

    def _make(self, resources: list[Resource]) -> Json:
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes (simulated by the sandbox)", "version": "v1.36.2"},
            "paths": {path: item for resource in resources for path, item in _paths(resource).items()},
            "components": {"schemas": self._schemas(resources)},
        }

    def _schemas(self, resources: list[Resource]) -> Json:
        """The definitions of the resources and all that they refer to."""
        schemas: Json = {}
        for resource in resources:
            custom = ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])
            raw = {**resource.node.raw, "x-kubernetes-group-version-kind": [_gvk(resource)]}
            schemas[resource.node.definition or custom] = raw
        todo = list(schemas.values())
        while todo:
            for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(todo.pop())):
                if name not in schemas:
                    schemas[name] = self._kinds.definitions.raw[name]
                    todo.append(schemas[name])
        return {name: _published(schema) for name, schema in sorted(schemas.items())}


def _gvk(resource: Resource) -> Json:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


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


def _paths(resource: Resource) -> Json:
    base = f"/apis/{resource.group}" if resource.group else "/api"
    collection = f"{base}/{resource.version}{'/namespaces/{namespace}' * resource.namespaced}/{resource.plural}"
    common = {"responses": {"200": {"description": "OK"}}, "x-kubernetes-group-version-kind": _gvk(resource)}
    return {
        path: {
            method: {"parameters": PARAMETERS if method != "get" else [], "x-kubernetes-action": action, **common}
            for method, action in actions.items()
            if action in resource.verbs
        }
        for path, actions in ((collection, ON_COLLECTIONS), (f"{collection}/{{name}}", ON_OBJECTS))
    }
