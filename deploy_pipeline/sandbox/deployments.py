"""Simulated ReplicaSets and Deployments.

Statuses carry the fields and conditions that `kubectl rollout status` and kstatus (Helm's `--wait`) read, with the
reasons and messages of the deployment controller.
"""

from __future__ import annotations

from deploy_pipeline.sandbox.controllers import Cluster
from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.garbage import condition
from deploy_pipeline.sandbox.pod_hash import template_hash
from deploy_pipeline.sandbox.pods import PODS, find, is_ready, make_pod, seconds_since, share, without_zeros
from deploy_pipeline.sandbox.writes import now

REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"
REPLICA_SETS = "replicasets.apps"


def replica_set(cluster: Cluster, value: Json) -> float | None:
    """Keep as many pods as wanted."""
    pods = [p for p in cluster.owned(value, PODS) if p["status"].get("phase") not in ("Failed", "Succeeded")]
    wanted = value["spec"].get("replicas", 1)
    for _ in range(wanted - len(pods)):
        make_pod(cluster, value, {}, generateName=value["metadata"]["name"] + "-")
    for surplus in sorted(pods, key=is_ready)[: max(0, len(pods) - wanted)]:
        cluster.delete(PODS, surplus)
    pods = cluster.owned(value, PODS)
    ready = sum(map(is_ready, pods))
    status = {
        "replicas": len(pods),
        "fullyLabeledReplicas": len(pods),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "observedGeneration": value["metadata"].get("generation", 1),
    }
    cluster.update(REPLICA_SETS, value, {**value, "status": without_zeros(status, "replicas")})
    return None


def _plain(template: Json) -> Json:
    """The template without the label that tells ReplicaSets apart."""
    metadata = template["metadata"]
    labels = {k: v for k, v in metadata.get("labels", {}).items() if k != HASH}
    return {**template, "metadata": {**metadata, "labels": labels}}


def _revision(value: Json) -> int:
    return int(value["metadata"].get("annotations", {}).get(REVISION, 0))


def deployment(cluster: Cluster, value: Json) -> float | None:
    """Move the pods to the newest template."""
    sets = cluster.owned(value, REPLICA_SETS)
    newest = next((s for s in sets if _plain(s["spec"]["template"]) == _plain(value["spec"]["template"])), None)
    old = [s for s in sets if s is not newest]
    if newest is None and not value["spec"].get("paused"):
        newest = _new_set(cluster, value, 1 + max(map(_revision, old), default=0))
    elif newest is not None and old and _revision(newest) < max(map(_revision, old)):
        newest = _annotate(cluster, newest, 1 + max(map(_revision, old)))  # a roll-back
    if newest is not None:
        _scale(cluster, value, newest, old)
    sets = cluster.owned(value, REPLICA_SETS)
    return _deployment_status(cluster, value, newest, sets)


def _new_set(cluster: Cluster, value: Json, revision: int) -> Json:
    spec, template = value["spec"], value["spec"]["template"]
    short = template_hash(template, cluster.kinds.definitions.printed)
    labels = {**template["metadata"].get("labels", {}), HASH: short}
    selector = spec["selector"]
    matching = {**selector, "matchLabels": {**selector.get("matchLabels", {}), HASH: short}}
    strategy = spec["strategy"].get("rollingUpdate", {})
    replicas = spec["replicas"]
    most = replicas + share(strategy.get("maxSurge", 0), replicas, up=True)
    annotations = {
        REVISION: str(revision),
        "deployment.kubernetes.io/desired-replicas": str(replicas),
        "deployment.kubernetes.io/max-replicas": str(most),
    }
    body = {
        "metadata": {
            "name": f"{value['metadata']['name']}-{short}",
            "labels": labels,
            "annotations": annotations,
        },
        "spec": {
            "replicas": 0,
            "selector": matching,
            "template": {**template, "metadata": {**template["metadata"], "labels": labels}},
        },
    }
    return cluster.create(REPLICA_SETS, value, body)


def _annotate(cluster: Cluster, value: Json, revision: int) -> Json:
    annotations = {**value["metadata"].get("annotations", {}), REVISION: str(revision)}
    metadata = {**value["metadata"], "annotations": annotations}
    return cluster.update(REPLICA_SETS, value, {**value, "metadata": metadata}, status=False)


def _resize(cluster: Cluster, value: Json, replicas: int) -> None:
    if value["spec"].get("replicas") != replicas:
        metadata = {**value["metadata"], "generation": value["metadata"].get("generation", 1) + 1}
        spec = {**value["spec"], "replicas": replicas}
        cluster.update(REPLICA_SETS, value, {**value, "metadata": metadata, "spec": spec}, status=False)


