"""The scale subresource: how many replicas, for any workload that has some (autoscaling/v1 Scale)."""

from __future__ import annotations

from typing import Any

from deploy_pipeline.sandbox import patch
from deploy_pipeline.sandbox.body import read_object
from deploy_pipeline.sandbox.errors import Json, cause, conflict, invalid
from deploy_pipeline.sandbox.kinds import Resource, Target
from deploy_pipeline.sandbox.request import Request
from deploy_pipeline.sandbox.schema import ANYTHING
from deploy_pipeline.sandbox.selectors import at_path
from deploy_pipeline.sandbox.writes import Writer

KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def _paths(resource: Resource) -> tuple[str, str]:
    """Where the replicas stand in the spec and in the status."""
    found = resource.custom.get("subresources", {}).get("scale", {})
    spec = found.get("specReplicasPath", ".spec.replicas").lstrip(".")
    return spec, found.get("statusReplicasPath", ".status.replicas").lstrip(".")


def of(value: Json, resource: Resource) -> Json:
    """The Scale of an object; Go leaves zero replicas out of the spec."""
    spec, status = (at_path(value, path) or 0 for path in _paths(resource))
    labels = (at_path(value, "spec.selector") or {}).get("matchLabels", {})
    selector = ",".join(f"{key}={labels[key]}" for key in sorted(labels))
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: value["metadata"][key] for key in KEPT if key in value["metadata"]},
        "spec": {"replicas": spec} if spec else {},
        "status": {"replicas": status, **({"selector": selector} if selector else {})},
    }


def change(writer: Writer, target: Target, request: Request) -> Json:
    """PUT or PATCH of the Scale."""
    resource, live = target.resource, writer.live(target)
    putting = request.method == "PUT"
    options = request.options("UpdateOptions" if putting else "PatchOptions")
    if putting:
        wanted = read_object(request.body, request.content_type)[0]
    else:
        wanted = patch.patched(of(live, resource), request.body, request.content_type, ANYTHING)[1]
    version = wanted.get("metadata", {}).get("resourceVersion")
    if version and version != live["metadata"]["resourceVersion"]:
        raise conflict(resource, target.name)
    replicas = wanted.get("spec", {}).get("replicas") or 0
    if not isinstance(replicas, int) or replicas < 0:
        problem = cause("Invalid", "spec.replicas", "must be greater than or equal to 0", replicas)
        raise invalid("autoscaling", "Scale", target.name, [problem])
    edit: Any = replicas
    for name in reversed(_paths(resource)[0].split(".")):
        edit = {name: edit}
    return of(writer.change(target, live, patch.merge_patch(live, edit), options), resource)
