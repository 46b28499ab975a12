"""Who an object belongs to, as its own labels and annotations say.

Deployers mark what they manage; two that manage the same object undo each other's work forever. So an object that bears
somebody else's mark is left alone unless a person says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy_pipeline.cluster.objects import helm_release_of, owner_of

# The tool, and the label or annotation by which it knows its objects again.
_TOOL_LABELS = {
    "applyset.kubernetes.io/part-of": "the ApplySet",  # KEP-3659
    "argocd.argoproj.io/instance": "the Argo CD application",
    "kustomize.toolkit.fluxcd.io/name": "the Flux Kustomization",
    "helm.toolkit.fluxcd.io/name": "the Flux HelmRelease",
    "kapp.k14s.io/app": "the kapp app",
}
_TOOL_ANNOTATIONS = {"argocd.argoproj.io/tracking-id": "the Argo CD application"}
PRUNE_ANNOTATION = "deploy-pipeline.io/prune"


def foreign_owner(live: Mapping[str, Any], channel: str, app: str, release: tuple[str, str] | None = None) -> str:
    """Whom a live object belongs to, in words, if not this app of this channel or its Helm release; else empty."""
    helm = helm_release_of(live)
    if helm and helm != release:
        return f"the Helm release {helm[0]}/{helm[1]}"
    owner = owner_of(live)
    if owner is not None:
        return f"app {owner[1]} of channel {owner[0]}" if owner != (channel, app) else ""
    return _tool(live) or _controller(live)


def is_kept(live: Mapping[str, Any]) -> bool:
    """Whether the object is annotated to stay when it leaves its app (``deploy-pipeline.io/prune: disabled``)."""
    annotations = live["metadata"].get("annotations") or {}
    return str(annotations.get(PRUNE_ANNOTATION, "")).strip().lower() == "disabled"


def _tool(live: Mapping[str, Any]) -> str:
    metadata = live["metadata"]
    marks = ((metadata.get("labels") or {}, _TOOL_LABELS), (metadata.get("annotations") or {}, _TOOL_ANNOTATIONS))
    found = [f"{tool} {given[key]}" for given, known in marks for key, tool in known.items() if key in given]
    return found[0] if found else ""


def _controller(live: Mapping[str, Any]) -> str:
    references = live["metadata"].get("ownerReferences") or ()
    found = [f"{owner['kind']} {owner['name']}" for owner in references if owner.get("controller")]
    return found[0] if found else ""