def _scale(cluster: Cluster, value: Json, newest: Json, old: list[Json]) -> None:
    """The new pods come first; the old ones go when the new ones are there, or before on Recreate."""
    wanted = value["spec"]["replicas"]
    present = sum(s.get("status", {}).get("replicas", 0) for s in old)
    available = newest.get("status", {}).get("availableReplicas", 0)
    recreate = value["spec"]["strategy"].get("type") == "Recreate"
    for other in old:
        keep = min(other["spec"].get("replicas", 0), wanted)
        _resize(cluster, other, 0 if recreate or available >= wanted else keep)
    _resize(cluster, newest, 0 if recreate and present else wanted)


def _deployment_status(cluster: Cluster, value: Json, newest: Json | None, sets: list[Json]) -> float | None:
    def total(key: str, of: list[Json]) -> int:
        return sum(s.get("status", {}).get(key, 0) for s in of)

    current = [s for s in sets if newest and s["metadata"]["name"] == newest["metadata"]["name"]]
    replicas, available = total("replicas", sets), total("availableReplicas", sets)
    counts = {
        "observedGeneration": value["metadata"].get("generation", 1),
        "replicas": replicas,
        "updatedReplicas": total("replicas", current),
        "readyReplicas": total("readyReplicas", sets),
        "availableReplicas": available,
        "unavailableReplicas": max(0, replicas - available),
        "terminatingReplicas": 0,
    }
    status = without_zeros(counts, "terminatingReplicas")
    conditions, wait = _deployment_conditions(value, counts, newest)
    status["conditions"] = conditions
    metadata = value["metadata"]
    if newest is not None:
        annotations = {**metadata.get("annotations", {}), REVISION: str(_revision(newest))}
        metadata = {**metadata, "annotations": annotations}
    cluster.update("deployments.apps", value, {**value, "metadata": metadata, "status": status})
    return wait


def _deployment_conditions(value: Json, counts: Json, newest: Json | None) -> tuple[list[Json], float | None]:
    before = value.get("status", {}).get("conditions", ())
    wanted = value["spec"]["replicas"]
    unavailable = value["spec"]["strategy"].get("rollingUpdate", {}).get("maxUnavailable", 0)
    enough = counts["availableReplicas"] >= wanted - share(unavailable, wanted, up=False)
    state, reason, text = (
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        if enough
        else ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    )
    available = _dated(find(before, "Available"), "Available", state, reason, text)
    progressing, wait = _progress(value, counts, newest, find(before, "Progressing"))
    return [available, *([progressing] if progressing else [])], wait


def _dated(before: Json | None, kind: str, status: str, reason: str, message: str, *, moved: bool = False) -> Json:
    """A condition of a Deployment, which also says when it was last updated."""
    entry = condition(before, kind, status, reason, message)
    same = before is not None and {k: before[k] for k in entry} == entry and not moved
    return {**entry, "lastUpdateTime": before["lastUpdateTime"] if before and same else now()}


def _progress(value: Json, counts: Json, newest: Json | None, before: Json | None) -> tuple[Json | None, float | None]:
    """The Progressing condition, and the seconds until its deadline."""
    if newest is None:
        return before, None
    wanted, name = value["spec"]["replicas"], newest["metadata"]["name"]
    done = all(counts[key] == wanted for key in ("replicas", "updatedReplicas", "availableReplicas"))
    finished = f'ReplicaSet "{name}" has successfully progressed.'
    if done:
        return _dated(before, "Progressing", "True", "NewReplicaSetAvailable", finished), None
    if before and before["message"] == finished and counts["updatedReplicas"] == wanted:
        return before, None  # the rollout was complete; pods that fail later have no deadline
    seen = value.get("status", {})
    keys = ("updatedReplicas", "readyReplicas", "availableReplicas")
    moved = any(counts[key] > seen.get(key, 0) for key in keys) or counts["replicas"] < seen.get("replicas", 0)
    if before and name in before["message"] and not moved and before["reason"] != "NewReplicaSetAvailable":
        left = value["spec"]["progressDeadlineSeconds"] - seconds_since(before["lastUpdateTime"])
        if left > 0:
            return before, left
        text = f'ReplicaSet "{name}" has timed out progressing.'
        return _dated(before, "Progressing", "False", "ProgressDeadlineExceeded", text), None
    created = before is None or name not in before["message"]
    reason = "NewReplicaSetCreated" if created else "ReplicaSetUpdated"
    text = f'Created new replica set "{name}"' if created else f'ReplicaSet "{name}" is progressing.'
    entry = _dated(before, "Progressing", "True", reason, text, moved=moved)
    return entry, float(value["spec"]["progressDeadlineSeconds"])
