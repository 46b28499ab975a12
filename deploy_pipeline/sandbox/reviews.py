"""Kinds that are questions: they are answered, never stored.

Everybody may do everything in a sandbox, so access reviews say yes; they exist because `kubectl auth`
and careful deployers ask.
"""

from __future__ import annotations

from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.kinds import Kinds, Resource
from deploy_pipeline.sandbox.request import Target
from deploy_pipeline.sandbox.writes import now

USER: Json = {"username": "sandbox", "groups": ["system:masters", "system:authenticated"]}
EVERYTHING: Json = {
    "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    "incomplete": False,
}
STATUS: dict[str, Json] = {
    "SelfSubjectReview": {"userInfo": USER},
    "SelfSubjectRulesReview": EVERYTHING,
    "TokenReview": {"authenticated": True, "user": USER},
}
ALLOWED: Json = {"allowed": True, "reason": "the sandbox allows everything"}


def is_review(resource: Resource, subresource: str) -> bool:
    """Whether a resource can only be asked."""
    return not resource.custom and (subresource == "token" or resource.verbs == ("create",))


def answer(target: Target, body: Json, kinds: Kinds) -> Json:
    """The review with its answer."""
    kind = body.get("kind", target.resource.kind)
    if target.subresource == "token":
        status: Json = {"token": "sandbox", "expirationTimestamp": now()}
    else:
        status = STATUS.get(kind, ALLOWED)
    metadata = {**body.get("metadata", {}), "creationTimestamp": now()}
    return {**body, "metadata": metadata, "status": status}
