"""Readiness: every rule of kstatus that the deployer waits by."""

from __future__ import annotations

from typing import Any

import pytest

from deploy_pipeline.cluster.readiness import Verdict, container_problems, readiness

READY, WAIT, FAILED = Verdict.READY, Verdict.IN_PROGRESS, Verdict.FAILED


def live(
    kind: str, status: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **meta: Any
) -> dict[str, Any]:
    """An object as the server returns it."""
    versions = {
        "Pod": "v1",
        "PersistentVolumeClaim": "v1",
        "Service": "v1",
        "ConfigMap": "v1",
        "Job": "batch/v1",
        "CustomResourceDefinition": "apiextensions.k8s.io/v1",
        "Lamp": "example.org/v1",
    }
    return {
        "apiVersion": versions.get(kind, "apps/v1"),
        "kind": kind,
        "metadata": {"name": "x", "generation": 2, **meta},
        "spec": spec or {},
        "status": status or {},
    }


def condition(kind: str, status: str = "True", **more: str) -> dict[str, Any]:
    """A status with one condition."""
    return {"conditions": [{"type": kind, "status": status, **more}]}


ROLLED_OUT = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}
TWO = {"replicas": 2}

CASES: tuple[tuple[str, dict[str, Any] | None, Verdict, str], ...] = (
    ("missing", None, WAIT, "does not exist"),
    ("terminating", live("ConfigMap", deletionTimestamp="2030-01-01T00:00:00Z"), WAIT, "being deleted"),
    ("plain object", live("ConfigMap"), READY, ""),
    ("unseen change", live("Deployment", {**ROLLED_OUT, "observedGeneration": 1}, TWO), WAIT, "not seen"),
    ("new deployment", live("Deployment", {}, TWO), WAIT, "not seen"),
    ("rolled out", live("Deployment", ROLLED_OUT, TWO), READY, ""),
    ("not updated", live("Deployment", {**ROLLED_OUT, "updatedReplicas": 1}, TWO), WAIT, "1 of 2 replicas are updated"),
    ("old pods", live("Deployment", {**ROLLED_OUT, "replicas": 3}, TWO), WAIT, "1 old replicas"),
    ("not available", live("Deployment", {**ROLLED_OUT, "availableReplicas": 1}, TWO), WAIT, "1 of 2 replicas"),
    ("unavailable", live("Deployment", {**ROLLED_OUT, **condition("Available", "False")}, TWO), WAIT, "available"),
    (
        "deadline",
        live("Deployment", {**ROLLED_OUT, **condition("Progressing", "False", reason="ProgressDeadlineExceeded")}, TWO),
        FAILED,
        "deadline",
    ),
    ("scaled to zero", live("Deployment", {"observedGeneration": 2}, {"replicas": 0}), READY, ""),
    ("set", live("StatefulSet", ROLLED_OUT, TWO), READY, ""),
    ("set not ready", live("StatefulSet", {**ROLLED_OUT, "readyReplicas": 1}, TWO), WAIT, "1 of 2 replicas are ready"),
    (
        "set below its partition",
        live(
            "StatefulSet",
            {**ROLLED_OUT, "updatedReplicas": 1},
            {**TWO, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}},
        ),
        READY,
        "",
    ),
    ("set not updated", live("StatefulSet", {**ROLLED_OUT, "updatedReplicas": 1}, TWO), WAIT, "1 of 2"),
    (
        "set just observed",
        live("StatefulSet", {key: ROLLED_OUT[key] for key in ROLLED_OUT if key != "updatedReplicas"}, TWO),
        WAIT,
        "0 of 2 replicas are updated",
    ),
    (
        "set between revisions",
        live("StatefulSet", {**ROLLED_OUT, "currentRevision": "x-1", "updateRevision": "x-2"}, TWO),
        WAIT,
        "from x-1 to x-2",
    ),
    (
        "set at its revision",
        live("StatefulSet", {**ROLLED_OUT, "currentRevision": "x-2", "updateRevision": "x-2"}, TWO),
        READY,
        "",
    ),
    (
        "set held between revisions by its partition",
        live(
            "StatefulSet",
            {**ROLLED_OUT, "updatedReplicas": 1, "currentRevision": "x-1", "updateRevision": "x-2"},
            {**TWO, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}},
        ),
        READY,
        "",
    ),
    ("set scaled to zero", live("StatefulSet", {"observedGeneration": 2}, {"replicas": 0}), READY, ""),
    ("set on delete", live("StatefulSet", {}, {"updateStrategy": {"type": "OnDelete"}}), READY, ""),
    (
        "daemons",
        live(
            "DaemonSet",
            {
                "observedGeneration": 2,
                "desiredNumberScheduled": 2,
                "updatedNumberScheduled": 2,
                "numberAvailable": 2,
                "numberReady": 2,
            },
        ),
        READY,
        "",
    ),
    ("daemons missing", live("DaemonSet", {"observedGeneration": 2, "desiredNumberScheduled": 2}), WAIT, "0 of 2"),
    (
        "crash loop",
        live("Pod", {"containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
        FAILED,
        "",
    ),
    ("pod ready", live("Pod", condition("Ready")), READY, ""),
    ("pod done", live("Pod", {"phase": "Succeeded"}), READY, ""),
    ("pod failed", live("Pod", {"phase": "Failed", "message": "evicted"}), FAILED, "evicted"),
    ("pod pending", live("Pod", {"phase": "Pending"}), WAIT, "Pending"),
    ("job done", live("Job", condition("Complete")), READY, ""),
    ("job failed", live("Job", condition("Failed", message="backoff limit")), FAILED, "backoff limit"),
    ("job running", live("Job", {"succeeded": 1}, {"completions": 3}), WAIT, "1 of 3"),
    ("job suspended", live("Job", {}, {"suspend": True}), READY, ""),
    ("claim bound", live("PersistentVolumeClaim", {"phase": "Bound"}), READY, ""),
    ("claim pending", live("PersistentVolumeClaim", {"phase": "Pending"}), WAIT, "Pending"),
    ("definition", live("CustomResourceDefinition", condition("Established")), READY, ""),
    ("definition new", live("CustomResourceDefinition"), WAIT, "not established"),
    (
        "names taken",
        live("CustomResourceDefinition", condition("NamesAccepted", "False", message="taken")),
        FAILED,
        "taken",
    ),
    ("load balancer", live("Service", {}, {"type": "LoadBalancer"}), WAIT, "no address"),
    ("custom ready", live("Lamp", condition("Ready")), READY, ""),
    ("custom not ready", live("Lamp", condition("Ready", "False", message="no bulb")), WAIT, "no bulb"),
    ("custom stalled", live("Lamp", condition("Stalled", message="broken")), FAILED, "broken"),
)


@pytest.mark.parametrize(("state", "verdict", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_verdict(state: dict[str, Any] | None, verdict: Verdict, words: str) -> None:
    """Each state is judged as kstatus judges it, and says why."""
    found = readiness(state)
    assert found.verdict is verdict
    assert words in found.reason
    assert bool(found.reason) == (verdict is not READY)


def test_container_problems_name_pod_container_and_reason() -> None:
    """Ordinary start-up is no problem; a missing image and a crash are."""
    pod = {
        "metadata": {"name": "web-1"},
        "status": {
            "initContainerStatuses": [{"name": "init", "state": {"terminated": {"exitCode": 2, "reason": "Error"}}}],
            "containerStatuses": [
                {"name": "web", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}},
                {"name": "slow", "state": {"waiting": {"reason": "ContainerCreating"}}},
                {"name": "ok", "state": {"running": {}}},
            ],
        },
    }
    assert container_problems(pod) == (
        "pod web-1, container init: Error",
        "pod web-1, container web: ImagePullBackOff no such image",
    )
