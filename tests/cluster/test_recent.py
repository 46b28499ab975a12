"""Waiting for many objects of a kind costs one list, and one from before a write is never taken for its result."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deploy_pipeline.cluster.cluster import Cluster
from deploy_pipeline.cluster.objects import APP_LABEL, CHANNEL_LABEL, Manifest
from deploy_pipeline.cluster.recent import RecentReads
from deploy_pipeline.sandbox import SandboxCluster
from tests.support.api_gate import ApiRequest, Gate, gate

LONG_AGO, AGES = -1e9, 1e9  # before the machine started, so that no test depends on when that was


def config_map(name: str, value: str, **labels: str) -> dict[str, Any]:
    """A ConfigMap as its app has it."""
    metadata = {"name": name, "namespace": "default", "labels": {CHANNEL_LABEL: "test", APP_LABEL: "web", **labels}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": value}}


MAPS = [config_map(f"map-{number}", "old") for number in range(6)]


@pytest.fixture
def gated(sandbox_cluster: SandboxCluster, tmp_path: Path) -> Iterator[Gate]:
    """A way to the cluster on which every request is seen."""
    sandbox_cluster.write_kubeconfig(tmp_path / "kubeconfig")
    with gate(tmp_path / "kubeconfig", tmp_path / "gated", may_list) as made:
        yield made


def may_list(request: ApiRequest) -> str:
    """Nobody may list Secrets."""
    return "no list of secrets" if (request.verb, request.resource) == ("list", "secrets") else ""


def slow_lists(request: ApiRequest) -> str:
    """Everybody may do everything; lists take a while."""
    time.sleep(1.5 if request.verb == "list" else 0)
    return ""


@pytest.fixture
def cluster(gated: Gate) -> Cluster:
    """The cluster by this way, with six ConfigMaps; what was asked is forgotten."""
    cluster = Cluster(gated.kubeconfig, None, "deploy-pipeline")
    for manifest in MAPS:
        cluster.objects.apply(manifest)
    gated.seen.clear()
    return cluster


def verbs(gated: Gate, resource: str = "configmaps") -> Counter[str]:
    """What was asked about objects of a kind, and how often."""
    return Counter(request.verb for request in gated.seen if request.resource == resource)


def test_many_that_wait_share_a_list(cluster: Cluster, gated: Gate) -> None:
    """The first few are read one by one; as soon as a list pays it serves all, until it is too old."""
    recent = RecentReads(cluster, "test")
    for _ in range(5):
        for manifest in MAPS:
            found = recent.live(manifest, since=LONG_AGO, max_age=AGES)
            assert found is not None
            assert (found["metadata"]["name"], found["data"]) == (manifest["metadata"]["name"], {"k": "old"})
    assert verbs(gated) == {"get": 3, "list": 1}
    recent.live(MAPS[0], since=LONG_AGO, max_age=0.0)
    assert verbs(gated) == {"get": 3, "list": 2}


def test_a_list_from_before_a_write_does_not_show_its_result(cluster: Cluster) -> None:
    """An old status would say that the new state is ready."""
    recent = RecentReads(cluster, "test")
    for manifest in MAPS:
        recent.live(manifest, since=LONG_AGO, max_age=AGES)
    changed = config_map("map-5", "new")
    cluster.objects.apply(changed, seen=str(version_of(cluster, changed)))
    found = recent.live(changed, since=time.monotonic(), max_age=AGES)
    assert found is not None
    assert found["data"] == {"k": "new"}


def version_of(cluster: Cluster, manifest: dict[str, Any]) -> str:
    """The resource version of the live object."""
    live = cluster.objects.live(manifest)
    assert live is not None
    return str(live["metadata"]["resourceVersion"])


def test_what_a_list_does_not_show_is_read_itself(cluster: Cluster, gated: Gate) -> None:
    """Objects that Helm made have no label of ours, and objects may be gone."""
    recent = RecentReads(cluster, "test")
    foreign = config_map("of-helm", "old", **{CHANNEL_LABEL: "another"})
    cluster.objects.apply(foreign)
    gone = config_map("gone", "old")
    for manifest in MAPS:
        recent.live(manifest, since=LONG_AGO, max_age=AGES)
    gated.seen.clear()
    for _ in range(2):
        assert recent.live(foreign, since=LONG_AGO, max_age=AGES) is not None
        assert recent.live(gone, since=LONG_AGO, max_age=AGES) is None
    assert verbs(gated) == {"get": 4}


def test_an_account_that_may_not_list_reads_one_by_one(cluster: Cluster, gated: Gate) -> None:
    """It is asked for a list once, not all the time."""
    recent = RecentReads(cluster, "test")
    secrets = [{**manifest, "kind": "Secret", "data": {"k": "b2xk"}} for manifest in MAPS]
    for secret in secrets:
        cluster.objects.apply(secret)
    gated.seen.clear()
    for _ in range(3):
        for secret in secrets:
            assert recent.live(secret, since=LONG_AGO, max_age=0.0) is not None
    assert verbs(gated, "secrets") == {"get": 3 * len(secrets)}
    assert [request.verb for request in gated.refused] == ["list"]


def test_a_slow_list_serves_all_who_wait_for_it(cluster: Cluster, gated: Gate) -> None:
    """It may take longer than an answer may be old: who waits does not begin another."""
    recent, late = RecentReads(cluster, "test"), [config_map(f"late-{number}", "old") for number in range(12)]
    for manifest in late:
        cluster.objects.apply(manifest)
    gated.seen.clear()
    gated.guard = slow_lists
    together = threading.Barrier(len(late), timeout=10)

    def wait(manifest: Manifest) -> Manifest | None:
        together.wait()
        return recent.live(manifest, since=LONG_AGO, max_age=1.0)

    with ThreadPoolExecutor(len(late)) as pool:
        found = list(pool.map(wait, late))
    assert [live["metadata"]["name"] for live in found if live] == [manifest["metadata"]["name"] for manifest in late]
    assert verbs(gated)["list"] == 1


def test_a_few_of_many_are_read_one_by_one(cluster: Cluster, gated: Gate) -> None:
    """A list of all would show far more than was asked for."""
    many = [config_map(f"more-{number}", "old") for number in range(50)]
    for manifest in many:
        cluster.objects.apply(manifest)
    recent = RecentReads(cluster, "test")
    for manifest in many:
        recent.live(manifest, since=LONG_AGO, max_age=AGES)
    gated.seen.clear()
    for manifest in many[:4] * 3:
        recent.live(manifest, since=LONG_AGO, max_age=0.0)
    assert verbs(gated) == {"list": 1, "get": 11}  # all had asked since the last list
