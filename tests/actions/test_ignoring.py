"""Fields that somebody else owns: out of the diff, and left as they are by the release."""

from __future__ import annotations

from typing import Any

import pytest

from deploy_pipeline.drift import check_drift
from tests.actions.conftest import World
from tests.actions.small import NAMESPACE, Small, config_map, deployment, manifest

_REPLICAS = {"kind": "Deployment", "fields": ["spec.replicas"]}


@pytest.fixture
def small(small_world: World) -> Small:
    """Nothing yet."""
    return Small(small_world)


def _replicas(small: Small) -> Any:
    return small.live("deployment")["spec"]["replicas"]


def _scale(small: Small, replicas: int) -> None:
    small.world.kubectl("scale", "-n", NAMESPACE, "deployment/web", f"--replicas={replicas}")


def test_a_new_object_is_made_as_written(small: Small) -> None:
    """Nobody owns a field of it yet."""
    small.put("web", deployment(replicas=2), ignore=[_REPLICAS])
    small.deliver()
    assert _replicas(small) == 2


def test_what_an_autoscaler_set_stays(small: Small) -> None:
    """No difference, no drift, and a release of another field leaves it."""
    small.put("web", deployment(replicas=2), ignore=[_REPLICAS])
    small.deliver()
    _scale(small, 3)
    shown = small.diff()
    assert shown.is_empty
    assert [app.ignored for app in shown.apps] == [("Deployment shop/web: spec.replicas",)]
    assert not check_drift(small.world.deployer, "test", progress=small.world.progress.append).drifted
    small.put("web", deployment(replicas=5, image="web:2"), ignore=[_REPLICAS])
    assert [field.path for field in small.change().fields] == ["spec.template.spec.containers[app].image"]
    small.deliver()
    assert _replicas(small) == 3
    assert small.diff().is_empty


@pytest.mark.parametrize("replicas", [None, 7])
def test_a_field_that_only_we_own_is_not_reset_when_it_becomes_ignored(small: Small, replicas: int | None) -> None:
    """Left out of an apply, it would be removed and get its default."""
    small.put("web", deployment(replicas=2))
    small.deliver()
    small.put("web", deployment(replicas=replicas), ignore=[_REPLICAS])
    assert small.diff().is_empty
    small.put("web", deployment(replicas=replicas, image="web:2"), ignore=[_REPLICAS])
    small.deliver()
    assert _replicas(small) == 2
    _scale(small, 4)
    small.put("web", deployment(replicas=replicas, image="web:3"), ignore=[_REPLICAS])
    small.deliver()
    assert _replicas(small) == 4


def test_what_kubectl_applied_and_is_ignored_stays(small: Small) -> None:
    """Taking over a client-side apply does not remove it."""
    small.world.kubectl("create", "namespace", NAMESPACE)
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: shop}\ndata: {a: '1', b: '2', c: '3'}\n"
    small.world.kubectl("apply", "-f", "-", stdin=text)
    small.put("web", config_map(a="9"), ignore=[{"kind": "ConfigMap", "name": "w*", "fields": ["data.b"]}])
    small.deliver()
    assert small.live("configmap")["data"] == {"a": "9", "b": "2"}
    assert small.diff().is_empty


def test_elements_of_lists_are_ignored_by_name_or_all_of_them(small: Small) -> None:
    """As paths of change sets name them."""
    ports = [{"name": "http", "port": 80}, {"name": "admin", "port": 81}]
    service = manifest("Service", spec={"type": "NodePort", "ports": ports, "selector": {"app": "web"}})
    rules = [
        {"kind": "Service", "fields": ["spec.ports[*].nodePort"]},
        {"kind": "Service", "fields": ["spec.ports[admin].targetPort", 'metadata.annotations["example.com/note"]']},
    ]
    small.channel(ignore=rules)
    small.put("web", service)
    small.deliver()
    patch = (
        '{"spec": {"ports": [{"port": 80, "nodePort": 30080}, {"port": 81, "targetPort": 8081, "nodePort": 30081}]}}'
    )
    small.world.kubectl("patch", "-n", NAMESPACE, "service/web", "-p", patch)
    small.world.kubectl("annotate", "-n", NAMESPACE, "service/web", "example.com/note=theirs")
    assert small.diff().is_empty
    small.put("web", {**service, "spec": {**service["spec"], "selector": {"app": "shop"}}})
    small.deliver()
    live = small.live("service")
    assert {port["name"]: (port["nodePort"], port["targetPort"]) for port in live["spec"]["ports"]} == {
        "http": (30080, 80),
        "admin": (30081, 8081),
    }
    assert live["metadata"]["annotations"]["example.com/note"] == "theirs"


