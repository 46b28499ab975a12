"""What is waited for, and what is said about it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from deploy_pipeline.cluster.cluster import Cluster
from deploy_pipeline.cluster.connection import Answer
from deploy_pipeline.cluster.readiness import Verdict
from deploy_pipeline.drivers.waiting import not_ready
from deploy_pipeline.redaction import Redactor


def cluster_with(live: dict[str, Any] | None) -> Cluster:
    """A cluster that holds this one object, no pods, and knows one secret value."""
    redactor = Redactor(b"k" * 32)
    redactor.learn(["hunter2"])
    return cast(
        "Cluster",
        SimpleNamespace(objects=SimpleNamespace(live=lambda _: live), redactor=redactor, connection=None),
    )


def job(**spec: Any) -> dict[str, Any]:
    """A Job as it was applied."""
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "web"}, "spec": spec}


@pytest.mark.parametrize(("spec", "waits"), [({"ttlSecondsAfterFinished": 0}, False), ({}, True)])
def test_a_job_that_removed_itself_is_done(spec: dict[str, Any], waits: bool) -> None:
    """Its time to live begins when it ends: a job without one would still be there."""
    assert bool(not_ready(cluster_with(None), [job(**spec)])) is waits


@pytest.mark.parametrize("selector", [{}, {"selector": {"matchLabels": {"a": "b"}}}])
def test_a_cluster_wide_object_is_explained_without_pods(selector: dict[str, Any]) -> None:
    """Whatever its spec looks like; known secret values are masked in what it says of itself."""
    conditions = [{"type": "Ready", "status": "False", "message": "refused: hunter2"}]
    lamp = {
        "apiVersion": "example.org/v1",
        "kind": "ClusterLamp",
        "metadata": {"name": "x"},
        "spec": selector,
        "status": {"conditions": conditions},
    }
    (state,) = not_ready(cluster_with(lamp), [lamp]).values()
    assert state.reason.startswith("refused: <masked ")


@pytest.mark.parametrize(
    ("reason", "verdict", "explained", "asked"),
    [
        ("ProgressDeadlineExceeded", Verdict.FAILED, False, True),
        ("ReplicaSetUpdated", Verdict.IN_PROGRESS, False, False),
        ("ReplicaSetUpdated", Verdict.IN_PROGRESS, True, True),
    ],
)
def test_pods_are_asked_about_what_failed_or_is_late(
    reason: str, verdict: Verdict, explained: bool, asked: bool
) -> None:
    """Most of what is not ready yet will be in a moment."""
    status = {"conditions": [{"type": "Progressing", "reason": reason}], "observedGeneration": 1}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}}
    metadata = {"name": "web", "namespace": "web"}
    live = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec, "status": status}
    container = {"name": "app", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    pods = {"items": [{"metadata": {"name": "web-1"}, "status": {"containerStatuses": [container]}}]}
    cluster = cluster_with(live)
    cast("Any", cluster).connection = SimpleNamespace(get=lambda *_: Answer(200, pods))
    (state,) = not_ready(cluster, [live], explained=explained).values()
    assert (state.verdict, "pod web-1, container app: ImagePullBackOff" in state.reason) == (verdict, asked)


@pytest.mark.parametrize(
    ("binding", "phase", "waits"),
    [
        ("WaitForFirstConsumer", "Pending", False),
        ("WaitForFirstConsumer", "Lost", True),
        ("Immediate", "Pending", True),
    ],
)
def test_a_claim_that_waits_for_its_first_pod_is_not_waited_for(binding: str, phase: str, waits: bool) -> None:
    """A claim that only a CronJob uses would be waited for until the time limit; the storage class says which it is."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "web"},
        "spec": {"storageClassName": "slow"},
        "status": {"phase": phase},
    }
    cluster = cluster_with(claim)
    paths = {"/apis/storage.k8s.io/v1/storageclasses/slow": Answer(200, {"volumeBindingMode": binding})}
    cast("Any", cluster).connection = SimpleNamespace(get=paths.__getitem__)
    assert bool(not_ready(cluster, [claim])) is waits
