"""Simulated ReplicaSets, StatefulSets, DaemonSets, Jobs and load balancers, and who reconciles what."""

from __future__ import annotations

import zlib

from deploy_pipeline.sandbox.controllers.deployments import REPLICA_SETS, deployment
from deploy_pipeline.sandbox.controllers.engine import Cluster, Reconciler, condition
from deploy_pipeline.sandbox.controllers.garbage import CLAIMS, claim, definition, namespace, volume
from deploy_pipeline.sandbox.controllers.pod_hash import template_hash
from deploy_pipeline.sandbox.controllers.pods import PODS, find, is_active, is_ready, make_pod, pod, seconds_since
from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.kinds import DEFINITIONS
from deploy_pipeline.sandbox.objects.writes import now

SET_HASH = "controller-revision-hash"


def _report(cluster: Cluster, resource: str, value: Json, always: Json, unless_zero: Json) -> None:
    """Write a status; Go leaves some counts out when they are zero."""
    counts = {key: number for key, number in unless_zero.items() if number}
    status = {**always, **counts, "observedGeneration": value["metadata"].get("generation", 1)}
    cluster.update(resource, value, {**value, "status": status})


def replica_set(cluster: Cluster, value: Json) -> float | None:
    """Keep as many pods as wanted; new ones are reported a moment later, as most of what happens to them is then."""
    pods = [p for p in cluster.owned(value, PODS) if is_active(p)]
    wanted = value["spec"].get("replicas", 1)
    if len(pods) < wanted:
        for _ in range(wanted - len(pods)):
            make_pod(cluster, value, {})
        return 0.0
    for surplus in sorted(pods, key=is_ready)[: max(0, len(pods) - wanted)]:
        cluster.delete(PODS, surplus)
    pods = cluster.owned(value, PODS)
    ready = sum(map(is_ready, pods))
    more = {"fullyLabeledReplicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}
    _report(cluster, REPLICA_SETS, value, {"replicas": len(pods)}, more)
    return None


def _is_of(pod: Json, update: str) -> bool:
    return bool(pod["metadata"]["labels"].get(SET_HASH) == update)


def stateful_set(cluster: Cluster, value: Json) -> float | None:
    """Pods with names, one after the other."""
    spec, name = value["spec"], value["metadata"]["name"]
    update = f"{name}-{template_hash(spec['template'], cluster.kinds.definitions.printed)}"
    names = [f"{name}-{index}" for index in range(spec["replicas"])]
    for surplus in cluster.owned(value, PODS):
        if surplus["metadata"]["name"] not in names:
            cluster.delete(PODS, surplus)
    _next_pod(cluster, value, update, names)
    pods = cluster.owned(value, PODS)
    ready, updated = sum(map(is_ready, pods)), sum(_is_of(p, update) for p in pods)
    current = update if updated == spec["replicas"] else value["status"].get("currentRevision", update)
    counts = {
        "readyReplicas": ready,
        "currentReplicas": updated if current == update else len(pods) - updated,
        "updatedReplicas": updated,
        "currentRevision": current,
        "updateRevision": update,
    }
    always = {"replicas": len(pods), "availableReplicas": ready, "collisionCount": 0}
    _report(cluster, "statefulsets.apps", value, always, counts)
    return None


def _next_pod(cluster: Cluster, value: Json, update: str, names: list[str]) -> None:
    """Make the first missing pod, or replace the last outdated one; an unready pod holds up the rest."""
    spec, pods = value["spec"], {p["metadata"]["name"]: p for p in cluster.owned(value, PODS)}
    ordered = spec["podManagementPolicy"] != "Parallel"
    for index, name in enumerate(names):
        if name not in pods:
            _make_claims(cluster, value, index)
            numbered = {"statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": str(index)}
            make_pod(cluster, value, {SET_HASH: update, **numbered}, name)
        waits = name not in pods or (not is_ready(pods[name]) and _is_of(pods[name], update))
        if ordered and waits:
            return
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        first = spec["updateStrategy"].get("rollingUpdate", {}).get("partition", 0)
        outdated = [pods[n] for n in names[first:] if n in pods and not _is_of(pods[n], update)]
        if outdated:
            cluster.delete(PODS, outdated[-1])


def _make_claims(cluster: Cluster, value: Json, index: int) -> None:
    space = value["metadata"]["namespace"]
    for template in value["spec"].get("volumeClaimTemplates", ()):
        name = f"{template['metadata']['name']}-{value['metadata']['name']}-{index}"
        if cluster.store.get(CLAIMS, space, name) is None:
            labels = value["spec"]["selector"].get("matchLabels", {})
            metadata = {"name": name, "namespace": space, "labels": labels}
            cluster.create(CLAIMS, None, {"metadata": metadata, "spec": template["spec"]})


def daemon_set(cluster: Cluster, value: Json) -> float | None:
    """One pod, for there is one node."""
    update = template_hash(value["spec"]["template"], cluster.kinds.definitions.printed)
    if value["spec"]["updateStrategy"]["type"] == "RollingUpdate":
        for found in cluster.owned(value, PODS):
            if not _is_of(found, update):
                cluster.delete(PODS, found)
    if not cluster.owned(value, PODS):
        make_pod(cluster, value, {SET_HASH: update})
    pods = cluster.owned(value, PODS)
    ready = sum(map(is_ready, pods))
    scheduled = {"currentNumberScheduled": len(pods), "desiredNumberScheduled": 1, "numberMisscheduled": 0}
    counts = {
        "updatedNumberScheduled": sum(_is_of(p, update) for p in pods),
        "numberAvailable": ready,
        "numberUnavailable": 1 - ready,
    }
    _report(cluster, "daemonsets.apps", value, {**scheduled, "numberReady": ready}, counts)
    return None


def job(cluster: Cluster, value: Json) -> float | None:
    """Run pods until enough have succeeded; a finished Job goes when its time to live is over."""
    spec, conditions = value["spec"], value["status"].get("conditions")
    if ended := find(conditions, "Complete") or find(conditions, "Failed"):
        if "ttlSecondsAfterFinished" not in spec:
            return None
        left = float(spec["ttlSecondsAfterFinished"] - seconds_since(ended["lastTransitionTime"]))
        if left <= 0:
            cluster.delete("jobs.batch", value)
        return left if left > 0 else None
    if spec.get("suspend"):
        entry = condition(find(conditions, "Suspended"), "Suspended", "True", "JobSuspended", "Job suspended")
        cluster.update("jobs.batch", value, {**value, "status": {"conditions": [entry]}})
        return None
    pods = cluster.owned(value, PODS)
    succeeded = sum(p["status"].get("phase") == "Succeeded" for p in pods)
    wanted = spec.get("completions", spec.get("parallelism", 1))
    for _ in range(min(spec.get("parallelism", 1), wanted - succeeded) - sum(map(is_active, pods))):
        make_pod(cluster, value, {})
    return _job_status(cluster, value, succeeded, wanted)


def _job_status(cluster: Cluster, value: Json, succeeded: int, wanted: int) -> float | None:
    active = [p for p in cluster.owned(value, PODS) if is_active(p)]
    started = value["status"].get("startTime", now())
    status: Json = {"startTime": started, "ready": sum(map(is_ready, active)), "terminating": 0}
    status |= {key: n for key, n in (("active", len(active)), ("succeeded", succeeded)) if n}
    status["uncountedTerminatedPods"] = {}
    limit, left, end = value["spec"].get("activeDeadlineSeconds"), None, None
    if succeeded >= wanted:
        status["completionTime"] = now()
        text = "Reached expected number of succeeded pods"
        end = ("SuccessCriteriaMet", "Complete", "CompletionsReached", text)
    elif limit is not None and (left := float(limit - seconds_since(started))) <= 0:
        end = ("FailureTarget", "Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
        for running in active:
            cluster.delete(PODS, running)
    if end:
        status["conditions"] = [condition(None, kind, "True", *end[2:]) for kind in end[:2]]
    cluster.update("jobs.batch", value, {**value, "status": status})
    return 0.0 if end else left  # a time to live begins with the end


def service(cluster: Cluster, value: Json) -> float | None:
    """A load balancer gets an address out of TEST-NET-1, which leads nowhere."""
    if value["spec"]["type"] == "LoadBalancer" and not value["status"]["loadBalancer"]:
        number = zlib.crc32(value["metadata"]["uid"].encode()) % 254 + 1
        balancer = {"ingress": [{"ip": f"192.0.2.{number}", "ipMode": "VIP"}]}
        cluster.update("services", value, {**value, "status": {"loadBalancer": balancer}})
    return None


RECONCILERS: dict[str, Reconciler] = {
    CLAIMS: claim,
    DEFINITIONS: definition,
    PODS: pod,
    REPLICA_SETS: replica_set,
    "daemonsets.apps": daemon_set,
    "deployments.apps": deployment,
    "jobs.batch": job,
    "namespaces": namespace,
    "persistentvolumes": volume,
    "services": service,
    "statefulsets.apps": stateful_set,
}