def test_a_rule_for_another_object_changes_nothing(small: Small) -> None:
    """Kind and name must both fit."""
    rules = [{**_REPLICAS, "name": "other"}, {"kind": "StatefulSet", "fields": ["spec.replicas"]}]
    small.put("web", deployment(replicas=2), ignore=rules)
    small.deliver()
    _scale(small, 3)
    assert [field.path for field in small.change().fields] == ["spec.replicas"]


_RULES = "rbac.authorization.k8s.io/v1"
_READ = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
_WRITE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["update"]}


@pytest.mark.parametrize("after", [[_WRITE], [_READ, _WRITE], None], ids=["another", "a longer one", "none"])
def test_a_list_that_is_ignored_as_a_whole_stays(small: Small, after: list[dict[str, Any]] | None) -> None:
    """We own it alone, and the manifest says something else, or nothing."""
    ignore = [{"kind": "Role", "fields": ["rules"]}]
    small.put("web", manifest("Role", version=_RULES, rules=[_READ]))
    small.deliver()
    wanted = manifest("Role", version=_RULES)
    if after is not None:
        wanted["rules"] = after
    small.put("web", wanted, ignore=ignore)
    assert small.diff().is_empty
    small.deliver()
    assert small.live("role")["rules"] == [_READ]


def test_what_is_ignored_and_not_there_does_not_come(small: Small) -> None:
    """Neither the field nor the empty map it would stand in."""
    small.put("web", deployment())
    small.deliver()
    changed = deployment()
    changed["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "fast"}
    changed["spec"]["template"]["spec"]["tolerations"] = [{"key": "a", "operator": "Exists"}]
    fields = ["spec.template.spec.nodeSelector.disk", "spec.template.spec.tolerations"]
    small.put("web", changed, ignore=[{"kind": "Deployment", "fields": fields}])
    assert small.diff().is_empty


def test_a_map_that_others_share_is_left_as_it_is(small: Small) -> None:
    """What we own of it stays ours, what others own stays theirs."""
    small.put("web", config_map(ours="1"))
    small.deliver()
    patch = '{"data": {"theirs": "2"}}'
    small.world.kubectl("patch", "-n", NAMESPACE, "configmap/web", "--field-manager=operator", "-p", patch)
    small.put("web", config_map(new="3"), ignore=[{"kind": "ConfigMap", "fields": ["data"]}])
    assert small.diff().is_empty
    small.deliver()
    assert small.live("configmap")["data"] == {"ours": "1", "theirs": "2"}
    small.put("web", config_map(ours="9"), ignore=[{"kind": "ConfigMap", "fields": ["data.theirs"]}])
    small.deliver()
    assert small.live("configmap")["data"] == {"ours": "9", "theirs": "2"}


def test_a_part_of_what_is_owned_as_a_whole_stays_with_it(small: Small) -> None:
    """The selector of a Service is one value for the API; the part that is ignored is sent as it is."""
    spec = {"ports": [{"port": 80}], "selector": {"app": "web", "slot": "blue"}}
    small.put("web", manifest("Service", spec=spec))
    small.deliver()
    small.world.kubectl("patch", "-n", NAMESPACE, "service/web", "-p", '{"spec": {"selector": {"slot": "green"}}}')
    selector = {"app": "shop", "slot": "blue"}
    small.put(
        "web",
        manifest("Service", spec={**spec, "selector": selector}),
        ignore=[{"kind": "Service", "fields": ["spec.selector.slot"]}],
    )
    assert [field.path for field in small.change().fields] == ["spec.selector.app"]
    small.deliver()
    assert small.live("service")["spec"]["selector"] == {"app": "shop", "slot": "green"}


def test_all_elements_of_a_list_without_names_can_be_ignored(small: Small) -> None:
    """None of them is sent, not every second one."""
    small.put("web", deployment())
    small.deliver()
    changed = deployment()
    changed["spec"]["template"]["spec"]["containers"][0]["args"] = ["a", "b", "c"]
    rule = {"kind": "Deployment", "fields": ["spec.template.spec.containers[app].args[*]"]}
    small.put("web", changed, ignore=[rule])
    assert small.diff().is_empty
