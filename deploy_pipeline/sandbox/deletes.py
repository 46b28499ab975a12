"""Deleting: preconditions, finalizers, propagation policies, and whole collections.

An object with finalizers only gets a deletionTimestamp; whoever removes the last finalizer removes the
object. What follows for dependents is the garbage collector's business (`garbage`).
"""

from __future__ import annotations

from dataclasses import dataclass

from deploy_pipeline.sandbox.errors import (
    ApiError,
    Json,
    details_of,
    forbidden,
    invalid_option,
    unsupported,
)
from deploy_pipeline.sandbox.kinds import ANSWERS_DELETED_OBJECT, Resource
from deploy_pipeline.sandbox.request import Request, Target
from deploy_pipeline.sandbox.writes import Writer, now

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
POLICIES = ("Foreground", "Background", "Orphan")
PROTECTED = ("default", "kube-system", "kube-public", "kube-node-lease")
JOB_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to "
    "remove them or set propagationPolicy=Orphan to suppress this warning"
)


@dataclass(frozen=True)
class DeleteOptions:
    """How to delete; the body and the query may both say so."""

    policy: str
    uid: str
    version: str
    dry_run: bool

    @classmethod
    def of(cls, request: Request, body: Json) -> DeleteOptions:
        """From a request; wrong values are refused."""
        policy = request.query.get("propagationPolicy") or body.get("propagationPolicy") or ""
        orphan = body.get("orphanDependents", request.query.get("orphanDependents"))
        if orphan is not None and not policy:
            policy = "Orphan" if orphan in (True, "true") else "Background"
        if policy and policy not in POLICIES:
            cause = unsupported("propagationPolicy", policy, [*POLICIES, "nil"])
            raise invalid_option("DeleteOptions", cause)
        wanted = body.get("preconditions") or {}
        dry = request.dry_run("DeleteOptions", "".join(body.get("dryRun") or ()))
        return cls(policy, wanted.get("uid", ""), wanted.get("resourceVersion", ""), dry)


class Deleter:
    """Removes objects, at once or step by step."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.store = writer.store

    def delete(self, target: Target, options: DeleteOptions) -> tuple[Json, tuple[str, ...]]:
        """DELETE of one object: what is answered, and warnings."""
        resource, live = target.resource, self.writer.live(target)
        self._check(resource, live, options)
        warnings: tuple[str, ...] = ()
        if resource.key == "jobs.batch" and not options.policy:
            warnings = (JOB_WARNING,)
        policy = options.policy or ("Orphan" if warnings else "")
        finalizers = _finalizers(resource, live, policy)
        marked = self._marked(resource, live, finalizers)
        if finalizers or resource.key == "namespaces":
            if "deletionTimestamp" in live["metadata"] and marked == live:
                return live, warnings
            return (marked if options.dry_run else self.store.put(resource.key, marked)), warnings
        last = live if options.dry_run else self.store.delete(resource.key, live)
        if resource.plural in ANSWERS_DELETED_OBJECT and not resource.custom:
            return (marked if resource.key == "pods" else last), warnings
        return deleted_status(resource, live), warnings

    def _check(self, resource: Resource, live: Json, options: DeleteOptions) -> None:
        metadata = live["metadata"]
        why = ""
        if options.uid not in ("", metadata["uid"]):
            why = (
                f"the UID in the precondition ({options.uid}) does not match the UID in record "
                f"({metadata['uid']}). The object might have been deleted and then recreated"
            )
        elif options.version not in ("", metadata["resourceVersion"]):
            why = (
                f"the ResourceVersion in the precondition ({options.version}) does not match the "
                f"ResourceVersion in record ({metadata['resourceVersion']}). The object might have been "
                "modified"
            )
        if why:
            name = metadata["name"]
            message = f'Operation cannot be fulfilled on {resource.kind} "{name}": {why}'
            raise ApiError(409, "Conflict", message, details_of(name, resource.group, resource.kind))
        if resource.key == "namespaces" and metadata["name"] in PROTECTED:
            raise forbidden("", "namespaces", metadata["name"], "this namespace may not be deleted")

    def _marked(self, resource: Resource, live: Json, finalizers: list[str]) -> Json:
        """The object as it looks while it waits for its finalizers."""
        metadata = {**live["metadata"]}
        metadata.pop("finalizers", None)
        if finalizers:
            metadata["finalizers"] = finalizers
        if "deletionTimestamp" in metadata:
            return {**live, "metadata": metadata}
        metadata["deletionTimestamp"] = now()
        if resource.key != "namespaces":
            metadata["deletionGracePeriodSeconds"] = 0
        if "generation" in metadata:
            metadata["generation"] += 1
        marked = {**live, "metadata": metadata}
        if resource.key == "namespaces":
            marked["status"] = {**live.get("status", {}), "phase": "Terminating"}
        return marked

    def collection(self, resource: Resource, chosen: list[Json], options: DeleteOptions) -> list[Json]:
        """DELETE of a collection: the objects as they were."""
        for value in chosen:
            metadata = value["metadata"]
            target = Target(resource, metadata.get("namespace", ""), metadata["name"])
            if self.store.get(resource.key, target.namespace, target.name) is not None:
                self.delete(target, options)
        return chosen


def _finalizers(resource: Resource, live: Json, policy: str) -> list[str]:
    present = live["metadata"].get("finalizers", [])
    kept = [name for name in present if name not in (ORPHAN, FOREGROUND)] if policy else list(present)
    added = {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(policy)
    if resource.key.startswith("customresourcedefinitions."):
        added = CLEANUP
    if added and added not in kept:
        kept.append(added)
    return kept


def deleted_status(resource: Resource, live: Json) -> Json:
    """What most deletes answer."""
    metadata = live["metadata"]
    details = details_of(metadata["name"], resource.group, resource.plural, uid=metadata["uid"])
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return {**status, "details": details}
