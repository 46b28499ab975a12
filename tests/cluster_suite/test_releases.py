"""The promises of releases on whatever cluster there is: the sandbox, or the one ``make test-cluster`` is given."""

from __future__ import annotations

from typing import Any

import pytest

from deploy_pipeline.errors import ApprovalError, ReleaseFailed
from deploy_pipeline.release import history
from tests.properties.drawing import IMAGES
from tests.properties.histories import Deed
from tests.properties.promise import broken_promises
from tests.properties.stage import Place

Json = dict[str, Any]

pytestmark = pytest.mark.timeout(900)
drivers = pytest.mark.parametrize("driver", ["kustomize", "helm"])


def named(api_version: str, kind: str, name: str, **content: Any) -> Json:
    """A manifest in the namespace of the place."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "@"}, **content}


def deployment(image: str = IMAGES[0], replicas: int = 2) -> Json:
    """A Deployment that is ready as soon as its image is there."""
    pod = {"terminationGracePeriodSeconds": 1, "containers": [{"name": "main", "image": image}]}
    template = {"metadata": {"labels": {"run": "web"}}, "spec": pod}
    return named(
        "apps/v1",
        "Deployment",
        "web",
        spec={"replicas": replicas, "selector": {"matchLabels": {"run": "web"}}, "template": template},
    )


def app(image: str = IMAGES[0]) -> list[Json]:
    """A workload with what belongs to it."""
    return [
        deployment(image),
        named("v1", "Service", "web", spec={"selector": {"run": "web"}, "ports": [{"name": "http", "port": 80}]}),
        named("v1", "ConfigMap", "web", data={"mode": "slow"}),
        named("v1", "Secret", "web", data={"key": "czNjcmV0LW9uZQ=="}),
    ]


def deliver(place: Place, state: list[Json], driver: str) -> None:
    """Release a state."""
    place.commit({"web": state}, driver=driver)
    place.promote()
    place.release()


@drivers
def test_a_workload_runs_when_its_release_ends(place: Place, driver: str) -> None:
    """All its replicas are available, and the cluster's record says so."""
    deliver(place, app(), driver)
    live = place.stage.view.get(place.real(deployment()))
    assert live is not None
    assert live["status"]["availableReplicas"] == 2
    assert history(place.stage.world.deployer, place.name)[0].state.value == "released"


@drivers
def test_a_second_release_writes_nothing(place: Place, driver: str) -> None:
    """Not one object gets another version."""
    deliver(place, app(), driver)
    before = place.dump()
    result = place.release()
    assert result.change_set is not None
    assert result.change_set.is_empty
    assert broken_promises(None, before, place.dump()) == []


@drivers
def test_a_rollout_and_a_removal_are_what_was_shown(place: Place, driver: str) -> None:
    """Another image, one object less."""
    deliver(place, app(), driver)
    place.commit({"web": app(IMAGES[1])[:-1]}, driver=driver)
    before = place.dump()
    promotion = place.promote()
    place.release()
    assert promotion.change_set.counts == {"create": 0, "update": 1, "recreate": 0, "prune": 1, "none": 2}
    assert broken_promises(promotion.change_set, before, place.dump()) == []


@drivers
def test_an_app_that_leaves_the_channel_takes_its_objects_along(place: Place, driver: str) -> None:
    """What another app has stays."""
    place.commit({"web": app(), "side": [named("v1", "ConfigMap", "side")]}, driver=driver)
    place.promote()
    place.release()
    place.commit({"side": [named("v1", "ConfigMap", "side")]}, driver=driver)
    before = place.dump()
    promotion = place.promote()
    place.release()
    assert promotion.change_set.counts["prune"] == 4
    assert broken_promises(promotion.change_set, before, place.dump()) == []


@drivers
def test_a_cluster_that_changed_since_the_approval_stops_the_release(place: Place, driver: str) -> None:
    """Nothing is written: what was approved is no longer what would be done."""
    deliver(place, app(), driver)
    place.commit({"web": app(IMAGES[1])}, driver=driver)
    place.promote()
    assert place.do(Deed("merge", named("v1", "ConfigMap", "web", data={"mode": "fast"})))
    before = place.dump()
    with pytest.raises(ApprovalError, match="would not do what"):
        place.release()
    assert broken_promises(None, before, place.dump()) == []


@drivers
def test_an_image_that_cannot_be_pulled_fails_with_the_reason(place: Place, driver: str) -> None:
    """The cluster's own words about the pod are in the error."""
    broken = deployment("registry.invalid/broken:1")
    broken["spec"]["progressDeadlineSeconds"] = 6
    place.commit({"web": [broken]}, driver=driver, app={"timeout": "60s"})
    place.promote()
    with pytest.raises(ReleaseFailed, match="ImagePull"):
        place.release()


def test_a_definition_and_its_objects_come_in_one_release(place: Place) -> None:
    """The definition is established before the object that needs it is sent."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "Lamp", "plural": "lamps", "singular": "lamp", "listKind": "LampList"}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "lamps.@.example.org"},
        "spec": {"group": "@.example.org", "scope": "Namespaced", "names": names, "versions": [version]},
    }
    lamp = named("@.example.org/v1", "Lamp", "hall", spec={"lit": True})
    deliver(place, [definition, lamp], "kustomize")
    live = place.stage.view.get(place.real(lamp))
    assert live is not None
    assert live["spec"] == {"lit": True}
    assert place.diff().is_empty
