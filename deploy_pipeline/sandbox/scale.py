"""The scale subresource: how many replicas, for any workload that has some (autoscaling/v1 Scale)."""

from __future__ import annotations

from typing import Any

from deploy_pipeline.sandbox import patch
from deploy_pipeline.sandbox.body import read_json
from deploy_pipeline.sandbox.errors import Json, bad_request, conflict, invalid, invalid_value
from deploy_pipeline.sandbox.kinds import Resource
from deploy_pipeline.sandbox.request import Request, Target
from deploy_pipeline.sandbox.selectors import at_path
from deploy_pipeline.sandbox.writes import JSON_PATCH, Writer

KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def _paths(resource: Resource) -> tuple[str, str]:
    """Where the replicas stand in the spec and in the status."""
    found = resource.custom.get("subresources", {}).get("scale", {}) if resource.custom else {}
    spec = found.get("specReplicasPath", ".spec.replicas").lstrip(".")
    return spec, found.get("statusReplicasPath", ".status.replicas").lstrip(".")


def of(value: Json, resource: Resource) -> Json:
    """The Scale of an object; Go leaves zero replicas out of the spec."""
    spec, status = _paths(resource)
    labels = (at_path(value, "spec.selector") or {}).get("matchLabels", {})
    replicas = at_path(value, spec) or 0
    selector = ",".join(f"{key}={labels[key]}" for key in sorted(labels))
    state = {"replicas": at_path(value, status) or 0, **({"selector": selector} if selector else {})}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: value["metadata"][key] for key in KEPT if key in value["metadata"]},
        "spec": {"replicas": replicas} if replicas else {},
        "status": state,
    }


def change(writer: Writer, target: Target, request: Request) -> Json:
    """PUT or PATCH of the Scale."""
    resource = target.resource
    options = request.options("PatchOptions" if request.method == "PATCH" else "UpdateOptions")
    live = writer.live(target)
    wanted = _wanted(of(live, resource), request)
    version = wanted.get("metadata", {}).get("resourceVersion")
    if version and version != live["metadata"]["resourceVersion"]:
        raise conflict(resource.group, resource.plural, target.name)
    replicas = wanted.get("spec", {}).get("replicas") or 0
    if not isinstance(replicas, int) or replicas < 0:
        cause = invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid("autoscaling", "Scale", target.name, [cause])
    *parents, last = _paths(resource)[0].split(".")
    edit: Any = {last: replicas}
    for name in reversed(parents):
        edit = {name: edit}
    return of(writer.change(target, live, patch.merge_patch(live, edit), options), resource)


def _wanted(scale: Json, request: Request) -> Json:
    try:
        body, _ = read_json(request.body)
    except ValueError as error:
        raise bad_request(f"error decoding patch: {error}") from error
    if request.method == "PUT":
        found = body
    elif request.content_type == JSON_PATCH:
        found = patch.json_patch(scale, body)
    else:
        found = patch.merge_patch(scale, body)
    if not isinstance(found, dict):
        raise bad_request("the Scale has to be an object")
    return found
