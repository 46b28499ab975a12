"""The simulated controllers: rollouts that succeed, rollouts that do not, and what they take along."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy_pipeline.sandbox import SandboxCluster
from tests.sandbox.conftest import Client

APPS = "/apis/apps/v1/namespaces/default"
PODS = "/api/v1/namespaces/default/pods"


def workload(kind: str, image: str = "registry.example/app:1", **spec: Any) -> dict[str, Any]:
    """A workload named web."""
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "app", "image": image}]},
    }
    body = {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": body}


def until(get: Callable[[], Any], true: Callable[[Any], bool], seconds: float = 10) -> Any:
    """Read until the state is there."""
    end = time.monotonic() + seconds
    while not true(found := get()):
        assert time.monotonic() < end, found
        time.sleep(0.03)
    return found


def condition(value: Any, kind: str) -> dict[str, Any]:
    """The condition of a type, empty if it is not there."""
    found = value.get("status", {}).get("conditions", ())
    return next((dict(entry) for entry in found if entry["type"] == kind), {})


def test_deployment_gets_ready_and_rolls_over(client: Client) -> None:
    """A new image brings new pods, then the old ones go and the new ReplicaSet is complete."""
    path = f"{APPS}/deployments/web"
    client.apply(path, workload("Deployment", replicas=2))

    def settled(value: Any) -> bool:
        status = value["status"]
        counts = [status.get(k, 0) for k in ("replicas", "updatedReplicas", "availableReplicas")]
        return counts == [2, 2, 2] and status["observedGeneration"] == value["metadata"]["generation"]

    first = until(lambda: client.get(path), settled)
    assert condition(first, "Available")["status"] == "True"
    client.apply(path, workload("Deployment", "registry.example/app:2", replicas=2))
    second = until(lambda: client.get(path), lambda v: settled(v) and v["metadata"]["generation"] == 2)
    assert second["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    images = {pod["spec"]["containers"][0]["image"] for pod in client.get(PODS)["items"]}
    assert images == {"registry.example/app:2"}


def test_pods_that_are_not_ready_yet_are_counted(tmp_path: Path) -> None:
    """Who watches a slow rollout sees how far it is."""
    with SandboxCluster(tmp_path, rollout_seconds=60) as cluster:
        client, path = Client(cluster.url), f"{APPS}/deployments/web"
        client.apply(path, workload("Deployment", replicas=2))
        status = until(lambda: client.get(path).get("status", {}), lambda found: found.get("unavailableReplicas") == 2)
        assert status["replicas"] == status["updatedReplicas"] == 2
        client.close()


def test_broken_image_misses_its_deadline(client: Client) -> None:
    """Its pod sits in ImagePullBackOff, and Progressing gets False once the deadline is over."""
    path = f"{APPS}/deployments/web"
    spec = workload("Deployment", "registry.example/broken:1", replicas=1, progressDeadlineSeconds=2)
    client.apply(path, spec)
    failed = until(lambda: client.get(path), lambda v: condition(v, "Progressing").get("status") == "False")
    assert condition(failed, "Progressing")["reason"] == "ProgressDeadlineExceeded"
    assert condition(failed, "Available")["status"] == "False"
    (pod,) = client.get(PODS)["items"]
    waiting = pod["status"]["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "ImagePullBackOff"
    assert "registry.example/broken:1" in waiting["message"]


def test_broken_update_leaves_the_old_pods_alone(client: Client) -> None:
    """A rolling update does not take what works away for what does not, and can be undone."""
    path = f"{APPS}/deployments/web"
    client.apply(path, workload("Deployment", replicas=1))
    until(lambda: client.get(path), lambda v: v["status"].get("availableReplicas") == 1)
    client.apply(path, workload("Deployment", "registry.example/broken:1", replicas=1))
    until(lambda: client.get(path), lambda v: v["status"].get("unavailableReplicas") == 1)
    time.sleep(0.2)
    assert client.get(path)["status"]["availableReplicas"] == 1
    client.apply(path, workload("Deployment", replicas=1))
    back = until(
        lambda: client.get(path),
        lambda v: v["status"].get("replicas") == 1 and "unavailableReplicas" not in v["status"],
    )
    assert condition(back, "Progressing")["reason"] == "NewReplicaSetAvailable"


@pytest.mark.parametrize(
    ("kind", "plural", "wanted"),
    [
        ("StatefulSet", "statefulsets", {"readyReplicas": 3, "updatedReplicas": 3}),
        ("DaemonSet", "daemonsets", {"numberReady": 1, "updatedNumberScheduled": 1}),
        ("ReplicaSet", "replicasets", {"readyReplicas": 3}),
    ],
)
def test_other_workloads_get_ready(client: Client, kind: str, plural: str, wanted: dict[str, int]) -> None:
    """StatefulSets, DaemonSets and bare ReplicaSets end with the counts that mean ready."""
    spec: dict[str, Any] = {} if kind == "DaemonSet" else {"replicas": 3}
    client.apply(f"{APPS}/{plural}/web", workload(kind, **spec))
    until(lambda: client.get(f"{APPS}/{plural}/web"), lambda v: wanted.items() <= v["status"].items())


def test_stateful_set_updates_its_pods_and_keeps_their_claims(client: Client) -> None:
    """Pods keep their names, take the new image from the last one on, and their claims get bound."""
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    path = f"{APPS}/statefulsets/web"
    more: dict[str, Any] = {"replicas": 2, "volumeClaimTemplates": [claim]}
    client.apply(path, workload("StatefulSet", **more))
    until(lambda: client.get(path), lambda v: v["status"].get("readyReplicas") == 2)
    client.apply(path, workload("StatefulSet", "registry.example/app:2", **more))

    def updated(value: Any) -> bool:
        status = value["status"]
        counts = [status.get(key) for key in ("observedGeneration", "updatedReplicas", "readyReplicas")]
        return counts == [2, 2, 2]

    done = until(lambda: client.get(path), updated)
    assert done["status"]["currentRevision"] == done["status"]["updateRevision"]
    pods = client.get(PODS)["items"]
    assert [pod["metadata"]["name"] for pod in pods] == ["web-0", "web-1"]
    claims = client.get("/api/v1/namespaces/default/persistentvolumeclaims")["items"]
    assert [found["metadata"]["name"] for found in claims] == ["data-web-0", "data-web-1"]
    assert {found["status"]["phase"] for found in claims} == {"Bound"}


def test_job_completes_and_expires(client: Client) -> None:
    """A Job gets Complete, and goes when its time to live is over."""
    path = "/apis/batch/v1/namespaces/default/jobs/once"
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "registry.example/job:1"}]}
    spec = {"template": {"spec": pod}, "ttlSecondsAfterFinished": 1}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": spec}
    client.apply(path, body)
    done = until(lambda: client.get(path), lambda v: condition(v, "Complete").get("status") == "True")
    assert done["status"]["succeeded"] == 1
    until(lambda: client.send("GET", path).code, lambda code: code == 404)


def test_deleting_a_deployment_takes_its_pods_along(client: Client) -> None:
    """Background deletion follows owner references down to the pods."""
    path = f"{APPS}/deployments/web"
    client.apply(path, workload("Deployment", replicas=2))
    until(lambda: client.get(path), lambda v: v["status"].get("readyReplicas") == 2)
    assert client.send("DELETE", path).code == 200
    until(lambda: client.get(PODS)["items"], lambda items: not items)
    assert client.get(f"{APPS}/replicasets")["items"] == []


def test_kubectl_and_helm_wait_for_what_gets_ready(shell: Any, tmp_path: Any) -> None:
    """`rollout status` succeeds, and `helm --wait` reports the release that never gets ready."""
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: c\nversion: 0.1.0\n")
    (chart / "values.yaml").write_text("image: registry.example/app:1\n")
    (chart / "templates" / "d.yaml").write_text(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {a: b}}\n"
        "  progressDeadlineSeconds: 3\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n"
        "      containers: [{name: c, image: '{{ .Values.image }}'}]\n"
    )
    good = shell("helm", "upgrade", "--install", "c", str(chart), "--wait", "--timeout", "20s")
    assert good.returncode == 0, good.stderr
    status = shell("kubectl", "rollout", "status", "deployment/web", "--timeout=10s")
    assert "successfully rolled out" in status.stdout, status.stderr
    bad = shell("helm", "upgrade", "c", str(chart), "--wait", "--timeout", "8s", "--set", "image=x/broken:1")
    assert bad.returncode != 0


def test_pods_of_a_template_with_a_name_have_names_of_their_own(client: Client) -> None:
    """The name in a pod template says nothing, as on a real cluster."""
    spec = workload("Deployment", replicas=2)
    spec["spec"]["template"]["metadata"]["name"] = "fixed"
    client.apply(f"{APPS}/deployments/web", spec)
    until(lambda: client.get(f"{APPS}/deployments/web"), lambda v: v["status"].get("availableReplicas") == 2)
