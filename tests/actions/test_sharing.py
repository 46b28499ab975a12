"""What the apps of a channel share: none makes, takes, deletes or uninstalls what another one has."""

from __future__ import annotations

import pytest
import yaml

from deploy_pipeline.errors import OwnedByAnother, RefusedError
from tests.actions.conftest import World
from tests.actions.small import NAMESPACE, Small, config_map, manifest

_SYSTEM = "deploy-pipeline"


@pytest.fixture
def small(small_world: World) -> Small:
    """Nothing yet."""
    return Small(small_world)


def test_a_namespace_keeps_what_the_app_that_brings_it_says(small: Small) -> None:
    """Another app that merely needs it makes no bare one over it, whatever the order of the file."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    small.put("platform", manifest("Namespace", NAMESPACE, labels=labels))
    small.put("web", config_map(a="1"))
    small.deliver()
    live = small.world.object("namespace", NAMESPACE)["metadata"]["labels"]
    assert live["pod-security.kubernetes.io/enforce"] == "restricted"
    assert live["deploy-pipeline.io/app"] == "platform"
    assert small.diff().is_empty


@pytest.mark.parametrize("kind", ["an object", "the namespace", "a Helm release", "a hook"])
def test_nothing_is_put_where_the_deployer_keeps_its_records(small: Small, kind: str) -> None:
    """Whoever could write there could approve anything, for every channel of the cluster."""
    small.channel(approval="none")
    forged = {**config_map("approval.prod.0123456789abcdef", a="1")}
    forged["metadata"]["namespace"] = _SYSTEM
    if kind == "an object":
        small.put("web", forged)
        small.files["apps/test-web/kustomization.yaml"] = yaml.safe_dump({"resources": ["objects.yaml"]})
    elif kind == "the namespace":
        small.put("web", manifest("Namespace", _SYSTEM))
        small.files["apps/test-web/kustomization.yaml"] = yaml.safe_dump({"resources": ["objects.yaml"]})
    elif kind == "a Helm release":
        small.put_chart("web", config_map(a="1"), namespace=_SYSTEM)
    else:
        forged["metadata"]["annotations"] = {"helm.sh/hook": "pre-install"}
        small.put_chart("web", config_map(a="1"), forged)
    with pytest.raises(RefusedError, match="keeps its own records"):
        small.diff()
    with pytest.raises(RefusedError, match="keeps its own records"):
        small.deliver()


def test_an_object_goes_from_a_kustomize_app_to_a_chart(small: Small) -> None:
    """Helm takes it over, and the app that had it does not delete it."""
    small.put("old", config_map("moving", a="1"), config_map("staying"))
    small.deliver()
    uid = small.live("configmap", "moving")["metadata"]["uid"]
    small.put("old", config_map("staying"))
    small.put_chart("new", config_map("moving", a="1"), adopt=True)
    assert small.diff().counts["prune"] == 0
    small.deliver()
    assert small.live("configmap", "moving")["metadata"]["uid"] == uid
    assert small.diff().is_empty


def test_an_app_with_a_helm_release_cannot_change_its_name(small: Small) -> None:
    """The release would be uninstalled under the one name while it is unchanged under the other."""
    small.put_chart("old", config_map(a="1"))
    small.deliver()
    before = small.world.dump()
    small.drop("old")
    small.put_chart("new", config_map(a="1"))
    with pytest.raises(OwnedByAnother, match="would be uninstalled"):
        small.deliver()
    assert small.world.dump() == before


def test_a_hook_may_not_be_an_object_that_an_app_has(small: Small) -> None:
    """Helm deletes what bears the hook's name before it makes the hook."""
    small.put_chart("new", config_map("own"), config_map("precious", a="1"))
    small.deliver()
    small.put_chart("new", config_map("own"), config_map("precious", {"helm.sh/hook": "pre-upgrade"}, a="2"))
    with pytest.raises(RefusedError, match="delete more than hooks") as caught:
        small.diff()
    assert "ConfigMap shop/precious: an app has an object of that name" in str(caught.value)


