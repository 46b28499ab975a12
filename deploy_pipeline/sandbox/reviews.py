"""Kinds that are questions: they are answered, never stored.

Everybody may do everything in a sandbox, so access reviews say yes; they exist because `kubectl auth` and careful
deployers ask.
"""

from __future__ import annotations

from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.kinds import Resource
from deploy_pipeline.sandbox.writes import now

EVERYTHING: Json = {
    "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    "incomplete": False,
}
STATUS: dict[str, Json] = {
    "SelfSubjectReview": {"userInfo": {"username": "sandbox", "groups": ["system:masters", "system:authenticated"]}},
    "SelfSubjectRulesReview": EVERYTHING,
}


def is_review(resource: Resource) -> bool:
    """Whether a resource can only be asked."""
    return list(resource.verbs) == ["create"]


def answer(resource: Resource, body: Json) -> Json:
    """The review with its answer."""
    metadata = {**body.get("metadata", {}), "creationTimestamp": now()}
    allowed = {"allowed": True, "reason": "the sandbox allows everything"}
    return {**body, "metadata": metadata, "status": STATUS.get(resource.kind, allowed)}
