"""What the deployer keeps in the cluster: locks, inventories, approvals, releases, the masking key."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from deploy_pipeline.cluster import lock as lock_module
from deploy_pipeline.cluster.cluster import Cluster
from deploy_pipeline.cluster.inventory import Inventory, Member
from deploy_pipeline.cluster.objects import ObjectRef
from deploy_pipeline.cluster.records import Approval, ReleaseRecord, ReleaseState
from deploy_pipeline.errors import ChannelLocked, ClusterUnreachable, RaceLost
from deploy_pipeline.sandbox import SandboxCluster
from tests.support.api_gate import gate


@pytest.fixture
def kubeconfig(sandbox_cluster: SandboxCluster, tmp_path: Path) -> Path:
    """A kubeconfig of the sandbox."""
    path = tmp_path / "kubeconfig"
    sandbox_cluster.write_kubeconfig(path)
    return path


@pytest.fixture
def cluster(kubeconfig: Path) -> Cluster:
    """The sandbox as the deployer sees it."""
    return Cluster(kubeconfig, None, "deploy-pipeline")


def other_process(kubeconfig: Path) -> Cluster:
    """The same cluster with nothing shared in memory, as another process has it."""
    return Cluster(kubeconfig, None, "deploy-pipeline")


def record(commit: str, **more: Any) -> ReleaseRecord:
    """A release that has begun."""
    return ReleaseRecord(commit, "tree", "sha256:0", ReleaseState.RELEASING, "2030-01-01T00:00:00Z", **more)


def test_a_held_channel_refuses_a_second_holder_and_names_the_first(cluster: Cluster, kubeconfig: Path) -> None:
    """Two deployers that know nothing of each other cannot release one channel at once."""
    with (
        cluster.lock("test").held("release of test", 0),
        pytest.raises(ChannelLocked, match="release of test"),
        other_process(kubeconfig).lock("test").held("another", 0.6),
    ):
        pytest.fail("the lock was given twice")


def test_another_channel_is_free_and_a_lock_is_given_back(cluster: Cluster, kubeconfig: Path) -> None:
    """A lock holds for its channel and its block only."""
    with cluster.lock("test").held("one", 0), other_process(kubeconfig).lock("prod").held("two", 0):
        pass
    with other_process(kubeconfig).lock("test").held("three", 0):
        pass


def test_the_lock_of_a_dead_holder_expires(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder that stopped renewing loses the lock after its duration, by the waiter's own watch."""
    monkeypatch.setattr(lock_module, "_RENEWALS", 0.01)
    with Cluster(kubeconfig, None, "deploy-pipeline", 1).lock("test").held("dead", 0):
        started = time.monotonic()
        with other_process(kubeconfig).lock("test").held("next", 10):
            assert time.monotonic() - started >= 1.0


