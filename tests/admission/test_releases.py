"""The rules where they count: in the plan that diff, promotion and release share."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from deploy_pipeline.drift import check_drift
from deploy_pipeline.errors import RefusedError
from tests.actions.small import NAMESPACE, Small, config_map, deployment, manifest
from tests.admission.conftest import with_settings

RBAC = "rbac.authorization.k8s.io/v1"
GRANT = {
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACE}],
}


def role(*verbs: str) -> dict[str, Any]:
    """A ClusterRole."""
    rules = [{"apiGroups": [""], "resources": ["nodes"], "verbs": list(verbs)}]
    return manifest("ClusterRole", "reader", RBAC, rules=rules)


def chart(small: Small, *manifests: dict[str, Any]) -> None:
    """Let a Helm app in the namespace ``shop`` have these objects."""
    entry = {"name": "shop", "driver": "helm", "namespace": NAMESPACE, "helm_name": "shop", "helm_chart": "apps/chart"}
    small.channel(releases=[entry])
    small.files["apps/chart/Chart.yaml"] = "apiVersion: v2\nname: shop\nversion: 0.1.0\n"
    small.files["apps/chart/templates/all.yaml"] = yaml.safe_dump_all(manifests)


def placed(small: Small, app: str, *manifests: dict[str, Any], channel: str = "test") -> None:
    """Let a kustomize app have these objects as they stand, with the namespaces that they name themselves."""
    small.put(app, *manifests, channel=channel)
    small.files[f"apps/{channel}-{app}/kustomization.yaml"] = yaml.safe_dump({"resources": ["objects.yaml"]})


def inside(namespace: str, name: str = "web") -> dict[str, Any]:
    """A ConfigMap that names its namespace."""
    made = config_map(name, a="1")
    made["metadata"]["namespace"] = namespace
    return made


def test_rules_that_a_commit_loosens_hold_from_its_release_on(small: Small) -> None:
    """A candidate that brings a ClusterRole and the permission for it is refused; in two releases it is not."""
    small.put("web", config_map(a="1"), role("get"))
    small.channel(allow={"kinds": ["ClusterRole"]})
    with pytest.raises(RefusedError, match=r"rendered/test/web.yaml: ClusterRole.*reader: kind: is cluster-wide"):
        small.deliver()
    assert small.live("ConfigMap") is None

    small.put("web", config_map(a="1"))
    small.deliver()
    small.put("web", config_map(a="1"), role("get"))
    small.deliver()
    assert small.live("ClusterRole", "reader")


def test_what_runs_already_holds_no_release_up(small: Small) -> None:
    """A deployer that allows less than yesterday releases everything but changes of what it no longer allows."""
    small.put("web", config_map(a="1"), role("get"))
    with_settings(small, allowed_kinds="ClusterRole").deliver()
    small.put("web", config_map(a="2"), role("get"))
    small.deliver()
    assert small.live("ConfigMap")["data"] == {"a": "2"}
    small.put("web", config_map(a="3"), role("get", "delete"))
    with pytest.raises(RefusedError, match="DEPLOY_ALLOWED_KINDS"):
        small.diff()

    small.world.kubectl("patch", "clusterrole", "reader", "--type=json", "--patch", '[{"op":"remove","path":"/rules"}]')
    drift = check_drift(small.world.deployer, "test", progress=small.world.progress.append)
    assert [str(item.ref) for app in drift.apps for item in app.objects] == [
        "ClusterRole.rbac.authorization.k8s.io reader"
    ]


def test_all_refusals_of_all_apps_are_named_at_once(small: Small) -> None:
    """One push mends them all."""
    placed(small, "one", inside("kube-system"))
    placed(
        small, "two", inside("shop", "b"), role("get"), manifest("PriorityClass", "p", "scheduling.k8s.io/v1", value=1)
    )
    with pytest.raises(RefusedError, match=r"3 finding\(s\)") as refused:
        small.diff()
    assert [detail.partition(": ")[0] for detail in refused.value.details] == [
        "rendered/test/one.yaml",
        *["rendered/test/two.yaml"] * 2,
    ]


def test_a_hook_is_judged_like_any_object(small: Small) -> None:
    """Hooks are no part of a rendered release's objects, and run first."""
    hook = manifest("ClusterRoleBinding", "take-over", RBAC, annotations={"helm.sh/hook": "pre-install"}, **GRANT)
    chart(small, config_map(a="1"), hook)
    with pytest.raises(RefusedError, match=r"ClusterRoleBinding.*take-over: kind: is cluster-wide"):
        small.diff()


