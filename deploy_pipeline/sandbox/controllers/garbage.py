"""What goes when something else goes: owners and dependents, namespaces, custom kinds, volumes.

Follows "Garbage Collection" in the Kubernetes documentation: background, foreground and orphan.
"""

from __future__ import annotations

from collections import Counter

from deploy_pipeline.sandbox.controllers.engine import Cluster, condition
from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.kinds import DEFINITIONS
from deploy_pipeline.sandbox.objects.deletes import CLEANUP, FOREGROUND, ORPHAN

CLAIMS = "persistentvolumeclaims"
FOUND = "All resources successfully discovered"
PARSED = "All legacy kube types successfully parsed"
DELETED = "All content successfully deleted, may be waiting on finalization"


def collect(cluster: Cluster, resource: str, value: Json) -> bool:
    """Move an object on its way out; True if it needs no reconciler any more."""
    metadata = value["metadata"]
    if "deletionTimestamp" not in metadata:
        return _collect_orphan(cluster, resource, value)
    finalizers = metadata.get("finalizers", ())
    if ORPHAN in finalizers:
        for key, child in cluster.dependents(value):
            _disown(cluster, key.resource, child, {metadata["uid"]})
        cluster.release(resource, value, ORPHAN)
    elif FOREGROUND in finalizers and not _delete_dependents(cluster, value):
        cluster.release(resource, value, FOREGROUND)
    return ORPHAN in finalizers or FOREGROUND in finalizers


def _collect_orphan(cluster: Cluster, resource: str, value: Json) -> bool:
    """An object goes with the last of its owners."""
    owners = {owner["uid"] for owner in value["metadata"].get("ownerReferences", ())}
    gone = {uid for uid in owners if not cluster.store.by_uid(uid)}
    if not gone:
        return False
    if gone == owners:
        cluster.delete(resource, value)
    else:
        _disown(cluster, resource, value, gone)
    return gone == owners


def _disown(cluster: Cluster, resource: str, value: Json, owners: set[str]) -> None:
    metadata = dict(value["metadata"])
    if left := [owner for owner in metadata.pop("ownerReferences") if owner["uid"] not in owners]:
        metadata["ownerReferences"] = left
    cluster.update(resource, value, {**value, "metadata": metadata}, status=False)


def _delete_dependents(cluster: Cluster, owner: Json) -> bool:
    """Delete them in the foreground as well; True while one of them holds the owner back."""
    for key, child in cluster.dependents(owner):
        cluster.delete(key.resource, child, "Foreground" if cluster.dependents(child) else "Background")
    return any(
        reference["uid"] == owner["metadata"]["uid"] and reference.get("blockOwnerDeletion")
        for _, child in cluster.dependents(owner)
        for reference in child["metadata"]["ownerReferences"]
    )


def namespace(cluster: Cluster, value: Json) -> float | None:
    """Furnish a new namespace; empty one that is being deleted."""
    name = value["metadata"]["name"]
    if "deletionTimestamp" not in value["metadata"]:
        furnish(cluster, name)
        return None
    for key in cluster.store.contents(name):
        if child := cluster.store.get(*key):
            cluster.delete(key.resource, child)
    left = [child for key in cluster.store.contents(name) if (child := cluster.store.get(*key))]
    if left:
        status = {"phase": "Terminating", "conditions": _remaining(value, left)}
        cluster.update("namespaces", value, {**value, "status": status})
    else:
        cluster.store.delete("namespaces", {**value, "spec": {}})
    return None


def furnish(cluster: Cluster, name: str) -> None:
    """What controllers put into every namespace; a deployer must not take it for its own."""
    certificate = {"data": {"ca.crt": "the sandbox has no certificates\n"}}
    for resource, child, content in (
        ("serviceaccounts", "default", {}),
        ("configmaps", "kube-root-ca.crt", certificate),
    ):
        if cluster.store.get(resource, name, child) is None:
            cluster.create(resource, None, {"metadata": {"name": child, "namespace": name}, **content})


def _remaining(value: Json, left: list[Json]) -> list[Json]:
    finalizers = Counter(f for child in left for f in child["metadata"].get("finalizers", ()))
    kinds = Counter(child["kind"].lower() + "s." for child in left)
    resources = ", ".join(f"{kind} has {n} resource instances" for kind, n in kinds.items())
    waiting = ", ".join(f"{name} in {n} resource instances" for name, n in finalizers.items())
    held = f"Some content in the namespace has finalizers remaining: {waiting}"
    before = {c["type"]: c for c in value.get("status", {}).get("conditions", ())}
    return [
        condition(before.get(f"Namespace{kind}"), f"Namespace{kind}", status, reason, text)
        for kind, status, reason, text in (
            ("DeletionDiscoveryFailure", "False", "ResourcesDiscovered", FOUND),
            ("DeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions", PARSED),
            ("DeletionContentFailure", "False", "ContentDeleted", DELETED),
            ("ContentRemaining", "True", "SomeResourcesRemain", f"Some resources are remaining: {resources}"),
            ("FinalizersRemaining", str(bool(waiting)), "SomeFinalizersRemain", held),
        )
    ]


def definition(cluster: Cluster, value: Json) -> float | None:
    """A CustomResourceDefinition takes its objects along."""
    if CLEANUP in value["metadata"].get("finalizers", ()) and "deletionTimestamp" in value["metadata"]:
        resource = value["metadata"]["name"]
        for child in cluster.store.objects(resource):
            cluster.delete(resource, child)
        if not cluster.store.objects(resource):
            cluster.release(DEFINITIONS, value, CLEANUP)
    return None


def volume(cluster: Cluster, value: Json) -> float | None:
    """PersistentVolume: nothing here uses one, so nothing protects it."""
    finalizer = "kubernetes.io/pv-protection"
    if "deletionTimestamp" in value["metadata"] and finalizer in value["metadata"].get("finalizers", ()):
        cluster.release("persistentvolumes", value, finalizer)
    return None


def claim(cluster: Cluster, value: Json) -> float | None:
    """PersistentVolumeClaim: bound after a while to a made-up volume, and protected while a pod uses it."""
    metadata = value["metadata"]
    if "deletionTimestamp" in metadata:
        in_use = any(
            entry.get("persistentVolumeClaim", {}).get("claimName") == metadata["name"]
            for pod in cluster.store.objects("pods", metadata["namespace"])
            for entry in pod["spec"].get("volumes", ())
        )
        if in_use:
            return 1.0
        if "kubernetes.io/pvc-protection" in metadata.get("finalizers", ()):
            cluster.release(CLAIMS, value, "kubernetes.io/pvc-protection")
        return None
    if value["status"].get("phase") != "Pending":
        return None
    if (wait := cluster.rollout_seconds - cluster.since(value)) > 0:
        return wait
    spec = {**value["spec"], "volumeName": f"pvc-{metadata['uid']}"}
    capacity = {"storage": spec["resources"]["requests"]["storage"]}
    status = {"phase": "Bound", "accessModes": spec["accessModes"], "capacity": capacity}
    cluster.update(CLAIMS, value, {**value, "spec": spec, "status": status})
    return None
