"""Simulated Deployments.

Statuses carry the fields and conditions that `kubectl rollout status` and kstatus (Helm's `--wait`) read, with the
reasons and messages of the deployment controller.
"""

from __future__ import annotations

from deploy_pipeline.sandbox.controllers.engine import Cluster, condition
from deploy_pipeline.sandbox.controllers.pod_hash import template_hash
from deploy_pipeline.sandbox.controllers.pods import find, seconds_since
from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.objects.writes import now

REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"
REPLICA_SETS = "replicasets.apps"


def deployment(cluster: Cluster, value: Json) -> float | None:
    """Move the pods to the newest template."""
    sets = cluster.owned(value, REPLICA_SETS)
    newest = next((s for s in sets if _plain(s["spec"]["template"]) == _plain(value["spec"]["template"])), None)
    old = [s for s in sets if s is not newest]
    revision = 1 + max(map(_revision, old), default=0)
    if newest is None and not value["spec"].get("paused"):
        newest = _new_set(cluster, value, revision, old)
    elif newest is not None and _revision(newest) < revision - 1:  # a roll-back
        metadata = _annotated(newest, revision)
        newest = cluster.update(REPLICA_SETS, newest, {**newest, "metadata": metadata}, status=False)
    if newest is not None:
        _scale(cluster, value, newest, old)
        if "observedGeneration" not in newest["status"]:
            return None  # its first report gives this another turn
    return _status(cluster, value, newest)


def _plain(template: Json) -> Json:
    """The template without the label that tells ReplicaSets apart."""
    labels = {k: v for k, v in template["metadata"].get("labels", {}).items() if k != HASH}
    return {**template, "metadata": {**template["metadata"], "labels": labels}}


def _revision(value: Json) -> int:
    return int(value["metadata"].get("annotations", {}).get(REVISION, 0))


def _annotated(value: Json, revision: int) -> Json:
    return {**value["metadata"], "annotations": {**value["metadata"].get("annotations", {}), REVISION: str(revision)}}


