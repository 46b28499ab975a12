"""What leaves an app is deleted: within the channel's limit, what is still ours, and only kinds that hold no others."""

from __future__ import annotations

import pytest

from deploy_pipeline.changes import Operation
from deploy_pipeline.cluster.inventory import Inventory
from deploy_pipeline.errors import ApprovalError, PruneLimitExceeded, ReleaseFailed
from tests.actions.conftest import World
from tests.actions.small import NAMESPACE, Small, config_map, manifest

_KEEP = {"deploy-pipeline.io/prune": "disabled"}
_RELEASED = '[{"op": "remove", "path": "/metadata/finalizers"}]'
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


@pytest.fixture
def small(small_world: World) -> Small:
    """Nothing yet."""
    return Small(small_world)


def _inventory(small: Small) -> Inventory:
    return small.world.deployer.cluster("test").inventories("test").all()["web"]


def test_more_than_the_limit_is_refused_with_all_names(small: Small) -> None:
    """Eleven of twelve objects: the diff, the promotion and the release stop, nothing is changed."""
    maps = [config_map(f"map-{number:02d}") for number in range(12)]
    small.put("web", *maps)
    small.deliver()
    before, owned = small.world.dump(), _inventory(small)
    small.put("web", maps[0])
    with pytest.raises(PruneLimitExceeded) as caught:
        small.diff()
    assert "11 of 12 objects would be deleted; the limit is 30 % or 10, here 10" in str(caught.value)
    assert "ConfigMap shop/map-11" in str(caught.value)
    with pytest.raises(PruneLimitExceeded):
        small.deliver()
    assert (small.world.dump(), _inventory(small)) == (before, owned)


def test_a_change_cannot_raise_the_limit_for_itself(small: Small) -> None:
    """The limit is that of what was released last; raised by a release of its own, it holds."""
    maps = [config_map(f"map-{number:02d}") for number in range(12)]
    small.put("web", *maps)
    small.deliver()
    small.channel(prune_limit="100%")
    small.put("web", maps[0])
    with pytest.raises(PruneLimitExceeded):
        small.diff()
    small.put("web", *maps)
    small.deliver()
    small.put("web", maps[0])
    small.deliver()
    assert [name for name in small.world.dump() if "map-" in name] == ["ConfigMap/shop/map-00"]


def test_an_app_that_leaves_is_bound_by_the_limit(small: Small) -> None:
    """An entry that vanished from the channel file may be a mistake, too."""
    small.channel(prune_limit="2")
    small.put("web", *(config_map(f"map-{number}") for number in range(3)))
    small.put("rest", config_map("rest"))
    small.deliver()
    small.drop("web")
    with pytest.raises(PruneLimitExceeded, match="1 app"):
        small.deliver()
    assert small.live("configmap", "map-2") is not None


def test_an_annotated_object_stays_and_is_remembered(small: Small) -> None:
    """Said as a warning; once the annotation is gone, the object goes with the next release."""
    small.put("web", config_map("first"), config_map("kept", annotations=_KEEP))
    small.deliver()
    small.put("web", config_map("first"))
    (app,) = small.diff().apps
    assert app.warnings == (
        "ConfigMap shop/kept left the app and stays: it is annotated deploy-pipeline.io/prune: disabled",
    )
    small.deliver()
    assert small.live("configmap", "kept") is not None
    small.world.kubectl("annotate", "-n", NAMESPACE, "configmap/kept", "deploy-pipeline.io/prune-")
    small.deliver()
    assert small.live("configmap", "kept") is None


