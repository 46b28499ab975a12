"""What a deployer asks of the API server: no more than it has to, and nothing that would make a change set inexact."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy_pipeline.changes import Operation
from deploy_pipeline.cluster import read_ahead
from deploy_pipeline.deployer import Deployer
from deploy_pipeline.drivers import kustomize
from deploy_pipeline.drivers.plan import AppPlan
from deploy_pipeline.errors import ManifestRejected, ReleaseFailed
from deploy_pipeline.sandbox.errors import refusal
from deploy_pipeline.sandbox.objects.writes import Writer
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


def test_a_list_is_good_for_some_seconds(small: Small, gated: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning many charts takes longer: what others write meanwhile must not stay unseen."""
    deliver_six(small, gated)
    small.diff()
    gated.seen.clear()
    monkeypatch.setattr(read_ahead, "_FRESH", 0.0)
    small.diff()
    assert len(of_maps(gated)) > 1
    assert set(of_maps(gated)) == {"list"}


def test_the_words_of_a_refusal_are_kept(small: Small, gated: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Webhooks deny with whatever status they like, also with that of a write that came in between."""
    deliver_six(small, gated)
    small.put("web", manifest("Namespace", NAMESPACE), *(config_map(name, a="2") for name in SIX))
    small.push()
    finish = Writer._finish

    def with_webhook(self: Writer, resource: Any, new: Any, live: Any, *more: Any, dry_run: bool) -> Any:
        if resource.kind == "ConfigMap" and new["metadata"].get("name") == SIX[2] and live is not None:
            raise refusal("Conflict", resource, SIX[2], "webhook quota.example denied it: only five")
        return finish(self, resource, new, live, *more, dry_run=dry_run)

    monkeypatch.setattr(Writer, "_finish", with_webhook)
    with pytest.raises(ManifestRejected) as refused:
        small.diff()
    assert "only five" in str(refused.value)


def test_all_that_helm_writes_is_tried(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends every object of a chart when one changes: what a webhook would make of the others has to be shown."""
    small.put_chart("shop", config_map("a", a="1"), config_map("b", a="1"))
    small.deliver()
    finish = Writer._finish

    def with_webhook(self: Writer, resource: Any, new: Any, live: Any, *more: Any, dry_run: bool) -> Any:
        if resource.kind == "ConfigMap" and new["metadata"].get("name") == "b" and live is not None:
            new = {**new, "data": {**new["data"], "injected": "later"}}
        return finish(self, resource, new, live, *more, dry_run=dry_run)

    monkeypatch.setattr(Writer, "_finish", with_webhook)
    small.put_chart("shop", config_map("a", a="2"), config_map("b", a="1"))
    (app,) = small.diff().apps
    assert {change.ref.name: [field.path for field in change.fields] for change in app.changed} == {
        "a": ["data.a"],
        "b": ["data.injected"],
    }


def test_a_chart_can_go_into_a_namespace_that_another_app_brings(small: Small) -> None:
    """Right before Helm runs it is planned again: the namespace is there then."""
    small.put("space", manifest("Namespace", NAMESPACE))
    small.put_chart("shop", config_map("a", a="1"))
    small.deliver()
    assert small.diff().is_empty


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


def test_what_did_not_change_of_an_app_is_looked_at_again(small: Small, gated: Gate) -> None:
    """It may have broken since the plan: what left the app is pruned only if all of it works."""
    small.put("web", manifest("Namespace", NAMESPACE), deployment(), config_map(a="1"))
    small.deliver()
    small.put("web", manifest("Namespace", NAMESPACE), deployment(), config_map(a="2"))
    small.push()
    small.world.promote()
    gated.seen.clear()
    small.world.release()
    wrote = next(n for n, r in enumerate(gated.seen) if r.writes and not r.dry_run and r.resource == "configmaps")
    assert [r.name for r in gated.seen[wrote:] if (r.verb, r.resource) == ("get", "deployments")] == ["web"]


def test_what_has_not_begun_when_a_release_is_stopped_never_does(
    small: Small, gated: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although every app has a thread, in which it waits for its turn."""
    small.put("space", manifest("Namespace", NAMESPACE))
    small.deliver()
    for number in range(4):
        small.put(f"app-{number}", config_map(f"map-{number}", a="1"))
    small.push()
    small.world.promote()
    begun: list[str] = []
    stopping, apply = threading.Event(), kustomize.apply

    def held(plan: AppPlan, before_write: Callable[[], None]) -> Any:
        begun.append(plan.changes.app)
        stopping.wait(10)
        return apply(plan, before_write)

    def interrupted(*_: object) -> None:
        while not begun:
            time.sleep(0.01)
        threading.Timer(0.3, stopping.set).start()
        raise KeyboardInterrupt

    monkeypatch.setattr(kustomize, "apply", held)
    in_release = threading.Event()

    def progress(line: str) -> None:
        if "digest sha256" in line:
            in_release.set()

    def waits(work: Any) -> Any:
        return interrupted() if in_release.is_set() and len(work) == 5 else wait(work)

    monkeypatch.setattr("deploy_pipeline.planning.wait", waits)
    with pytest.raises(KeyboardInterrupt):
        small.world.release(progress=progress)
    time.sleep(1)
    assert len(begun) == 1


def test_pods_are_not_looked_at_while_all_goes_well(small: Small, gated: Gate) -> None:
    """They are for saying why something is late."""
    small.put("web", manifest("Namespace", NAMESPACE), deployment())
    small.deliver()
    assert not [request for request in gated.seen if request.resource == "pods"]
