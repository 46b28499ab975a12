"""What Helm 3 would make of an object: it does not apply on the server, but creates and patches.

Each object is tried in the way that Helm 3 writes it: a POST for one that is missing; for one that is there a PATCH
computed from the manifest of the last revision, the live object and the new manifest. (Helm 3: ``createPatch`` in
``pkg/kube/client.go``.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deploy_pipeline.cluster.apply import rejection
from deploy_pipeline.cluster.objects import BUILT_IN_GROUPS, Manifest, ObjectRef
from deploy_pipeline.cluster.patch_schemas import patch_schema
from deploy_pipeline.drivers.plan import Target
from deploy_pipeline.drivers.steps import Attempt
from deploy_pipeline.drivers.three_way import merge_patch, strategic_patch

_QUERY = {"dryRun": "All", "fieldManager": "helm"}
_MERGE = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"


def attempt_of_helm_3(target: Target, base: Sequence[Manifest]) -> Attempt:
    """Tries objects as Helm 3 writes them; ``base`` are those of the revision that it compares with."""
    originals = {ObjectRef.of(manifest): manifest for manifest in base}

    def attempt(sent: Manifest, live: Manifest | None) -> Manifest | None:
        if not target.cluster.objects.serves(sent):
            return None
        if live is None:
            return _try(target, sent, "POST", sent, "application/json")
        # What is there, and not in the last revision, Helm compares with what it is to be.
        original = originals.get(ObjectRef.of(sent), sent)
        patch, media_type = _patch(target, original, sent, live)
        return _try(target, sent, "PATCH", patch, media_type) if patch else live

    return attempt


def _patch(target: Target, original: Manifest, sent: Manifest, live: Manifest) -> tuple[dict[str, Any], str]:
    group = sent["apiVersion"].rpartition("/")[0]
    if group not in BUILT_IN_GROUPS:  # Helm has types for these alone
        return merge_patch(original, sent), _MERGE
    schema = patch_schema(target.cluster.connection, sent["apiVersion"], sent["kind"])
    return strategic_patch(original, sent, live, schema), _STRATEGIC


def _try(target: Target, sent: Manifest, method: str, body: Mapping[str, Any], media_type: str) -> Manifest | None:
    metadata = sent["metadata"]
    path = target.cluster.resources.of(sent).path(metadata.get("namespace") or "default", metadata["name"])
    if method == "POST":
        path = path.rpartition("/")[0]
    answer = target.cluster.connection.send(method, path, _QUERY, body, media_type)
    if answer.status == 404:  # its namespace is made by the same release
        return None
    if not answer.ok:
        raise rejection(ObjectRef.of(sent), answer, "dry run", target.cluster.redactor)
    return answer.body
