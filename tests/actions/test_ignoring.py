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
    assert small.diff().is_empty
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
