"""What a deployer asks of the API server: no more than it has to, and nothing that would make a change set inexact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy_pipeline.changes import Operation
from deploy_pipeline.deployer import Deployer
from deploy_pipeline.errors import ReleaseFailed
from tests.actions.conftest import World
from tests.actions.small import NAMESPACE, Small, config_map, deployment, manifest
from tests.support.api_gate import ApiRequest, Gate, gate

SIX = [f"map-{number}" for number in range(6)]


@pytest.fixture
def gated(small_world: World, tmp_path: Path) -> Iterator[Gate]:
    """A way to the cluster on which every request is seen."""
    with gate(small_world.kubeconfig, tmp_path / "gated") as gated:
        yield gated


@pytest.fixture
def small(small_world: World, gated: Gate) -> Small:
    """A deployer that goes this way, and works on one app after the other."""
    settings = small_world.deployer.settings.model_copy(update={"kubeconfig": gated.kubeconfig, "app_threads": 1})
    return Small(replace(small_world, deployer=Deployer.from_settings(settings)))


def of_maps(gated: Gate) -> list[str]:
    """What was asked about the ConfigMaps of the app since the list was emptied, and how often."""
    asked = [r for r in gated.seen if r.resource == "configmaps" and r.namespace == NAMESPACE]
    return sorted(r.verb + (" try" if r.dry_run else "") for r in asked)


def deliver_six(small: Small, gated: Gate) -> None:
    """Release an app of six ConfigMaps; what was asked is forgotten."""
    small.put("web", manifest("Namespace", NAMESPACE), *(config_map(name, a="1") for name in SIX))
    small.deliver()
    gated.seen.clear()


def test_what_is_unchanged_is_listed_once_and_not_tried(small: Small, gated: Gate) -> None:
    """A hundred objects of a kind that are as they were take one request, not two hundred."""
    deliver_six(small, gated)
    assert small.diff().is_empty
    assert of_maps(gated) == ["list"]


def test_only_what_may_change_is_tried(small: Small, gated: Gate) -> None:
    """By drift or by a commit: an object of each, the others are not tried."""
    deliver_six(small, gated)
    small.world.kubectl("-n", NAMESPACE, "patch", "configmap", SIX[0], "-p", '{"data":{"a":"drifted"}}')
    small.put(
        "web", manifest("Namespace", NAMESPACE), *(config_map(name, a="2" if name == SIX[1] else "1") for name in SIX)
    )
    (app,) = small.diff().apps
    assert [(change.ref.name, change.operation) for change in app.changed] == [
        (SIX[0], Operation.UPDATE),
        (SIX[1], Operation.UPDATE),
    ]
    assert of_maps(gated) == ["list", "patch try", "patch try"]


def test_an_account_that_may_not_list_sees_the_same(small: Small, gated: Gate) -> None:
    """Object by object."""
    deliver_six(small, gated)
    small.world.kubectl("-n", NAMESPACE, "patch", "configmap", SIX[0], "-p", '{"data":{"a":"drifted"}}')
    seen = small.diff()
    gated.seen.clear()
    gated.guard = lambda request: "no" if request.verb == "list" and request.namespace == NAMESPACE else ""
    assert small.diff().digest == seen.digest
    assert of_maps(gated) == [*["get"] * 6, "patch try"]


def once(then: Callable[[], object], when: Callable[[ApiRequest], bool]) -> Callable[[ApiRequest], str]:
    """A guard that does something right before the first request of some kind, and refuses nothing."""
    done: list[ApiRequest] = []

    def guard(request: ApiRequest) -> str:
        if not done and when(request):
            done.append(request)
            then()
        return ""

    return guard


def test_a_write_behind_the_list_is_in_the_change_set(small: Small, gated: Gate) -> None:
    """The try names the version that was listed: when it has moved on, the object is read anew."""
    deliver_six(small, gated)
    small.put("web", manifest("Namespace", NAMESPACE), *(config_map(name, a="2") for name in SIX))
    small.push()
    patch = ("-n", NAMESPACE, "patch", "configmap", SIX[3], "-p", '{"data":{"a":"meanwhile"}}')
    gated.guard = once(lambda: small.world.kubectl(*patch), lambda request: request.dry_run and request.name == SIX[3])
    change = small.change(SIX[3])
    assert [(field.path, field.before, field.after) for field in change.fields] == [("data.a", '"meanwhile"', '"2"')]
    tries = [request.status for request in gated.seen if request.dry_run and request.name == SIX[3]]
    assert tries == [409, 200]


def test_an_object_that_is_deleted_behind_the_list_is_made(small: Small, gated: Gate) -> None:
    """A try of an object that is gone answers as for a new one, which is not what was compared."""
    deliver_six(small, gated)
    small.put("web", manifest("Namespace", NAMESPACE), *(config_map(name, a="2") for name in SIX))
    small.push()
    gated.guard = once(
        lambda: small.world.kubectl("-n", NAMESPACE, "delete", "configmap", SIX[3]),
        lambda request: request.dry_run and request.name == SIX[3],
    )
    assert small.change(SIX[3]).operation is Operation.CREATE


def new_ones(small: Small, gated: Gate, made: Callable[[str], dict[str, Any]]) -> list[str]:
    """The tries that it takes to diff four apps that each bring an object of the same kind."""
    small.put("space", manifest("Namespace", NAMESPACE))
    small.deliver()
    gated.seen.clear()
    for number in range(4):
        small.put(f"app-{number}", made(f"object-{number}"))
    first = small.diff()
    tries = [request.name for request in gated.seen if request.dry_run]
    assert small.diff().digest == first.digest
    return sorted(tries)


def test_defaults_of_a_kind_are_found_out_once(small: Small, gated: Gate) -> None:
    """The first object is tried twice, to see what the server gives it by chance; the others once."""
    tries = new_ones(small, gated, deployment)
    assert tries == ["object-0", "object-0", "object-1", "object-2", "object-3"]


def test_where_there_is_chance_each_object_is_tried_twice(small: Small, gated: Gate) -> None:
    """A Job gets a selector of its own each time."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "job", "image": "job:1"}]}
    tries = new_ones(small, gated, lambda name: manifest("Job", name, "batch/v1", spec={"template": {"spec": pod}}))
    assert tries == sorted([f"object-{number}" for number in range(4)] * 2)


def test_apps_do_not_wait_for_each_other(small: Small, gated: Gate) -> None:
    """One writes at a time here; while it waits for its pods the others go on."""
    small.put("a-broken", manifest("Namespace", NAMESPACE), deployment("slow", image="broken:1"), timeout="4s")
    small.put("b", deployment("b"))
    small.put("c", deployment("c"))
    with pytest.raises(ReleaseFailed, match="a-broken"):
        small.deliver()
    assert [(app.app, app.state) for app in small.world.apps][-1] == ("a-broken", "failed")
    assert sorted((app.app, app.state) for app in small.world.apps)[1:] == [("b", "released"), ("c", "released")]


def test_pods_are_not_looked_at_while_all_goes_well(small: Small, gated: Gate) -> None:
    """They are for saying why something is late."""
    small.put("web", manifest("Namespace", NAMESPACE), deployment())
    small.deliver()
    assert not [request for request in gated.seen if request.resource == "pods"]
