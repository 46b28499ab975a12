"""Objects that others have: those ``kubectl apply`` made become ours whole, those of other owners only if told so."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from deploy_pipeline.changes import Operation
from deploy_pipeline.errors import OwnedByAnother
from tests.actions.conftest import World
from tests.actions.small import NAMESPACE, Small, config_map, deployment, manifest

_APPLIED = 'metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]'


@pytest.fixture
def small(small_world: World) -> Small:
    """Nothing yet."""
    return Small(small_world)


def _kubectl_apply(world: World, *manifests: dict[str, Any]) -> None:
    world.kubectl("create", "namespace", NAMESPACE)
    world.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=yaml.safe_dump_all(manifests))


def test_what_kubectl_applied_before_and_left_the_manifest_goes(small: Small) -> None:
    """As a client-side apply of the new manifest would have done; the diff says so, and nothing else happens."""
    before = deployment(image="web:1")
    before["spec"]["template"]["spec"]["containers"].append({"name": "sidecar", "image": "sidecar:1"})
    before["spec"]["minReadySeconds"] = 5
    _kubectl_apply(small.world, before, config_map(old="1", same="2"))
    small.world.kubectl("label", "-n", NAMESPACE, "configmap/web", "team=blue")
    small.put("web", deployment(image="web:1"), config_map(same="2", new="3"))

    changed = {f.path: (f.before, f.after) for f in small.change(kind="Deployment").fields}
    assert changed["spec.template.spec.containers[sidecar].image"] == ('"sidecar:1"', None)
    assert changed["spec.minReadySeconds"] == ("5", None)
    assert changed[_APPLIED][1] is None
    changed = {f.path: (f.before, f.after) for f in small.change(kind="ConfigMap").fields}
    assert (changed["data.old"], changed["data.new"]) == (('"1"', None), (None, '"3"'))
    assert "data.same" not in changed

    small.deliver()
    live = small.live("configmap")
    assert live["data"] == {"same": "2", "new": "3"}
    assert live["metadata"]["labels"]["team"] == "blue"
    assert "annotations" not in live["metadata"]
    assert [c["name"] for c in small.live("deployment")["spec"]["template"]["spec"]["containers"]] == ["app"]
    shown = small.world.kubectl("get", "-n", NAMESPACE, "configmap/web", "-o", "yaml", "--show-managed-fields")
    assert "kubectl-client-side-apply" not in shown
    assert small.diff().is_empty


def test_an_empty_map_in_the_manifest_takes_over_as_well(small: Small) -> None:
    """What kubectl set in it goes, its own annotation included, just as shown."""
    _kubectl_apply(
        small.world, manifest("ConfigMap", labels={"tier": "x"}, annotations={"note": "mine"}, data={"a": "1"})
    )
    small.put("web", manifest("ConfigMap", annotations={}, data={}))
    paths = [field.path for field in small.change().fields]
    assert {"data.a", "metadata.labels.tier", "metadata.annotations.note", _APPLIED} <= set(paths)
    small.deliver()
    live = small.live("configmap")
    assert not live.get("data")
    assert not live["metadata"].get("annotations")
    assert "tier" not in live["metadata"]["labels"]
    assert small.diff().is_empty


def test_what_somebody_else_set_on_top_stays(small: Small) -> None:
    """Only what kubectl apply had set is taken over: a field that another manager owns as well is not removed."""
    _kubectl_apply(small.world, config_map(shared="1"))
    patch = '{"data": {"shared": "2", "own": "3"}}'
    small.world.kubectl("patch", "-n", NAMESPACE, "configmap/web", "--field-manager=operator", "-p", patch)
    small.put("web", config_map(new="4"))
    small.deliver()
    assert small.live("configmap")["data"] == {"shared": "2", "own": "3", "new": "4"}


def test_a_take_over_that_was_interrupted_is_finished(small: Small) -> None:
    """Killed between the hand-over and the apply, the next release does the rest of what was approved."""
    _kubectl_apply(small.world, config_map(old="1"))
    small.put("web", config_map(new="2"))
    small.release_killed_before("ConfigMap")
    assert small.live("configmap")["data"] == {"old": "1"}
    small.world.release()
    assert small.live("configmap")["data"] == {"new": "2"}


_MARKS = [
    ({"labels": {"applyset.kubernetes.io/part-of": "applyset-x-v1"}}, "the ApplySet applyset-x-v1"),
    ({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, "the Flux Kustomization apps"),
    ({"annotations": {"argocd.argoproj.io/tracking-id": "shop:v1"}}, "the Argo CD application shop:v1"),
    (
        {"annotations": {"meta.helm.sh/release-name": "db", "meta.helm.sh/release-namespace": "x"}},
        "the Helm release x/db",
    ),
    (
        {"labels": {"deploy-pipeline.io/channel": "prod", "deploy-pipeline.io/app": "web"}},
        "app web of channel prod",
    ),
]


@pytest.mark.parametrize(
    ("marks", "owner"),
    [
        *(pytest.param(marks, owner, id=owner, marks=pytest.mark.long) for marks, owner in _MARKS[:3]),
        *(pytest.param(marks, owner, id=owner) for marks, owner in _MARKS[3:]),
    ],
)
def test_an_object_with_an_owner_is_refused_by_name_and_adopted_only_if_told(
    small: Small, marks: dict[str, Any], owner: str
) -> None:
    """Nothing is changed; `adopt: true` takes it over, which the diff shows."""
    _kubectl_apply(small.world, manifest("ConfigMap", data={"a": "1"}, **marks))
    before = small.world.dump()
    small.put("web", config_map(a="2"))
    with pytest.raises(OwnedByAnother, match="failed") as caught:
        small.diff()
    assert owner in str(caught.value)
    with pytest.raises(OwnedByAnother):
        small.deliver()
    assert small.world.dump() == before

    small.put("web", config_map(a="2"), adopt=True)
    paths = [field.path for field in small.change().fields]
    assert 'metadata.labels["deploy-pipeline.io/channel"]' in paths
    small.deliver()
    assert small.live("configmap")["data"] == {"a": "2"}
    assert small.diff().is_empty


def test_an_object_that_a_controller_made_is_not_taken_over(small: Small) -> None:
    """A ReplicaSet belongs to its Deployment."""
    small.put("web", deployment())
    small.deliver()
    name = small.world.kubectl("get", "-n", NAMESPACE, "replicasets", "-o", "name").strip().partition("/")[2]
    taken = deployment(name=name, app="web")
    small.put("other", {**taken, "kind": "ReplicaSet"})
    with pytest.raises(OwnedByAnother, match="failed") as caught:
        small.diff()
    assert "belongs to Deployment web" in str(caught.value)


def test_an_object_moves_between_apps_of_a_channel_in_one_release(small: Small) -> None:
    """It is adopted by the one and so not pruned by the other."""
    small.put("one", config_map("moving", a="1"), config_map("staying", b="1"))
    small.deliver()
    uid = small.live("configmap", "moving")["metadata"]["uid"]
    small.put("one", config_map("staying", b="1"))
    small.put("two", config_map("moving", a="1"), adopt=True)
    change_set = small.diff()
    assert change_set.counts[Operation.PRUNE.value] == 0
    small.deliver()
    moved = small.live("configmap", "moving")
    assert moved["metadata"]["uid"] == uid
    assert moved["metadata"]["labels"]["deploy-pipeline.io/app"] == "two"
    assert small.diff().is_empty
    small.put("two", config_map("else", a="1"), adopt=True)
    small.deliver()
    assert small.live("configmap", "moving") is None
