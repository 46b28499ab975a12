"""Settling the namespaces of an app's objects, whether or not the cluster serves their kinds yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deploy_pipeline.cluster.objects import Manifest
from deploy_pipeline.drivers.plan import Target


def located(
    target: Target, manifests: Sequence[Manifest], definitions: Sequence[Manifest] = ()
) -> tuple[Manifest, ...]:
    """The manifests with their namespaces settled, also those whose kind they or ``definitions`` bring."""
    scopes = {
        (spec["group"], spec["names"]["kind"]): spec["scope"] == "Namespaced"
        for spec in (m["spec"] for m in (*manifests, *definitions) if m["kind"] == "CustomResourceDefinition")
    }
    return tuple(_located_one(target, manifest, scopes) for manifest in manifests)


def _located_one(target: Target, manifest: Manifest, scopes: Mapping[tuple[str, str], bool]) -> Manifest:
    objects = target.cluster.objects
    if objects.serves(manifest):
        return objects.locate(manifest, target.app.namespace)
    group = str(manifest["apiVersion"]).rpartition("/")[0]
    if not scopes.get((group, manifest["kind"]), False):
        return manifest
    metadata: dict[str, Any] = dict(manifest["metadata"])
    metadata["namespace"] = metadata.get("namespace") or target.app.namespace or "default"
    return {**manifest, "metadata": metadata}