def test_an_annotation_set_while_the_release_runs_stops_the_deletion(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner and the annotation are looked at again right before the deletion."""
    small.put("web", config_map("first"), config_map("kept"))
    small.deliver()
    small.put("web", config_map("first"))
    small.push()
    small.world.promote()
    objects = small.world.deployer.cluster("test").objects
    delete = objects.delete

    def delete_after_annotation(live: dict[str, object], **more: bool) -> bool:
        small.world.kubectl(
            "annotate", "--overwrite", "-n", NAMESPACE, "configmap/kept", "deploy-pipeline.io/prune=disabled"
        )
        return delete(live, **more)

    monkeypatch.setattr(objects, "delete", delete_after_annotation)
    with pytest.raises(ReleaseFailed, match="web") as caught:
        small.world.release()
    assert "ConfigMap shop/kept was changed by somebody else" in str(caught.value)
    assert small.live("configmap", "kept") is not None
    assert any(member.ref.name == "kept" for member in _inventory(small).members)


def test_volumes_and_namespaces_are_pruned_only_if_the_channel_says_so(small: Small) -> None:
    """They stay with a warning, and stay owned; a release after the channel was told takes them."""
    small.put(
        "web",
        config_map("first"),
        manifest("PersistentVolumeClaim", "data", spec=_CLAIM),
        manifest("Namespace", NAMESPACE),
    )
    small.deliver()
    small.put("web", config_map("first"))
    assert small.diff().counts[Operation.PRUNE.value] == 0
    small.deliver()
    assert small.live("persistentvolumeclaim", "data") is not None
    small.channel(prune_kinds=["PersistentVolumeClaim"])
    small.deliver()
    assert small.live("persistentvolumeclaim", "data") is not None
    small.deliver()
    assert small.live("persistentvolumeclaim", "data") is None
    assert small.world.object("namespace", NAMESPACE) is not None


def test_an_object_of_a_version_that_is_no_longer_served_is_pruned(small: Small) -> None:
    """The cluster was upgraded: the inventory names policy/v1beta1, the object is there as policy/v1."""
    budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    small.put("web", config_map("first"), manifest("PodDisruptionBudget", "web", "policy/v1", spec=budget))
    small.deliver()
    inventories = small.world.deployer.cluster("test").inventories("test")
    documents = small.world.deployer.cluster("test").documents

    def outdated(document: dict[str, list[list[str]]]) -> dict[str, list[list[str]]]:
        members = [[m[0].replace("policy/v1", "policy/v1beta1"), *m[1:]] for m in document["members"]]
        return {**document, "members": members}

    documents.change("inventory.test", "inventory.test.web", outdated)
    assert any(m.api_version == "policy/v1beta1" for m in inventories.all()["web"].members)
    small.put("web", config_map("first"))
    small.deliver()
    assert small.live("poddisruptionbudget") is None


def test_an_object_that_is_not_ours_any_more_is_left_alone(small: Small) -> None:
    """Somebody gave it to another app: it is not deleted, and is forgotten."""
    small.put("web", config_map("first"), config_map("given"))
    small.deliver()
    small.world.kubectl("label", "--overwrite", "-n", NAMESPACE, "configmap/given", "deploy-pipeline.io/app=other")
    small.put("web", config_map("first"))
    small.deliver()
    assert small.live("configmap", "given") is not None
    assert [member.ref.name for member in _inventory(small).members] == ["first"]


def test_what_is_being_deleted_already_is_not_deleted_again(small: Small) -> None:
    """A finalizer holds it: it is named, and stays in the inventory until it is gone."""
    small.put("web", config_map("first"), config_map("held"))
    small.deliver()
    held = '{"metadata": {"finalizers": ["example.com/hold"]}}'
    small.world.kubectl("patch", "-n", NAMESPACE, "configmap/held", "--type=merge", "-p", held)
    small.put("web", config_map("first"))
    small.deliver()
    (app,) = small.diff().apps
    assert app.warnings == ("ConfigMap shop/held left the app and stays: it is being deleted already",)
    assert app.is_empty
    small.world.kubectl("patch", "-n", NAMESPACE, "configmap/held", "--type=json", "-p", _RELEASED)
    small.deliver()
    assert [member.ref.name for member in _inventory(small).members] == ["first"]


def test_an_approval_does_not_cover_more_deletions(small: Small) -> None:
    """What left the app only since the approval, is not deleted by it."""
    small.put("web", config_map("first"), config_map("second"))
    small.deliver()
    small.put("web", config_map("first"))
    small.push()
    small.world.promote()
    small.world.kubectl("delete", "-n", NAMESPACE, "configmap/first")
    with pytest.raises(ApprovalError):
        small.world.release()
    assert small.live("configmap", "second") is not None
