"""Simulated workloads: Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs, and a kubelet.

No container runs. A pod gets ready `rollout_seconds` after it was made, unless one of its images has
`broken` in its name: such a pod stays in ImagePullBackOff, and whatever waits for it learns that in the
same way as on a real cluster. Statuses carry the fields and conditions that `kubectl rollout status` and
kstatus (Helm's `--wait`) read.
"""

from __future__ import annotations

import datetime
import zlib
from typing import Any

from deploy_pipeline.sandbox.controllers import Cluster, Reconciler
from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.garbage import condition, definition, namespace, volume
from deploy_pipeline.sandbox.pod_hash import template_hash
from deploy_pipeline.sandbox.writes import now

NODE = "sandbox"
BROKEN = "broken"
REVISION = "deployment.kubernetes.io/revision"
HASH, SET_HASH = "pod-template-hash", "controller-revision-hash"
PODS, REPLICA_SETS = "pods", "replicasets.apps"


def is_ready(pod: Json) -> bool:
    """Whether the pod's Ready condition is true."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def find(conditions: Any, kind: str) -> Json | None:
    """The condition of a type."""
    return next((c for c in conditions or () if c["type"] == kind), None)


def seconds_since(moment: str) -> float:
    """Seconds since a time as the API writes it."""
    then = datetime.datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return (datetime.datetime.now(datetime.timezone.utc) - then).total_seconds()


def share(amount: int | str, total: int, *, up: bool) -> int:
    """An absolute number, or a percentage of the replicas."""
    if isinstance(amount, int):
        return amount
    percent = int(amount.rstrip("%")) * total
    return -(-percent // 100) if up else percent // 100


def without_zeros(status: Json, *kept: str) -> Json:
    """Counts that Go leaves out when they are zero."""
    return {key: value for key, value in status.items() if value or key in kept}


# Pods


def pod(cluster: Cluster, value: Json) -> float | None:
    """The kubelet: what happens to a pod that nobody else looks after."""
    phase = value["status"].get("phase")
    ours = value["spec"].get("nodeName", NODE) == NODE
    if not ours or phase not in ("Pending", "Running") or (phase == "Running" and not _runs_out(value)):
        return None
    wait = cluster.rollout_seconds - cluster.since(value, str(phase))
    if wait > 0:
        return wait
    broken = _broken_images(value)
    state = _succeeded(value) if phase == "Running" else _waiting(value, broken) if broken else _running(value)
    changed = {**value, "spec": {**value["spec"], "nodeName": NODE}}
    cluster.update(PODS, value, {**changed, "status": {**value["status"], **state}})
    return None


def _runs_out(value: Json) -> bool:
    """A pod that is not restarted ends after a while."""
    spec: Json = value["spec"]
    return spec.get("restartPolicy") != "Always" and spec.get("nodeName") == NODE


def _broken_images(value: Json) -> list[str]:
    return [c["image"] for c in value["spec"]["containers"] if BROKEN in c["image"]]


def _conditions(value: Json, ready: str, reason: str = "") -> list[Json]:
    before = value["status"].get("conditions", ())
    found = []
    for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"):
        status = ready if kind in ("Ready", "ContainersReady") else "True"
        entry = condition(find(before, kind), kind, status, reason if status == "False" else "", "")
        filled = {key: content for key, content in entry.items() if content != ""}
        found.append({**filled, "lastProbeTime": None})
    return found


def _containers(value: Json, state: Json, *, ready: bool) -> list[Json]:
    return [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": f"sandbox://{container['image']}" if ready else "",
            "ready": ready,
            "started": ready,
            "restartCount": 0,
            "state": state,
            "lastState": {},
        }
        for container in value["spec"]["containers"]
    ]


def _running(value: Json) -> Json:
    number = zlib.crc32(value["metadata"]["uid"].encode())
    address = f"10.244.{number >> 8 & 255}.{number & 255}"
    return {
        "phase": "Running",
        "conditions": _conditions(value, "True"),
        "hostIP": "127.0.0.1",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": now(),
        "containerStatuses": _containers(value, {"running": {"startedAt": now()}}, ready=True),
    }


def _waiting(value: Json, images: list[str]) -> Json:
    message = (
        f'Back-off pulling image "{images[0]}": ErrImagePull: the sandbox never finds an image with '
        f'"{BROKEN}" in its name'
    )
    state = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
    return {
        "phase": "Pending",
        "conditions": _conditions(value, "False", "ContainersNotReady"),
        "hostIP": "127.0.0.1",
        "startTime": value["status"].get("startTime", now()),
        "containerStatuses": _containers(value, state, ready=False),
    }


def _succeeded(value: Json) -> Json:
    ended = {"exitCode": 0, "reason": "Completed", "startedAt": now(), "finishedAt": now()}
    return {
        "phase": "Succeeded",
        "conditions": _conditions(value, "False", "PodCompleted"),
        "containerStatuses": _containers(value, {"terminated": ended}, ready=False),
    }


def make_pod(cluster: Cluster, owner: Json, labels: Json, **name: str) -> None:
    """A pod of the owner's template."""
    template = owner["spec"]["template"]
    metadata = {**template["metadata"], "labels": {**template["metadata"].get("labels", {}), **labels}}
    cluster.create(PODS, owner, {"metadata": {**metadata, **name}, "spec": template["spec"]})


