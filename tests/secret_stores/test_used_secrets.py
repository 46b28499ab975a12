"""Which Secrets the pods of a workload use."""

from __future__ import annotations

from typing import Any

import pytest

from deploy_pipeline.drivers.restarting import used_secrets


def _workload(kind: str = "Deployment", version: str = "apps/v1", **pod: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "web"}, "spec": {"template": {"spec": pod}}}


def _container(**content: Any) -> list[dict[str, Any]]:
    return [{"name": "app"}, {"name": "other", **content}]


@pytest.mark.parametrize(
    "pod",
    [
        {"containers": _container(envFrom=[{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}}])},
        {"containers": _container(env=[{"name": "A"}, {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}])},
        {"initContainers": _container(envFrom=[{"secretRef": {"name": "s"}}])},
        {"volumes": [{"name": "c", "configMap": {"name": "c"}}, {"name": "v", "secret": {"secretName": "s"}}]},
        {"volumes": [{"name": "p", "projected": {"sources": [{"configMap": {}}, {"secret": {"name": "s"}}]}}]},
    ],
    ids=["envFrom", "env", "init container", "volume", "projected volume"],
)
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_each_way_to_use_a_secret(kind: str, pod: dict[str, Any]) -> None:
    """As variables and as files, in all containers."""
    assert used_secrets(_workload(kind, **pod)) == {"s"}


@pytest.mark.parametrize("kind", [("Job", "batch/v1"), ("CronJob", "batch/v1"), ("Pod", "v1"), ("Deployment", "x/v1")])
def test_nothing_else_is_restarted(kind: tuple[str, str]) -> None:
    """The template of a Job cannot change; a kind of another group only bears the name."""
    assert used_secrets(_workload(*kind, containers=_container(envFrom=[{"secretRef": {"name": "s"}}]))) == set()


@pytest.mark.parametrize(
    "pod",
    [
        {"volumes": "s"},
        {"volumes": ["s", None, {"secret": "s"}, {"secret": {"secretName": ["s"]}}, {"projected": {"sources": {}}}]},
        {"containers": {"a": 1}, "initContainers": [{"env": "s", "envFrom": [None]}, {"env": [{"valueFrom": []}]}]},
    ],
)
def test_manifests_that_the_server_will_refuse(pod: dict[str, Any]) -> None:
    """They are passed on as they are; what is wrong with them, the server says."""
    assert used_secrets(_workload(**pod)) == set()
    assert used_secrets({**_workload(), "spec": pod}) == set()
