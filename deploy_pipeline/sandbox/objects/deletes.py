"""Deleting: preconditions, finalizers, propagation policies, and whole collections.

An object with finalizers only gets a deletionTimestamp; whoever removes the last finalizer removes the object. What
follows for dependents is the garbage collector's business (`garbage`).
"""

from __future__ import annotations

from deploy_pipeline.sandbox.errors import ApiError, Json, refusal
from deploy_pipeline.sandbox.kinds import DEFINITIONS, Resource, Target
from deploy_pipeline.sandbox.objects.store import Store
from deploy_pipeline.sandbox.objects.writes import now
from deploy_pipeline.sandbox.request import DeleteOptions

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
PROTECTED = ("default", "kube-system", "kube-public", "kube-node-lease")
JOB_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)


def delete(store: Store, target: Target, options: DeleteOptions) -> Json:
    """DELETE of one object: what is answered."""
    resource, live = target.resource, store.live(target)
    _check(resource, live, options)
    policy = options.policy
    if resource.key == "jobs.batch" and not policy:
        options.warnings.append(JOB_WARNING)
        policy = "Orphan"
    finalizers = _finalizers(resource, live, policy)
    marked = _marked(resource, live, finalizers)
    if finalizers or resource.key == "namespaces":
        return marked if options.dry_run or marked == live else store.put(resource.key, marked)
    last = live if options.dry_run else store.delete(resource.key, live)
    if resource.listed_in("answers deleted object"):
        return marked if resource.key == "pods" else last
    return _deleted_status(resource, live["metadata"])


def delete_collection(store: Store, resource: Resource, chosen: list[Json], options: DeleteOptions) -> None:
    """DELETE of the objects of a collection."""
    for metadata in (value["metadata"] for value in chosen):
        target = Target(resource, metadata.get("namespace", ""), metadata["name"])
        if store.get(resource.key, target.namespace, target.name) is not None:
            delete(store, target, options)


def _check(resource: Resource, live: Json, options: DeleteOptions) -> None:
    metadata, why = live["metadata"], ""
    if options.uid not in ("", metadata["uid"]):
        why = f"the UID in the precondition ({options.uid}) does not match the UID in record ({metadata['uid']})"
        why += ". The object might have been deleted and then recreated"
    elif options.version not in ("", metadata["resourceVersion"]):
        why = (
            f"the ResourceVersion in the precondition ({options.version}) does not match the ResourceVersion in record "
        )
        why += f"({metadata['resourceVersion']}). The object might have been modified"
    if why:
        message = f'Operation cannot be fulfilled on {resource.kind} "{metadata["name"]}": {why}'
        details = {"name": metadata["name"], "group": resource.group, "kind": resource.kind}
        raise ApiError(409, "Conflict", message, details)
    if resource.key == "namespaces" and metadata["name"] in PROTECTED:
        raise refusal("Forbidden", resource, metadata["name"], "this namespace may not be deleted")


def _finalizers(resource: Resource, live: Json, policy: str) -> list[str]:
    present = live["metadata"].get("finalizers", [])
    kept = [name for name in present if not policy or name not in (ORPHAN, FOREGROUND)]
    added = CLEANUP if resource.key == DEFINITIONS else {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(policy)
    return [*kept, added] if added and added not in kept else kept


def _marked(resource: Resource, live: Json, finalizers: list[str]) -> Json:
    """The object as it looks while it waits for its finalizers."""
    metadata = {key: value for key, value in live["metadata"].items() if key != "finalizers"}
    if finalizers:
        metadata["finalizers"] = finalizers
    marked = {**live, "metadata": metadata}
    if "deletionTimestamp" in metadata:
        return marked
    metadata["deletionTimestamp"] = now()
    if "generation" in metadata:
        metadata["generation"] += 1
    if resource.key == "namespaces":
        return {**marked, "status": {**live.get("status", {}), "phase": "Terminating"}}
    metadata["deletionGracePeriodSeconds"] = 0
    return marked


def _deleted_status(resource: Resource, metadata: Json) -> Json:
    """What most deletes answer."""
    details = {"name": metadata["name"], "group": resource.group, "kind": resource.plural, "uid": metadata["uid"]}
    details = {key: value for key, value in details.items() if value}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
