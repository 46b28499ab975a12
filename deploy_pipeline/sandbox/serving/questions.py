"""What is answered and never stored: the Scale of a workload (autoscaling/v1), and access reviews.

Everybody may do everything in a sandbox, so reviews say yes; they exist because `kubectl auth` and careful deployers
ask.
"""

from __future__ import annotations

from typing import Any

from deploy_pipeline.sandbox.errors import Json, cause, invalid, refusal
from deploy_pipeline.sandbox.kinds import Resource, Target
from deploy_pipeline.sandbox.objects.selectors import at_path
from deploy_pipeline.sandbox.objects.writes import Writer, now
from deploy_pipeline.sandbox.request import Request
from deploy_pipeline.sandbox.schema import ANYTHING
from deploy_pipeline.sandbox.typed import patch
from deploy_pipeline.sandbox.typed.body import read_object

EVERYTHING: Json = {
    "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    "incomplete": False,
}
REVIEWS: dict[str, Json] = {
    "SelfSubjectReview": {"userInfo": {"username": "sandbox", "groups": ["system:masters", "system:authenticated"]}},
    "SelfSubjectRulesReview": EVERYTHING,
}
KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def _paths(resource: Resource) -> tuple[str, str]:
    """Where the replicas stand in the spec and in the status."""
    found = resource.custom.get("subresources", {}).get("scale", {})
    spec = found.get("specReplicasPath", ".spec.replicas").lstrip(".")
    return spec, found.get("statusReplicasPath", ".status.replicas").lstrip(".")


def scale(value: Json, resource: Resource) -> Json:
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


def rescale(writer: Writer, target: Target, request: Request) -> Json:
    """PUT or PATCH of the Scale."""
    resource, live = target.resource, writer.store.live(target)
    putting = request.method == "PUT"
    options = request.options("UpdateOptions" if putting else "PatchOptions")
    if putting:
        wanted = read_object(request.body, request.content_type)[0]
    else:
        wanted = patch.patched(scale(live, resource), request.body, request.content_type, ANYTHING)[1]
    version = wanted.get("metadata", {}).get("resourceVersion")
    if version and version != live["metadata"]["resourceVersion"]:
        raise refusal("Conflict", resource, target.name)
    replicas = wanted.get("spec", {}).get("replicas") or 0
    if not isinstance(replicas, int) or replicas < 0:
        problem = cause("Invalid", "spec.replicas", "must be greater than or equal to 0", replicas)
        raise invalid("autoscaling", "Scale", target.name, [problem])
    edit: Any = replicas
    for name in reversed(_paths(resource)[0].split(".")):
        edit = {name: edit}
    return scale(writer.change(target, live, patch.merge_patch(live, edit), options), resource)


def is_review(resource: Resource) -> bool:
    """Whether a resource can only be asked."""
    return list(resource.verbs) == ["create"]


def review(resource: Resource, body: Json) -> Json:
    """The review with its answer."""
    metadata = {**body.get("metadata", {}), "creationTimestamp": now()}
    allowed = {"allowed": True, "reason": "the sandbox allows everything"}
    return {**body, "metadata": metadata, "status": REVIEWS.get(resource.kind, allowed)}