def test_a_hook_may_not_be_an_object_that_is_there(small: Small) -> None:
    """Also if nobody here knows whose it is."""
    small.world.kubectl("create", "namespace", NAMESPACE)
    small.world.kubectl("create", "configmap", "-n", NAMESPACE, "precious")
    small.put_chart("new", config_map("own"), config_map("precious", {"helm.sh/hook": "pre-install"}, a="2"))
    with pytest.raises(RefusedError, match="delete more than hooks") as caught:
        small.diff()
    assert "it is there, and is no hook" in str(caught.value)


def test_a_hook_may_not_be_a_volume(small: Small) -> None:
    """It would be deleted, with its data, whenever the hook runs again."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = manifest("PersistentVolumeClaim", "data", annotations={"helm.sh/hook": "pre-upgrade"}, spec=spec)
    small.put_chart("new", config_map("own"), claim)
    with pytest.raises(RefusedError, match="delete more than hooks"):
        small.diff()


def test_another_content_of_a_hook_is_another_change_set(small: Small) -> None:
    """A hook is approved with its content, though that is not shown."""
    small.put_chart("new", config_map("own"), config_map("hook", {"helm.sh/hook": "post-install"}, a="1"))
    (first,) = small.diff().apps
    small.put_chart("new", config_map("own"), config_map("hook", {"helm.sh/hook": "post-install"}, a="2"))
    (second,) = small.diff().apps
    assert first.hooks[0].startswith("ConfigMap hook (post-install), content ")
    assert first.hooks != second.hooks


def test_the_hooks_of_a_removal_are_named(small: Small) -> None:
    """What Helm runs when it uninstalls a chart is in what is approved."""
    small.put("web", config_map(a="1"))
    hook = config_map("farewell", {"helm.sh/hook": "post-delete"}, b="2")
    small.put_chart("shop", config_map("chart", c="3"), hook)
    small.deliver()
    small.drop("shop")
    shop = small.diff().app("shop")
    assert shop is not None
    assert [text.partition(", content ")[0] for text in shop.hooks] == ["ConfigMap farewell (post-delete)"]


def test_a_kind_of_one_app_has_objects_of_another(small: Small) -> None:
    """An object without a namespace gets its app's, as the definition that comes with it says that it needs one."""
    names = {"kind": "Lamp", "plural": "lamps", "singular": "lamp", "listKind": "LampList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": "example.org", "scope": "Namespaced", "names": names, "versions": [version]}
    definition = manifest("CustomResourceDefinition", "lamps.example.org", "apiextensions.k8s.io/v1", spec=spec)
    small.put("platform", definition)
    small.put("web", manifest("Lamp", "desk", "example.org/v1", spec={"on": True}), namespace=NAMESPACE)
    small.files["apps/test-web/kustomization.yaml"] = "resources: [objects.yaml]\n"
    small.deliver()
    assert small.live("lamps.example.org", "desk")["spec"] == {"on": True}
    assert small.diff().is_empty


def test_a_chart_that_leaves_is_uninstalled_once(small: Small) -> None:
    """What is kept of it stays in the inventory, and is nothing to do in the next release."""
    lamps = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "lamps.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Namespaced",
            "names": {"kind": "Lamp", "plural": "lamps", "singular": "lamp", "listKind": "LampList"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
            ],
        },
    }
    small.put("rest", config_map("rest"))
    small.put_chart("gone", config_map("own"))
    small.files["apps/chart/crds/lamps.yaml"] = yaml.safe_dump(lamps)
    small.deliver()
    small.drop("gone")
    small.deliver()
    assert small.live("configmap", "own") is None
    assert small.world.object("customresourcedefinition", "lamps.example.org") is not None
    assert small.diff().is_empty
