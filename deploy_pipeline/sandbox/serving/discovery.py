"""Discovery and OpenAPI v3: which kinds there are, and which fields they have.

"API Discovery" in the API concepts: one document of everything (aggregated) where `Accept` names it, otherwise a list
for each group and version. OpenAPI is what `kubectl explain`, client-side diffs and checks of `--validate` read; its
documents are made on first use and kept as bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from deploy_pipeline.sandbox.errors import Json, no_resource
from deploy_pipeline.sandbox.kinds import TABLE, Kinds, Resource
from deploy_pipeline.sandbox.request import Answer, Request

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
VERSION: Json = TABLE["version"]
SUBRESOURCE_KINDS: Mapping[str, Json] = TABLE["subresource kinds"]


def answer(parts: list[str], request: Request, kinds: Kinds) -> Answer:
    """GET of /apis and below, given the rest of the path; the core group's name is empty."""
    groups = kinds.groups()
    accept = request.accept.replace(" ", "") + ";"
    if parts in ([], [""]):
        if "as=APIGroupDiscoveryList" in accept and "v=v2;" in accept:
            return Answer(200, _aggregated(kinds, core=bool(parts)), media_type=AGGREGATED)
        if parts:
            servers = [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]
            return Answer(200, {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": servers})
        listed = [_group(name, versions) for name, versions in groups.items() if name]
        return Answer(200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed})
    if parts[0] not in groups:
        return Answer(404, "404 page not found\n", media_type="text/plain; charset=utf-8")
    if len(parts) == 1:
        return Answer(200, {"kind": "APIGroup", "apiVersion": "v1", **_group(parts[0], groups[parts[0]])})
    resources = kinds.at(parts[0], parts[1])
    if not resources:
        raise no_resource()
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": resources[0].group_version}
    return Answer(200, {**head, "resources": [entry for resource in resources for entry in _listed(resource)]})


def _group(name: str, versions: list[str]) -> Json:
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def _listed(resource: Resource) -> list[Json]:
    """A resource and its subresources in the list of a group version."""
    entry: Json = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
        **_names(resource),
    }
    if "list" in resource.verbs:
        text = f"{resource.group}/{resource.version}/{resource.kind}"
        entry["storageVersionHash"] = base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()
    more = {"singularName": "", "namespaced": resource.namespaced, "kind": resource.kind}
    return [entry] + [
        {"name": f"{resource.plural}/{name}", **more, **SUBRESOURCE_KINDS.get(name, {}), "verbs": list(verbs)}
        for name, verbs in sorted(resource.subresources.items())
    ]


def _names(resource: Resource) -> Json:
    found = {"shortNames": list(resource.short_names), "categories": list(resource.categories)}
    return {key: value for key, value in found.items() if value}


def _aggregated(kinds: Kinds, *, core: bool) -> Json:
    """/api or /apis as one document."""
    items = []
    for name, versions in kinds.groups().items():
        if bool(name) != core:
            entries = [
                {
                    "version": v,
                    "resources": [_aggregated_resource(r) for r in kinds.at(name, v)],
                    "freshness": "Current",
                }
                for v in versions
            ]
            items.append({"metadata": {"name": name} if name else {}, "versions": entries})
    head = {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}}
    return {**head, "items": items}


def _aggregated_resource(resource: Resource) -> Json:
    kind = {"group": "", "version": "", "kind": resource.kind}
    subresources = [
        {"subresource": name, "responseKind": {**kind, **SUBRESOURCE_KINDS.get(name, {})}, "verbs": list(verbs)}
        # The order of the generated paths: status comes before scale.
        for name, verbs in sorted(resource.subresources.items(), key=lambda item: item[0] == "scale")
    ]
    return {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
        **_names(resource),
        **({"subresources": subresources} if subresources else {}),
    }


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
