"""Fields that cannot change in place: the diff fails by name, or the object is deleted and made anew if told so."""

from __future__ import annotations

from typing import Any

import pytest

from deploy_pipeline.changes import Operation, text
from deploy_pipeline.errors import ManifestRejected, ReleaseFailed
from tests.actions.conftest import World
from tests.actions.small import NAMESPACE, Small, config_map, deployment, manifest


@pytest.fixture
def small(small_world: World) -> Small:
    """Nothing yet."""
    return Small(small_world)


def _job(image: str) -> dict[str, Any]:
    pod = {"restartPolicy": "Never", "containers": [{"name": "app", "image": image}]}
    return manifest("Job", version="batch/v1", spec={"template": {"spec": pod}})


def _binding(role: str) -> dict[str, Any]:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}
    return manifest("RoleBinding", version="rbac.authorization.k8s.io/v1", roleRef=reference, subjects=[])


def _claim(mode: str) -> dict[str, Any]:
    spec = {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}}
    return manifest("PersistentVolumeClaim", spec=spec)


_CHANGES = [
    (deployment(app="web"), deployment(app="shop"), "spec.selector"),
    (_job("web:1"), _job("web:2"), "spec.template"),
    (_binding("one"), _binding("two"), "roleRef"),
    (
        manifest("Secret", type="Opaque", stringData={"a": "secret-value"}),
        manifest("Secret", type="example.com/other", stringData={"a": "secret-value"}),
        "type",
    ),
    (
        {**config_map(a="1"), "immutable": True},
        {**config_map(a="2"), "immutable": True},
        "data",
    ),
    (
        manifest("Service", spec={"ports": [{"port": 80}], "clusterIP": "10.96.7.7"}),
        manifest("Service", spec={"ports": [{"port": 80}], "clusterIP": "10.96.7.8"}),
        "spec.clusterIP",
    ),
]
_OFTEN = ("Deployment", "Service")


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        pytest.param(*change, id=change[0]["kind"], marks=[] if change[0]["kind"] in _OFTEN else [pytest.mark.long])
        for change in _CHANGES
    ],
)
def test_an_immutable_field_fails_the_diff_and_is_recreated_if_told(
    small: Small, before: dict[str, Any], after: dict[str, Any], field: str
) -> None:
    """Without `recreate` the field is named and nothing changes; with it the diff says so and a release does it."""
    kind = before["kind"].lower()
    small.put("web", before)
    small.deliver()
    old, dump = small.live(kind), small.world.dump()
    small.put("web", after)
    with pytest.raises(ManifestRejected) as caught:
        small.diff()
    assert "cannot be changed in place" in str(caught.value)
    assert field in str(caught.value)
    assert "secret-value" not in str(caught.value)
    assert small.world.dump() == dump

    small.put("web", after, recreate=True)
    change_set = small.diff()
    assert change_set.counts[Operation.RECREATE.value] == 1
    assert "(deleted, then created anew)" in text(change_set)
    assert any(found.path.startswith(field) for app in change_set.apps for c in app.changed for found in c.fields)
    small.deliver()
    assert small.live(kind)["metadata"]["uid"] != old["metadata"]["uid"]
    assert small.diff().is_empty


def test_what_is_wrong_anyway_is_not_recreated(small: Small) -> None:
    """A value that no object may have stays a refusal, in the server's words."""
    small.put("web", deployment(app="web"), recreate=True)
    small.deliver()
    small.put("web", deployment(replicas=-1), recreate=True)
    with pytest.raises(ManifestRejected) as caught:
        small.diff()
    assert "spec.replicas" in str(caught.value)


def test_a_volume_is_not_recreated_unless_the_channel_prunes_volumes(small: Small) -> None:
    """Its data would be gone."""
    small.put("web", _claim("ReadWriteOnce"))
    small.deliver()
    small.put("web", _claim("ReadWriteMany"), recreate=True)
    with pytest.raises(ManifestRejected) as caught:
        small.diff()
    assert "would delete what it holds" in str(caught.value)
    assert "prune_kinds name PersistentVolumeClaim" in str(caught.value)


def test_killed_between_deletion_and_creation_it_is_created_by_the_next_run(small: Small) -> None:
    """The approval of the recreation covers the creation that is left."""
    small.put("web", deployment(app="web"))
    small.deliver()
    small.put("web", deployment(app="shop"), recreate=True)
    small.release_killed_before("Deployment")
    assert small.live("deployment") is None
    small.world.release()
    assert small.live("deployment")["spec"]["selector"]["matchLabels"] == {"app": "shop"}
    assert small.diff().is_empty


def test_an_object_that_does_not_go_away_is_named_with_its_finalizers(small: Small) -> None:
    """The app's time limit bounds the wait."""
    small.put("web", {**config_map(a="1"), "immutable": True})
    small.deliver()
    held = '{"metadata": {"finalizers": ["example.com/hold"]}}'
    small.world.kubectl("patch", "-n", NAMESPACE, "configmap/web", "--type=merge", "-p", held)
    small.put("web", {**config_map(a="2"), "immutable": True}, recreate=True, timeout="2s")
    with pytest.raises(ReleaseFailed) as caught:
        small.deliver()
    assert "is still being deleted; its finalizers: " in str(caught.value)
    assert "example.com/hold" in str(caught.value)


def test_stopped_while_the_deletion_runs_it_is_finished_by_the_next_run(small: Small) -> None:
    """That the object is being deleted is no change that somebody else made."""
    small.put("web", {**config_map(a="1"), "immutable": True})
    small.deliver()
    held = '{"metadata": {"finalizers": ["example.com/hold"]}}'
    small.world.kubectl("patch", "-n", NAMESPACE, "configmap/web", "--type=merge", "-p", held)
    small.put("web", {**config_map(a="2"), "immutable": True}, recreate=True, timeout="1s")
    for _ in range(2):
        with pytest.raises(ReleaseFailed) as caught:
            small.deliver() if small.live("configmap")["metadata"].get("deletionTimestamp") is None else (
                small.world.release()
            )
        assert "is still being deleted" in str(caught.value)
    free = '[{"op": "remove", "path": "/metadata/finalizers"}]'
    small.world.kubectl("patch", "-n", NAMESPACE, "configmap/web", "--type=json", "-p", free)
    small.world.release()
    assert small.live("configmap")["data"] == {"a": "2"}


def test_a_set_that_takes_its_claims_along_is_not_recreated(small: Small) -> None:
    """Its volumes would go with it."""

    def database(service: str) -> dict[str, Any]:
        pod = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db", "image": "db:1"}]}}
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        spec = {
            "serviceName": service,
            "selector": {"matchLabels": {"app": "db"}},
            "template": pod,
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        }
        return manifest("StatefulSet", "db", "apps/v1", spec=spec)

    small.put("web", database("one"), recreate=True)
    small.deliver()
    small.put("web", database("two"), recreate=True)
    with pytest.raises(ManifestRejected) as caught:
        small.diff()
    assert "prune_kinds name PersistentVolumeClaim" in str(caught.value)
