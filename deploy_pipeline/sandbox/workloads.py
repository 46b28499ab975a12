"""Simulated StatefulSets, DaemonSets, Jobs and load balancers, and who reconciles what."""

from __future__ import annotations

import zlib

from deploy_pipeline.sandbox.controllers import Cluster, Reconciler
from deploy_pipeline.sandbox.deployments import REPLICA_SETS, deployment, replica_set
from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.garbage import condition, definition, namespace, volume
from deploy_pipeline.sandbox.pod_hash import template_hash
from deploy_pipeline.sandbox.pods import PODS, find, is_ready, make_pod, pod, seconds_since, without_zeros
from deploy_pipeline.sandbox.writes import now

SET_HASH = "controller-revision-hash"


def stateful_set(cluster: Cluster, value: Json) -> float | None:
    """Pods with names, one after the other."""
    spec, name = value["spec"], value["metadata"]["name"]
    update = f"{name}-{template_hash(spec['template'], cluster.kinds.definitions.printed)}"
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
    update = template_hash(value["spec"]["template"], cluster.kinds.definitions.printed)
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