def test_a_holder_that_lost_its_lock_is_stopped(
    cluster: Cluster, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next write after losing the lock does not happen."""
    monkeypatch.setattr(lock_module, "_RENEWALS", 200)
    with cluster.lock("test").held("first", 0) as first:
        path = "/apis/coordination.k8s.io/v1/namespaces/deploy-pipeline/leases/channel.test"
        lease = cluster.connection.get(path).body
        lease["spec"]["holderIdentity"] = "somebody else"
        assert other_process(kubeconfig).connection.send("PUT", path, None, lease).ok
        time.sleep(0.5)
        with pytest.raises(RaceLost):
            first.check()


def test_every_process_has_the_same_masking_key(kubeconfig: Path) -> None:
    """Fingerprints made at once by several deployers of a new cluster agree."""
    found: list[str] = []

    def fingerprint() -> None:
        found.append(other_process(kubeconfig).redactor.fingerprint(b"value"))

    threads = [threading.Thread(target=fingerprint) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1


def test_an_inventory_grows_before_it_shrinks(cluster: Cluster) -> None:
    """What an interrupted release made is remembered together with what was there."""
    old, new = (Member("v1", ObjectRef("", "ConfigMap", "shop", name)) for name in ("old", "new"))
    inventories = cluster.inventories("test")
    inventories.put(Inventory("web", "kustomize", (old,)))
    inventories.grow(Inventory("web", "kustomize", (new,)))
    assert set(inventories.all()["web"].members) == {old, new}
    inventories.put(Inventory("web", "kustomize", (new,)))
    assert inventories.all()["web"].members == (new,)
    inventories.forget("web")
    assert inventories.all() == {}


def test_concurrent_inventories_do_not_overwrite_each_other(cluster: Cluster) -> None:
    """Apps of one channel settle at the same time."""
    inventories = cluster.inventories("test")
    threads = [threading.Thread(target=inventories.put, args=(Inventory(f"app{n}", "kustomize"),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(inventories.all()) == [f"app{n}" for n in range(8)]


def test_the_last_good_release_survives_a_failed_one(cluster: Cluster) -> None:
    """A failure names what ran before; continuing it makes no second entry."""
    records = cluster.records("test")
    good, bad = record("a" * 40), record("b" * 40)
    records.begin(good)
    records.finish(good, ReleaseState.RELEASED)
    records.begin(bad)
    records.finish(bad, ReleaseState.FAILED, "no image")
    records.begin(bad)
    last = records.last_released()
    assert last is not None
    assert last.commit == good.commit
    assert [(r.commit[:1], r.state) for r in records.releases()] == [
        ("b", ReleaseState.RELEASING),
        ("a", ReleaseState.RELEASED),
    ]


def test_an_approval_counts_for_its_commit_only(cluster: Cluster) -> None:
    """Neither another commit nor another channel finds it; a withdrawn one is gone."""
    records = cluster.records("test")
    approval = Approval("test", "c" * 40, "tree", "sha256:1", "ann", "2030-01-01T00:00:00Z", "d" * 40, "run", {"a": 1})
    records.approve(approval)
    assert records.approval("c" * 40) == approval
    assert records.approval("c" * 39 + "d") is None
    assert cluster.records("prod").approval("c" * 40) is None
    records.withdraw("c" * 40)
    assert records.approval("c" * 40) is None


def test_an_unreachable_cluster_says_so(kubeconfig: Path, sandbox_cluster: SandboxCluster) -> None:
    """The error names the server and can be retried."""
    cluster = other_process(kubeconfig)
    url = sandbox_cluster.url
    sandbox_cluster.stop()
    with pytest.raises(ClusterUnreachable, match=url):
        _ = cluster.uid


def test_a_label_alone_makes_no_document_of_another_kind(cluster: Cluster) -> None:
    """An account that may write some names only cannot bring an inventory in under one of them."""
    inventories = cluster.inventories("test")
    inventories.put(Inventory("web", "kustomize"))
    forged: dict[str, Any] = {"app": "forged", "driver": "kustomize", "helm_release": None, "members": []}
    cluster.documents.change("inventory.test", "review.test.1", lambda _: forged)
    assert set(inventories.all()) == {"web"}


def test_the_namespaces_of_all_channels_take_few_requests(kubeconfig: Path, tmp_path: Path) -> None:
    """A cluster may have hundreds of channels; one that shares a namespace with another has it, too."""
    with gate(kubeconfig, tmp_path / "gated") as gated:
        cluster = Cluster(gated.kubeconfig, None, "deploy-pipeline")
        for number in range(60):
            channel, namespace = f"channel-{number}", "shared" if number < 2 else f"space-{number}"
            with cluster.lock(channel).held("test", 5):
                member = Member("v1", ObjectRef("", "ConfigMap", namespace, "a"))
                cluster.inventories(channel).put(Inventory("web", "kustomize", (member,)))
        gated.seen.clear()
        found = cluster.namespaces_of_others("channel-0")
    assert found == {f"space-{number}": f"channel-{number}" for number in range(2, 60)}
    assert Counter(request.resource for request in gated.seen) == {"leases": 1, "configmaps": 2}