# ReplicaSets and Deployments


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
    short = template_hash(template, cluster.kinds.definitions)
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


# StatefulSets and DaemonSets


def stateful_set(cluster: Cluster, value: Json) -> float | None:
    """Pods with names, one after the other."""
    spec, name = value["spec"], value["metadata"]["name"]
    update = f"{name}-{template_hash(spec['template'], cluster.kinds.definitions)}"
    pods = {p["metadata"]["name"]: p for p in cluster.owned(value, PODS)}
    names = [f"{name}-{index}" for index in range(spec["replicas"])]
    for surplus in pods.keys() - set(names):
        cluster.delete(PODS, pods.pop(surplus))
    _next_pod(cluster, value, update, pods, names)
    pods = {p["metadata"]["name"]: p for p in cluster.owned(value, PODS)}
    ready = sum(map(is_ready, pods.values()))
    updated = sum(p["metadata"]["labels"].get(SET_HASH) == update for p in pods.values())
    complete = updated == spec["replicas"]
    before = value.get("status", {})
    current = update if complete else before.get("currentRevision", update)
    counts = {
        "observedGeneration": value["metadata"].get("generation", 1),
        "replicas": len(pods),
        "readyReplicas": ready,
        "currentReplicas": updated if current == update else len(pods) - updated,
        "updatedReplicas": updated,
        "availableReplicas": ready,
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": 0,
    }
    kept = ("replicas", "availableReplicas", "collisionCount")
    cluster.update("statefulsets.apps", value, {**value, "status": without_zeros(counts, *kept)})
    return None


def _next_pod(cluster: Cluster, value: Json, update: str, pods: dict[str, Json], names: list[str]) -> None:
    """Make the first missing pod, or replace the last outdated one; an unready pod holds up the rest."""
    spec = value["spec"]
    for index, name in enumerate(names):
        if name not in pods:
            _claims(cluster, value, index)
            labels = {SET_HASH: update, "statefulset.kubernetes.io/pod-name": name}
            labels["apps.kubernetes.io/pod-index"] = str(index)
            make_pod(cluster, value, labels, name=name)
        elif is_ready(pods[name]) or spec["podManagementPolicy"] == "Parallel":
            continue
        elif pods[name]["metadata"]["labels"].get(SET_HASH) == update:
            return
        if spec["podManagementPolicy"] != "Parallel" and name not in pods:
            return
    strategy = spec["updateStrategy"]
    first = strategy.get("rollingUpdate", {}).get("partition", 0)
    if strategy["type"] == "RollingUpdate":
        for name in reversed(names[first:]):
            found = pods.get(name)
            if found and found["metadata"]["labels"].get(SET_HASH) != update:
                cluster.delete(PODS, found)
                return


def _claims(cluster: Cluster, value: Json, index: int) -> None:
    for template in value["spec"].get("volumeClaimTemplates", ()):
        space = value["metadata"]["namespace"]
        name = f"{template['metadata']['name']}-{value['metadata']['name']}-{index}"
        if cluster.store.get("persistentvolumeclaims", space, name) is None:
            labels = value["spec"]["selector"].get("matchLabels", {})
            metadata = {"name": name, "namespace": space, "labels": labels}
            cluster.create("persistentvolumeclaims", None, {"metadata": metadata, "spec": template["spec"]})