def _share(value: Json, key: str, *, up: bool) -> int:
    """MaxSurge or maxUnavailable, which may be a percentage, as a number of pods."""
    amount = value["spec"]["strategy"].get("rollingUpdate", {}).get(key, 0)
    if isinstance(amount, int):
        return amount
    percent = int(amount.rstrip("%")) * int(value["spec"]["replicas"])
    return -(-percent // 100) if up else percent // 100


def _new_set(cluster: Cluster, value: Json, revision: int, old: list[Json]) -> Json:
    spec, template = value["spec"], value["spec"]["template"]
    short = template_hash(template, cluster.kinds.definitions.printed)
    labels = {**template["metadata"].get("labels", {}), HASH: short}
    annotations = {
        REVISION: str(revision),
        "deployment.kubernetes.io/desired-replicas": str(spec["replicas"]),
        "deployment.kubernetes.io/max-replicas": str(spec["replicas"] + _share(value, "maxSurge", up=True)),
    }
    metadata = {"name": f"{value['metadata']['name']}-{short}", "labels": labels, "annotations": annotations}
    selector = {**spec["selector"], "matchLabels": {**spec["selector"].get("matchLabels", {}), HASH: short}}
    template = {**template, "metadata": {**template["metadata"], "labels": labels}}
    content = {"replicas": _wanted(value, old), "selector": selector, "template": template}
    return cluster.create(REPLICA_SETS, value, {"metadata": metadata, "spec": content})


def _resize(cluster: Cluster, value: Json, replicas: int) -> None:
    if value["spec"].get("replicas") != replicas:
        metadata = {**value["metadata"], "generation": value["metadata"].get("generation", 1) + 1}
        new = {**value, "metadata": metadata, "spec": {**value["spec"], "replicas": replicas}}
        cluster.update(REPLICA_SETS, value, new, status=False)


def _scale(cluster: Cluster, value: Json, newest: Json, old: list[Json]) -> None:
    """The new pods come first; the old ones go when the new ones are there, or before on Recreate."""
    wanted, recreate = value["spec"]["replicas"], _recreates(value)
    done = newest["status"].get("availableReplicas", 0) >= wanted
    for other in old:
        _resize(cluster, other, 0 if recreate or done else min(other["spec"].get("replicas", 0), wanted))
    _resize(cluster, newest, _wanted(value, old))


def _recreates(value: Json) -> bool:
    return bool(value["spec"]["strategy"].get("type") == "Recreate")


def _wanted(value: Json, old: list[Json]) -> int:
    """How many pods of the newest template there shall be now."""
    present = sum(s["status"].get("replicas", 0) for s in old)
    return 0 if _recreates(value) and present else int(value["spec"]["replicas"])


def _status(cluster: Cluster, value: Json, newest: Json | None) -> float | None:
    sets = cluster.owned(value, REPLICA_SETS)
    current = [s for s in sets if newest and s["metadata"]["name"] == newest["metadata"]["name"]]
    totals = {
        key: sum(s["status"].get(key, 0) for s in sets) for key in ("replicas", "readyReplicas", "availableReplicas")
    }
    counts = {
        "observedGeneration": value["metadata"].get("generation", 1),
        "updatedReplicas": sum(s["status"].get("replicas", 0) for s in current),
        "unavailableReplicas": max(0, totals["replicas"] - totals["availableReplicas"]),
        **totals,
    }
    status = {**{key: number for key, number in counts.items() if number}, "terminatingReplicas": 0}
    before = value["status"].get("conditions")
    progressing, wait = _progressing(value, counts, newest, find(before, "Progressing"))
    status["conditions"] = [
        _available(value, counts, find(before, "Available")),
        *([progressing] if progressing else []),
    ]
    metadata = _annotated(value, _revision(newest)) if newest is not None else value["metadata"]
    cluster.update("deployments.apps", value, {**value, "metadata": metadata, "status": status})
    return wait


def _dated(before: Json | None, kind: str, status: str, reason: str, message: str, *, moved: bool = False) -> Json:
    """A condition of a Deployment, which also says when it was last updated."""
    entry = condition(before, kind, status, reason, message)
    same = before is not None and {k: before[k] for k in entry} == entry and not moved
    return {**entry, "lastUpdateTime": before["lastUpdateTime"] if before and same else now()}


def _available(value: Json, counts: Json, before: Json | None) -> Json:
    least = value["spec"]["replicas"] - _share(value, "maxUnavailable", up=False)
    if counts["availableReplicas"] >= least:
        text = "Deployment has minimum availability."
        return _dated(before, "Available", "True", "MinimumReplicasAvailable", text)
    text = "Deployment does not have minimum availability."
    return _dated(before, "Available", "False", "MinimumReplicasUnavailable", text)


def _progressing(
    value: Json, counts: Json, newest: Json | None, before: Json | None
) -> tuple[Json | None, float | None]:
    """The Progressing condition, and the seconds until its deadline."""
    if newest is None:
        return before, None
    wanted, name, seen = value["spec"]["replicas"], newest["metadata"]["name"], value["status"]
    finished = f'ReplicaSet "{name}" has successfully progressed.'
    if all(counts[key] == wanted for key in ("replicas", "updatedReplicas", "availableReplicas")):
        return _dated(before, "Progressing", "True", "NewReplicaSetAvailable", finished), None
    if before and before["message"] == finished and counts["updatedReplicas"] == wanted:
        return before, None  # the rollout was complete; pods that fail later have no deadline
    more = any(counts[key] > seen.get(key, 0) for key in ("updatedReplicas", "readyReplicas", "availableReplicas"))
    moved = more or counts["replicas"] < seen.get("replicas", 0)
    deadline = float(value["spec"]["progressDeadlineSeconds"])
    created = before is None or name not in before["message"]
    if before and not created and not moved and before["reason"] != "NewReplicaSetAvailable":
        left = deadline - seconds_since(before["lastUpdateTime"])
        if left > 0:
            return before, left
        text = f'ReplicaSet "{name}" has timed out progressing.'
        return _dated(before, "Progressing", "False", "ProgressDeadlineExceeded", text), None
    reason = "NewReplicaSetCreated" if created else "ReplicaSetUpdated"
    text = f'Created new replica set "{name}"' if created else f'ReplicaSet "{name}" is progressing.'
    return _dated(before, "Progressing", "True", reason, text, moved=moved), deadline
