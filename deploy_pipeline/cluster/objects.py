"""Kubernetes objects as values: how an object is named, ordered and labelled.

Everything above speaks of objects by :class:`ObjectRef`, which leaves the API version out: the same object can be read
through several versions, and an inventory must still know it after its version moved on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Manifest = dict[str, Any]

FIELD_MANAGER = "deploy-pipeline"
CHANNEL_LABEL = "deploy-pipeline.io/channel"
APP_LABEL = "deploy-pipeline.io/app"

BUILT_IN_GROUPS = frozenset(
    "apps autoscaling batch extensions policy admissionregistration.k8s.io apiextensions.k8s.io certificates.k8s.io "
    "coordination.k8s.io discovery.k8s.io events.k8s.io flowcontrol.apiserver.k8s.io networking.k8s.io node.k8s.io "
    "rbac.authorization.k8s.io resource.k8s.io scheduling.k8s.io storage.k8s.io".split()
) | {""}
"""The API groups of Kubernetes itself (k8s.io/client-go, ``kubernetes/scheme``); others may bear such names, too."""

# What others stand on goes first (and is deleted last).
_FIRST = (
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("", "Namespace"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "StorageClass"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("", "ServiceAccount"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
    ("", "Secret"),
    ("", "ConfigMap"),
    ("", "PersistentVolumeClaim"),
    ("", "Service"),
)
_RANK = {kind: rank for rank, kind in enumerate(_FIRST)}


class ObjectRef(NamedTuple):
    """Names one object of a cluster; ``namespace`` is empty for cluster-wide kinds."""

    group: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> ObjectRef:
        """The name of a manifest as it stands, without looking up whether its kind is namespaced."""
        group, _, _ = manifest["apiVersion"].rpartition("/")
        metadata = manifest["metadata"]
        return cls(group, manifest["kind"], metadata.get("namespace") or "", metadata["name"])

    @property
    def rank(self) -> int:
        """Position in the order of application; all kinds nobody stands on share the last one."""
        return _RANK.get((self.group, self.kind), len(_FIRST))

    @property
    def is_foundation(self) -> bool:
        """Whether objects of *other* apps may stand on it: CRDs, namespaces and cluster-wide policies."""
        return self.rank <= _RANK[("rbac.authorization.k8s.io", "ClusterRoleBinding")]

    def __str__(self) -> str:
        kind = f"{self.kind}.{self.group}" if self.group and "." in self.group else self.kind
        return f"{kind} {self.namespace}/{self.name}" if self.namespace else f"{kind} {self.name}"


def resource_version(live: Mapping[str, Any] | None) -> str:
    """The resource version of a live object, empty if there is none."""
    return str(live["metadata"]["resourceVersion"]) if live else ""


def defined_kinds(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """API version and kind of all that a CustomResourceDefinition lets be served; nothing for other objects."""
    if manifest["kind"] == "CustomResourceDefinition":
        spec = manifest["spec"]
        served = (version["name"] for version in spec["versions"] if version.get("served"))
        yield from ((f"{spec['group']}/{version}", spec["names"]["kind"]) for version in served)


def owner_of(manifest: Mapping[str, Any]) -> tuple[str, str] | None:
    """Channel and app that an object's labels name as its owner, or None."""
    labels = manifest.get("metadata", {}).get("labels") or {}
    channel, app = labels.get(CHANNEL_LABEL), labels.get(APP_LABEL)
    return (channel, app) if channel and app else None


def helm_release_of(manifest: Mapping[str, Any]) -> tuple[str, str] | None:
    """Namespace and name of the Helm release that an object's annotations name as its owner, or None."""
    annotations = manifest.get("metadata", {}).get("annotations") or {}
    name = annotations.get("meta.helm.sh/release-name")
    return (annotations.get("meta.helm.sh/release-namespace", ""), name) if name else None
