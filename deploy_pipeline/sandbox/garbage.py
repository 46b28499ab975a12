"""What goes when something else goes: owners and dependents, namespaces, custom kinds, volumes.

Follows "Garbage Collection" in the Kubernetes documentation: background, foreground and orphan.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from deploy_pipeline.sandbox.controllers import BACKGROUND, Cluster
from deploy_pipeline.sandbox.deletes import CLEANUP, FOREGROUND, ORPHAN
from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.kinds import Target
from deploy_pipeline.sandbox.request import DeleteOptions
from deploy_pipeline.sandbox.store import Key
from deploy_pipeline.sandbox.writes import now

IN_FOREGROUND = DeleteOptions("Foreground")


def collect(cluster: Cluster, resource: str, value: Json) -> bool:
    """Move an object on its way out; True if it needs no reconciler any more."""
    metadata = value["metadata"]
    if "deletionTimestamp" in metadata:
        finalizers = metadata.get("finalizers", ())
        if ORPHAN in finalizers:
            _orphan_dependents(cluster, metadata["uid"])
            cluster.release(resource, value, ORPHAN)
        elif FOREGROUND in finalizers:
            if not _delete_dependents(cluster, metadata["uid"]):
                cluster.release(resource, value, FOREGROUND)
        else:
            return False
        return True
    return _collect_orphan(cluster, resource, value)


def _collect_orphan(cluster: Cluster, resource: str, value: Json) -> bool:
    owners = value["metadata"].get("ownerReferences", ())
    there = [owner for owner in owners if cluster.store.by_uid(owner["uid"])]
    if not owners or len(there) == len(owners):
        return False
    if there:
        metadata = {**value["metadata"], "ownerReferences": there}
        cluster.update(resource, value, {**value, "metadata": metadata}, status=False)
        return False
    cluster.delete(resource, value)
    return True


def _get(cluster: Cluster, key: Key) -> Json | None:
    return cluster.store.get(key.resource, key.namespace, key.name)


def _orphan_dependents(cluster: Cluster, uid: str) -> None:
    for key in cluster.store.dependents(uid):
        if child := _get(cluster, key):
            metadata = dict(child["metadata"])
            left = [owner for owner in metadata.pop("ownerReferences") if owner["uid"] != uid]
            if left:
                metadata["ownerReferences"] = left
            cluster.update(key.resource, child, {**child, "metadata": metadata}, status=False)


def _delete_dependents(cluster: Cluster, uid: str) -> bool:
    """Delete them in the foreground as well; True while one of them holds the owner back."""
    for key in cluster.store.dependents(uid):
        child = _get(cluster, key)
        if child and "deletionTimestamp" not in child["metadata"]:
            grandchildren = cluster.store.dependents(child["metadata"]["uid"])
            target = Target(cluster.resource(key.resource), key.namespace, key.name)
            cluster.deleter.delete(target, IN_FOREGROUND if grandchildren else BACKGROUND)
    left = [child for key in cluster.store.dependents(uid) if (child := _get(cluster, key))]
    return any(
        owner["uid"] == uid and owner.get("blockOwnerDeletion")
        for child in left
        for owner in child["metadata"]["ownerReferences"]
    )


def namespace(cluster: Cluster, value: Json) -> float | None:
    """Furnish a new namespace; empty one that is being deleted."""
    name = value["metadata"]["name"]
    if "deletionTimestamp" not in value["metadata"]:
        _furnish(cluster, name)
        return None
    for key in list(cluster.store.contents(name)):
        child = _get(cluster, key)
        if child and "deletionTimestamp" not in child["metadata"]:
            cluster.delete(key.resource, child)
    left = [child for key in cluster.store.contents(name) if (child := _get(cluster, key))]
    if left:
        status = {"phase": "Terminating", "conditions": _remaining(value, left)}
        cluster.update("namespaces", value, {**value, "status": status})
    else:
        cluster.store.delete("namespaces", {**value, "spec": {}})
    return None


def _furnish(cluster: Cluster, name: str) -> None:
    """What controllers put into every namespace; a deployer must not take it for its own."""
    certificate = {"ca.crt": "the sandbox has no certificates\n"}
    for resource, child, content in (
        ("serviceaccounts", "default", {}),
        ("configmaps", "kube-root-ca.crt", {"data": certificate}),
    ):
        if cluster.store.get(resource, name, child) is None:
            cluster.create(resource, None, {"metadata": {"name": child, "namespace": name}, **content})


def _remaining(value: Json, left: list[Json]) -> list[Json]:
    finalizers = Counter(f for child in left for f in child["metadata"].get("finalizers", ()))
    kinds = Counter(child["kind"].lower() + "s." for child in left)
    resources = ", ".join(f"{kind} has {n} resource instances" for kind, n in kinds.items())
    waiting = ", ".join(f"{name} in {n} resource instances" for name, n in finalizers.items())
    found = (
        ("NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered", "All resources successfully discovered"),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        ("NamespaceContentRemaining", "True", "SomeResourcesRemain", f"Some resources are remaining: {resources}"),
        (
            "NamespaceFinalizersRemaining",
            str(bool(waiting)),
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {waiting}",
        ),
    )
    before = {c["type"]: c for c in value.get("status", {}).get("conditions", ())}
    return [condition(before.get(kind), kind, state, reason, text) for kind, state, reason, text in found]


def condition(before: Json | None, kind: str, status: str, reason: str, message: str) -> Json:
    """A condition whose transition time moves only with its status."""
    same = before is not None and before["status"] == status
    moment: Any = before["lastTransitionTime"] if before and same else now()
    content = {"type": kind, "status": status, "lastTransitionTime": moment}
    return {**content, "reason": reason, "message": message}


def definition(cluster: Cluster, value: Json) -> float | None:
    """A CustomResourceDefinition takes its objects along."""
    if CLEANUP not in value["metadata"].get("finalizers", ()) or "deletionTimestamp" not in value["metadata"]:
        return None
    resource = value["metadata"]["name"]
    for child in cluster.store.objects(resource):
        if "deletionTimestamp" not in child["metadata"]:
            cluster.delete(resource, child)
    if not cluster.store.objects(resource):
        cluster.release("customresourcedefinitions.apiextensions.k8s.io", value, CLEANUP)
    return None


def volume(resource: str, finalizer: str) -> Any:
    """Volumes and claims are protected only while a pod uses them."""

    def reconcile(cluster: Cluster, value: Json) -> float | None:
        metadata = value["metadata"]
        if "deletionTimestamp" in metadata:
            if finalizer in metadata.get("finalizers", ()) and not _in_use(cluster, value):
                cluster.release(resource, value, finalizer)
                return None
            return 1.0 if finalizer in metadata.get("finalizers", ()) else None
        if resource != "persistentvolumeclaims" or value["status"].get("phase") != "Pending":
            return None
        wait = cluster.rollout_seconds - cluster.since(value)
        if wait > 0:
            return wait
        _bind(cluster, value)
        return None

    return reconcile


def _in_use(cluster: Cluster, value: Json) -> bool:
    metadata = value["metadata"]
    return any(
        entry.get("persistentVolumeClaim", {}).get("claimName") == metadata["name"]
        for pod in cluster.store.objects("pods", metadata.get("namespace", "-"))
        for entry in pod["spec"].get("volumes", ())
    )


def _bind(cluster: Cluster, claim: Json) -> None:
    """Pretend that a provisioner made a volume."""
    spec = {**claim["spec"], "volumeName": f"pvc-{claim['metadata']['uid']}"}
    status = {
        "phase": "Bound",
        "accessModes": spec["accessModes"],
        "capacity": {"storage": spec["resources"]["requests"]["storage"]},
    }
    cluster.update("persistentvolumeclaims", claim, {**claim, "spec": spec, "status": status})
