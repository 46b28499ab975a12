"""Releases on a cluster: complete, exact and repeatable."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from deploy_pipeline.changes import Operation
from deploy_pipeline.channels import load_channel
from deploy_pipeline.cluster.cluster import Cluster
from deploy_pipeline.cluster.records import Approval, ReleaseState
from deploy_pipeline.deployer import Deployer
from deploy_pipeline.errors import (
    RefusedError,
)
from deploy_pipeline.planning import plan_channel
from deploy_pipeline.promotion import diff_promotion, find_candidate
from deploy_pipeline.release import history
from tests.actions.conftest import World
from tests.actions.example import CHANNEL, KUSTOMIZATION, WEB, add_resource, set_image, states, versions


def test_the_first_release_brings_everything(world: World) -> None:
    """Both drivers, their namespaces and secrets; the record says by whom it was approved."""
    result = world.deliver()
    assert states(world) == {"archiver": "released", "web": "released", "metabase": "released"}
    assert world.object("deployment", "archiver", "archiver")["status"]["availableReplicas"] >= 1
    assert world.object("secret", "feed-secrets", "archiver")["data"]
    assert world.object("secret", "database-backup", "metabase")["data"]
    assert world.object("deployment", "metabase", "metabase")["metadata"]["labels"]["app.kubernetes.io/managed-by"] == (
        "Helm"
    )
    record = history(world.deployer, "test")[0]
    assert (record.commit, record.state, record.approved_by) == (result.commit, ReleaseState.RELEASED, "ann")


def test_a_second_release_changes_nothing(released: World) -> None:
    """Not one resource version moves, and Helm makes no new revision."""
    before = versions(released)
    released.apps.clear()
    result = released.release()
    assert states(released) == {"archiver": "unchanged", "web": "unchanged", "metabase": "unchanged"}
    assert result.change_set is not None
    assert result.change_set.is_empty
    assert versions(released) == before


def test_what_was_predicted_is_what_happened(released: World) -> None:
    """Exactly the objects that the change set names differ between full dumps before and after."""
    before = released.dump()
    add_resource(released, "extra", WEB)
    set_image(released, "registry.example/feeds/next:9.9.9")
    values = "kubernetes/apps/values/metabase-test.yaml"
    released.origin.commit("main", {values: released.origin.show("main", values) + "\nembeddingKey2: unused\n"})
    released.render()
    promotion = released.promote()
    released.release()
    after = released.dump()
    made = {name for name in after.keys() - before.keys() if _is_asked_for(after[name])}
    changed = {name for name in after.keys() & before.keys() if _spec(after[name]) != _spec(before[name])}
    predicted: dict[Operation, set[str]] = {Operation.CREATE: set(), Operation.UPDATE: set()}
    for app in promotion.change_set.apps:
        for change in app.changed:
            predicted[change.operation].add(f"{change.ref.kind}/{change.ref.namespace}/{change.ref.name}")
    assert made == predicted[Operation.CREATE] == {"ConfigMap/web/extra"}
    assert changed == predicted[Operation.UPDATE] == {"Deployment/web/web"}


def _spec(item: dict[str, Any]) -> Any:
    """What somebody asked for, without what the server and controllers keep."""
    metadata = {key: item["metadata"].get(key) for key in ("labels",)}
    return metadata, {k: v for k, v in item.items() if k not in ("metadata", "status")}


def _is_asked_for(item: dict[str, Any]) -> bool:
    """Neither made by a controller nor a record of Helm."""
    return not item["metadata"].get("ownerReferences") and item.get("type") != "helm.sh/release.v1"


def test_what_leaves_an_app_is_pruned_and_its_namespace_stays(world: World) -> None:
    """A removed manifest goes from the cluster; objects nobody released stay untouched."""
    add_resource(world, "extra", WEB)
    world.deliver()
    world.kubectl("create", "configmap", "foreign", "--namespace", "web")
    assert world.object("configmap", "extra", "web")
    folder = KUSTOMIZATION.rpartition("/")[0]
    text = world.origin.show("main", KUSTOMIZATION).replace("  - extra.yaml\n", "")
    result = world.deliver({KUSTOMIZATION: text, f"{folder}/extra.yaml": None})
    assert result.change_set is not None
    assert result.change_set.counts["prune"] == 1
    assert world.object("configmap", "extra", "web") is None
    assert world.object("configmap", "foreign", "web")


def test_an_app_that_leaves_the_channel_takes_its_objects_along(released: World) -> None:
    """The Helm release is uninstalled, kustomize objects are deleted, namespaces stay."""
    web = "{name: web, driver: kustomize, kustomize_dir: kubernetes/apps/overlays/web-test}"
    released.deliver({CHANNEL: f"channel: test\nreleases: [{web}]\n"})
    assert released.object("deployment", "archiver", "archiver") is None
    assert released.object("secret", "feed-secrets", "archiver") is None
    assert released.object("deployment", "metabase", "metabase") is None
    assert released.object("secret", "database-backup", "metabase") is None
    assert released.object("namespace", "archiver")
    assert released.object("deployment", "web", "web")
    assert released.release().change_set.is_empty  # type: ignore[union-attr]


def test_a_channel_without_apps_deletes_nothing(released: World) -> None:
    """An emptied list is far more often a mistake than a wish."""
    before = versions(released)
    released.deliver({CHANNEL: "channel: test\nreleases: []\n"})
    assert versions(released) == before


def test_the_sensor_releases_a_commit_once(world: World) -> None:
    """A lost cursor asks again; the cluster itself knows better."""
    done = world.deliver()
    again = world.release(only_if_new=True, commit=done.commit)
    assert again.skipped
    set_image(world, "registry.example/feeds/next:12")
    world.render()
    world.promote()
    stale = world.release(only_if_new=True, commit=done.commit)
    assert stale.skipped
    with pytest.raises(RefusedError, match="is not the head"):
        world.release(commit=done.commit)


def test_a_narrowed_release_does_its_apps_and_the_rest_follows(world: World) -> None:
    """``--app`` releases some apps of an approved change set; the whole release continues it."""
    world.render()
    world.promote()
    world.release(apps=["web"])
    assert states(world) == {"web": "released"}
    assert world.object("deployment", "archiver", "archiver") is None
    assert history(world.deployer, "test")[0].state is ReleaseState.PARTIAL
    world.release()
    assert world.object("deployment", "archiver", "archiver")
    assert history(world.deployer, "test")[0].state is ReleaseState.RELEASED


def test_a_diff_writes_nothing(world: World) -> None:
    """Not even a namespace, beyond the deployer's own."""
    world.render()
    before = versions(world)
    found = diff_promotion(world.deployer, "test", "main", progress=world.progress.append)
    assert found.counts["create"] > 5
    assert versions(world) == before