def daemon_set(cluster: Cluster, value: Json) -> float | None:
    """One pod, for there is one node."""
    update = template_hash(value["spec"]["template"], cluster.kinds.definitions)
    pods = cluster.owned(value, PODS)
    rolling = value["spec"]["updateStrategy"]["type"] == "RollingUpdate"
    for outdated in [p for p in pods if p["metadata"]["labels"].get(SET_HASH) != update and rolling]:
        cluster.delete(PODS, outdated)
    if not cluster.owned(value, PODS):
        make_pod(cluster, value, {SET_HASH: update}, generateName=value["metadata"]["name"] + "-")
    pods = cluster.owned(value, PODS)
    ready = sum(map(is_ready, pods))
    counts = {
        "currentNumberScheduled": len(pods),
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 1,
        "numberReady": ready,
        "observedGeneration": value["metadata"].get("generation", 1),
        "updatedNumberScheduled": sum(p["metadata"]["labels"].get(SET_HASH) == update for p in pods),
        "numberAvailable": ready,
        "numberUnavailable": 1 - ready,
    }
    kept = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
    cluster.update("daemonsets.apps", value, {**value, "status": without_zeros(counts, *kept)})
    return None


# Jobs


def job(cluster: Cluster, value: Json) -> float | None:
    """Run pods until enough have succeeded."""
    spec, status = value["spec"], value.get("status", {})
    if ended := find(status.get("conditions"), "Complete") or find(status.get("conditions"), "Failed"):
        return _expire(cluster, value, ended)
    if spec.get("suspend"):
        entry = condition(
            find(status.get("conditions"), "Suspended"), "Suspended", "True", "JobSuspended", "Job suspended"
        )
        cluster.update("jobs.batch", value, {**value, "status": {"conditions": [entry]}})
        return None
    pods = cluster.owned(value, PODS)
    succeeded = sum(p["status"].get("phase") == "Succeeded" for p in pods)
    wanted = spec.get("completions", spec.get("parallelism", 1))
    active = [p for p in pods if p["status"].get("phase") in ("Pending", "Running")]
    for _ in range(min(spec.get("parallelism", 1), wanted - succeeded) - len(active)):
        make_pod(cluster, value, {}, generateName=value["metadata"]["name"] + "-")
    return _job_status(cluster, value, succeeded, wanted)


def _job_status(cluster: Cluster, value: Json, succeeded: int, wanted: int) -> float | None:
    spec = value["spec"]
    started = value.get("status", {}).get("startTime", now())
    pods = cluster.owned(value, PODS)
    active = [p for p in pods if p["status"].get("phase") in ("Pending", "Running")]
    counts: Json = {"active": len(active), "ready": sum(map(is_ready, active)), "succeeded": succeeded}
    status: Json = {"startTime": started, **without_zeros(counts, "ready"), "terminating": 0}
    status["uncountedTerminatedPods"] = {}
    left = None
    if succeeded >= wanted:
        text = "Reached expected number of succeeded pods"
        kinds = ("SuccessCriteriaMet", "Complete")
        status["conditions"] = [condition(None, kind, "True", "CompletionsReached", text) for kind in kinds]
        status["completionTime"] = now()
    elif (limit := spec.get("activeDeadlineSeconds")) is not None:
        left = limit - seconds_since(started)
        if left <= 0:
            text = "Job was active longer than specified deadline"
            kinds = ("FailureTarget", "Failed")
            status["conditions"] = [condition(None, kind, "True", "DeadlineExceeded", text) for kind in kinds]
            for running in active:
                cluster.delete(PODS, running)
            left = None
    cluster.update("jobs.batch", value, {**value, "status": status})
    return left


def _expire(cluster: Cluster, value: Json, ended: Json) -> float | None:
    limit = value["spec"].get("ttlSecondsAfterFinished")
    if limit is None:
        return None
    left = limit - seconds_since(ended["lastTransitionTime"])
    if left > 0:
        return float(left)
    cluster.delete("jobs.batch", value)
    return None


def service(cluster: Cluster, value: Json) -> float | None:
    """A load balancer gets an address out of TEST-NET-1, which leads nowhere."""
    if value["spec"]["type"] == "LoadBalancer" and not value["status"]["loadBalancer"]:
        number = zlib.crc32(value["metadata"]["uid"].encode()) % 254 + 1
        balancer = {"ingress": [{"ip": f"192.0.2.{number}", "ipMode": "VIP"}]}
        cluster.update("services", value, {**value, "status": {"loadBalancer": balancer}})
    return None


RECONCILERS: dict[str, Reconciler] = {
    "customresourcedefinitions.apiextensions.k8s.io": definition,
    "daemonsets.apps": daemon_set,
    "deployments.apps": deployment,
    "jobs.batch": job,
    "namespaces": namespace,
    "persistentvolumeclaims": volume("persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    "persistentvolumes": volume("persistentvolumes", "kubernetes.io/pv-protection"),
    PODS: pod,
    REPLICA_SETS: replica_set,
    "services": service,
    "statefulsets.apps": stateful_set,
}
