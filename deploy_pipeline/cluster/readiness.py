"""Whether an object is ready: the rules of kstatus (sigs.k8s.io/cli-utils), which ``kubectl`` and Helm 4 wait by.

Pure functions over live objects. A verdict is one of three: ready, in progress with the reason, failed with the reason
(waiting longer will not help).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Verdict(str, Enum):
    """Where an object stands."""

    READY = "ready"
    IN_PROGRESS = "in progress"
    FAILED = "failed"


@dataclass(frozen=True)
class Readiness:
    """A verdict and, unless ready, why."""

    verdict: Verdict
    reason: str = ""


_READY = Readiness(Verdict.READY)


def readiness(live: Mapping[str, Any] | None) -> Readiness:
    """Judge one live object; None means it is not there."""
    if live is None:
        return _progress("it does not exist")
    if live["metadata"].get("deletionTimestamp"):
        return _progress("it is being deleted")
    status = live.get("status") or {}
    observed = status.get("observedGeneration")
    if observed is not None and observed < live["metadata"].get("generation", 0):
        return _progress("the controller has not seen the change yet")
    group = live["apiVersion"].rpartition("/")[0]
    rule = _RULES.get((group, live["kind"]), _generic)
    return rule(live.get("spec") or {}, status)


def container_problems(pod: Mapping[str, Any]) -> tuple[str, ...]:
    """Why the containers of a pod wait or crash, one line each."""
    status = pod.get("status") or {}
    found = []
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        state = container.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        reason = waiting.get("reason") or (ended.get("reason") if ended.get("exitCode") else None)
        if reason and reason not in ("ContainerCreating", "PodInitializing"):
            words = waiting.get("message") or ended.get("message") or ""
            found.append(f"pod {pod['metadata']['name']}, container {container['name']}: {reason} {words}".rstrip())
    return tuple(found)


def _progress(reason: str) -> Readiness:
    return Readiness(Verdict.IN_PROGRESS, reason)


def _failed(reason: str) -> Readiness:
    return Readiness(Verdict.FAILED, reason)


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((c for c in status.get("conditions") or () if c.get("type") == kind), {})


def _deployment(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Readiness:
    if "observedGeneration" not in status:
        return _progress("the controller has not seen it yet")
    progressing = _condition(status, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return _failed(progressing.get("message") or "the progress deadline is over")
    wanted = spec.get("replicas", 1)
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    if updated < wanted:
        return _progress(f"{updated} of {wanted} replicas are updated")
    if total > updated:
        return _progress(f"{total - updated} old replicas are still running")
    usable = min(status.get("availableReplicas", 0), status.get("readyReplicas", 0))
    available = _condition(status, "Available").get("status", "True") == "True"
    return _READY if available and usable >= wanted else _progress(f"{usable} of {wanted} replicas are available")


def _stateful_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Readiness:
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return _READY
    wanted = spec.get("replicas", 1)
    if "observedGeneration" not in status:
        return _progress("the controller has not seen it yet")
    if status.get("replicas", 0) < wanted or status.get("readyReplicas", 0) < wanted:
        return _progress(f"{status.get('readyReplicas', 0)} of {wanted} replicas are ready")
    partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    updated = status.get("updatedReplicas", 0)  # the server leaves a zero out
    if updated < wanted - partition:
        return _progress(f"{updated} of {wanted - partition} replicas are updated")
    current, update = status.get("currentRevision"), status.get("updateRevision")
    if not partition and current and update and current != update:
        return _progress(f"the rollout from {current} to {update} is not complete")
    return _READY


def _daemon_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Readiness:
    if "desiredNumberScheduled" not in status:
        return _progress("the controller has not seen it yet")
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return _READY
    wanted = status["desiredNumberScheduled"]
    for count, word in (
        ("updatedNumberScheduled", "updated"),
        ("numberAvailable", "available"),
        ("numberReady", "ready"),
    ):
        if status.get(count, 0) < wanted:
            return _progress(f"{status.get(count, 0)} of {wanted} pods are {word}")
    return _READY


def _replica_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Readiness:
    wanted = spec.get("replicas", 1)
    if status.get("availableReplicas", 0) < wanted:
        return _progress(f"{status.get('availableReplicas', 0)} of {wanted} replicas are available")
    return _READY


def _pod(_: Mapping[str, Any], status: Mapping[str, Any]) -> Readiness:
    waiting = [(c.get("state") or {}).get("waiting") or {} for c in status.get("containerStatuses") or ()]
    if any(state.get("reason") == "CrashLoopBackOff" for state in waiting):
        return _failed("a container crashes again and again")
    phase = status.get("phase")
    if phase == "Failed":
        return _failed(status.get("message") or "the pod failed")
    if phase == "Succeeded" or _condition(status, "Ready").get("status") == "True":
        return _READY
    return _progress(f"the pod is {phase or 'not scheduled'}")


def _job(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Readiness:
    failed = _condition(status, "Failed")
    if failed.get("status") == "True":
        return _failed(failed.get("message") or "the job failed")
    if _condition(status, "Complete").get("status") == "True" or spec.get("suspend"):
        return _READY
    return _progress(f"{status.get('succeeded', 0)} of {spec.get('completions', 1)} completions")


def _claim(_: Mapping[str, Any], status: Mapping[str, Any]) -> Readiness:
    return _READY if status.get("phase") == "Bound" else _progress(f"the claim is {status.get('phase', 'pending')}")


def _definition(_: Mapping[str, Any], status: Mapping[str, Any]) -> Readiness:
    names = _condition(status, "NamesAccepted")
    if names.get("status") == "False":
        return _failed(names.get("message") or "its names are taken")
    established = _condition(status, "Established").get("status") == "True"
    return _READY if established else _progress("the definition is not established")


def _service(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Readiness:
    if spec.get("type") == "LoadBalancer" and not (status.get("loadBalancer") or {}).get("ingress"):
        return _progress("the load balancer has no address yet")
    return _READY


def _generic(_: Mapping[str, Any], status: Mapping[str, Any]) -> Readiness:
    for kind, verdict in (("Stalled", _failed), ("Reconciling", _progress)):
        condition = _condition(status, kind)
        if condition.get("status") == "True":
            return verdict(condition.get("message") or kind)
    ready = _condition(status, "Ready")
    if ready.get("status") in ("False", "Unknown"):
        return _progress(ready.get("message") or "it is not ready")
    return _READY


_RULES: Mapping[tuple[str, str], Callable[[Mapping[str, Any], Mapping[str, Any]], Readiness]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "ReplicaSet"): _replica_set,
    ("", "Pod"): _pod,
    ("batch", "Job"): _job,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Service"): _service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
}