def test_a_chart_writes_into_its_own_namespace_only(small: Small) -> None:
    """Whatever its templates say."""
    chart(small, inside("kube-public"), deployment(image="evil.example/app:1"))
    with pytest.raises(RefusedError) as refused:
        with_settings(small, allowed_registries="ghcr.io").diff()
    assert sorted(line.split(": ")[1:3] for line in refused.value.details) == [
        ["ConfigMap kube-public/web", "metadata.namespace"],
        ["Deployment shop/web", "spec.template.spec.containers[app].image"],
    ]


def test_the_namespace_of_another_channel_is_not_for_this_one(small: Small) -> None:
    """Two channels share a cluster, and one of them is easier to get into."""
    placed(small, "shop", inside("theirs"), channel="prod")
    placed(small, "web", inside("ours"))
    small.deliver("prod")
    small.deliver()
    placed(small, "web", inside("ours"), inside("theirs", "mine"))
    with pytest.raises(RefusedError, match="channel prod has objects in the namespace theirs"):
        small.diff()
    assert with_settings(small, allowed_namespaces="thei*").diff().counts["create"] == 1


def test_a_cluster_wide_object_cannot_pose_as_a_namespaced_one(small: Small) -> None:
    """Its definition comes with the release, so that the cluster cannot say yet that its namespace means nothing."""
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    names = {"kind": "Lamp", "plural": "lamps", "singular": "lamp", "listKind": "LampList"}
    spec = {"group": "example.org", "scope": "Cluster", "names": names, "versions": [version]}
    definition = manifest("CustomResourceDefinition", "lamps.example.org", "apiextensions.k8s.io/v1", spec=spec)
    lamp = manifest("Lamp", "red", "example.org/v1")
    lamp["metadata"]["namespace"] = "web"
    placed(small, "web", definition, lamp)
    with pytest.raises(RefusedError, match=r"Lamp.example.org red: kind: is cluster-wide"):
        with_settings(small, allowed_kinds="CustomResourceDefinition").diff()


def test_a_plain_secret_is_warned_of_and_refused_where_the_channel_says_so(small: Small) -> None:
    """In the diff, with file and field; once the released channel file refuses them, no new one gets in."""
    small.channel(plain_secrets="refuse")
    small.put("web", manifest("Secret", "login", stringData={"password": "hunter2"}))
    (app,) = small.diff().apps
    words = "rendered/test/web.yaml: Secret shop/login: stringData.password: a plain Secret in git"
    assert [warning[: len(words)] for warning in app.warnings] == [words]
    small.deliver()
    small.put("web", manifest("Secret", "login", stringData={"password": "hunter3"}))
    with pytest.raises(RefusedError, match="a plain Secret in git") as refused:
        small.diff()
    assert "hunter3" not in str(refused.value)


def test_an_object_that_breaks_its_schema_is_refused_before_the_namespace_is_made(small: Small) -> None:
    """The server cannot try it, since the namespace comes with the same release."""
    broken = deployment()
    del broken["spec"]["selector"]
    small.put("web", manifest("Namespace", NAMESPACE), broken)
    with pytest.raises(RefusedError, match="Deployment shop/web: spec: lacks selector"):
        small.diff()


def test_an_app_keeps_the_namespaces_that_it_has_objects_in(small: Small) -> None:
    """When it names one of its own later on, it is not shut out of the rest; new ones are not for it."""
    placed(small, "web", inside("ours"), inside("more"))
    small.deliver()
    placed(small, "web", inside("ours"), inside("more"), inside("more", "second"), inside("new"))
    small.channels["test"]["releases"][0]["namespace"] = "ours"
    with pytest.raises(RefusedError, match=r"1 finding\(s\)") as refused:
        small.diff()
    assert "the namespace new is not the app's own, more or ours" in refused.value.details[0]