def test_a_release_that_waited_for_the_lock_releases_what_is_there_then(
    released: World, make_deployer: Callable[..., Deployer]
) -> None:
    """While it waited, a newer commit was released; it must not go back to the one it was started for."""
    set_image(released, "registry.example/feeds/next:15")
    released.render()
    released.promote()
    waiting = Cluster(released.kubeconfig, None, "deploy-pipeline", 5)
    results: list[Any] = []
    other = World(released.origin, make_deployer(lock_wait=30), released.kubeconfig, released.secrets)
    with waiting.lock("test").held("somebody", 0):
        thread = threading.Thread(target=lambda: results.append(other.release()))
        thread.start()
        time.sleep(1)
        newer = _commit_without_lock(released, "registry.example/feeds/next:16")
    thread.join()
    assert [result.commit for result in results] == [newer]


def _commit_without_lock(world: World, image: str) -> str:
    """What a promotion by another deployer leaves while the lock is held by the test."""
    set_image(world, image)
    world.render()
    namespace = World(world.origin, world.deployer, world.kubeconfig, world.secrets)
    source = find_candidate(world.deployer, "main")
    tree = world.deployer.mirror.tree(source.sha)
    plan = plan_channel(world.deployer, load_channel(tree, "test"), tree, progress=namespace.progress.append)
    parent = world.origin.heads()["releases/test"]
    commit = world.origin.git("commit-tree", "-p", parent, "-m", "newer", source.tree).strip()
    changes = plan.change_set
    approval = Approval(
        "test", commit, source.tree, changes.digest, "ann", "2030-01-01T00:00:00Z", source.sha, "", changes.to_json()
    )
    plan.cluster.records("test").approve(approval)
    world.origin.git("update-ref", "refs/heads/releases/test", commit)
    return commit
