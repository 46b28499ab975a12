"""Releases that stop before the first write, or before the app that somebody else changed meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deploy_pipeline.cluster.objects import APP_LABEL, CHANNEL_LABEL
from deploy_pipeline.deployer import Deployer
from deploy_pipeline.errors import (
    ApprovalError,
    ManifestRejected,
    OwnedByAnother,
    ReleaseFailed,
)
from deploy_pipeline.promotion import diff_promotion
from tests.actions.conftest import PRODUCTION, World
from tests.actions.example import CHANNEL, WEB, add_resource, set_image, versions
from tests.actions.small import NAMESPACE, Small, config_map, manifest
from tests.support.api_gate import ApiRequest, gate
from tests.support.origin import example_files

WRONG = """
apiVersion: v1
kind: Service
metadata: {name: wrong, namespace: web}
spec: {prots: [{port: 80}]}
"""


JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: web}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: migrate, image: registry.example/feeds/migrate:1}]
"""


SHARING = """\
    kustomize_dir: kubernetes/apps/overlays/web-test
    namespace: archiver
    secrets: [archiver_feed-secrets]
"""


def test_a_commit_pushed_straight_to_the_release_branch_is_refused(released: World) -> None:
    """It has no approval; the cluster stays as it is."""
    before = versions(released)
    set_image(released, "registry.example/feeds/next:evil")
    candidate = released.render()
    released.origin.git("update-ref", "refs/heads/releases/test", candidate)
    with pytest.raises(ApprovalError, match="has no approval"):
        released.release()
    assert versions(released) == before


def test_a_loosened_policy_does_not_hold_for_the_commit_that_brings_it(released: World) -> None:
    """Policy is read from what was released last; from the next commit on it holds."""
    text = released.origin.show("main", CHANNEL) + "approval: none\n"
    released.origin.commit("main", {CHANNEL: text})
    released.origin.git("update-ref", "refs/heads/releases/test", released.render())
    with pytest.raises(ApprovalError, match="has no approval"):
        released.release()
    released.promote()
    released.release()
    set_image(released, "registry.example/feeds/next:2")
    released.origin.git("update-ref", "refs/heads/releases/test", released.render())
    assert released.release().commit == released.origin.heads()["releases/test"]


def test_a_cluster_that_changed_since_the_approval_stops_the_release(released: World) -> None:
    """What would be done is no longer what was approved: nothing is done, and the difference is named."""
    add_resource(released, "extra", WEB)
    released.render()
    released.promote()
    released.kubectl("label", "service", "web", "--namespace", "web", "--overwrite", "app.kubernetes.io/part-of=other")
    released.kubectl("scale", "deployment", "web", "--namespace", "web", "--replicas", "7")
    before = released.dump()
    with pytest.raises(ApprovalError) as refusal:
        released.release()
    assert "Deployment.apps web/web" in str(refusal.value) or "Deployment web/web" in str(refusal.value)
    assert "spec.replicas" in str(refusal.value)
    assert released.object("configmap", "extra", "web") is None
    assert released.dump().keys() == before.keys()
    released.promote()
    released.release()
    assert released.object("configmap", "extra", "web")


def _when_planned(world: World, *command: str) -> Callable[[str], None]:
    """Progress that runs kubectl once, between planning and the first write."""
    done: list[str] = []

    def hook(line: str) -> None:
        if "digest sha256" in line and not done:
            done.append(line)
            world.kubectl(*command)

    return hook


def test_a_write_that_changes_nothing_of_the_change_is_let_pass(released: World) -> None:
    """Controllers and people annotate objects all the time."""
    set_image(released, "registry.example/feeds/next:13")
    released.render()
    released.promote()
    released.release(progress=_when_planned(released, "annotate", "deployment", "web", "--namespace", "web", "note=x"))
    live = released.object("deployment", "web", "web")
    assert live["metadata"]["annotations"]["note"] == "x"
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/feeds/next:13"


def test_a_write_between_plan_and_apply_stops_the_app(released: World) -> None:
    """The check of the approval and the write are one: nobody slips in between."""
    set_image(released, "registry.example/feeds/next:14")
    released.render()
    released.promote()
    other = ("set", "image", "deployment/web", "*=registry.example/feeds/other:1", "--namespace", "web")
    with pytest.raises(ReleaseFailed, match="was changed by somebody else"):
        released.release(progress=_when_planned(released, *other))
    image = released.object("deployment", "web", "web")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "registry.example/feeds/other:1"


@pytest.mark.parametrize("data", ["mode=other", "more=x"], ids=["a field of ours", "another field"])
def test_an_object_that_appears_after_the_plan_stops_the_app(small_world: World, data: str) -> None:
    """What was to be made is somebody else's by now: nothing of theirs is taken over."""
    small = Small(small_world)
    small.put("web", manifest("Namespace", NAMESPACE), config_map("other", a="1"))
    small.deliver()
    small.put("web", manifest("Namespace", NAMESPACE), config_map("other", a="1"), config_map(mode="ours"))
    small.push()
    small_world.promote()
    create = ("create", "configmap", "web", "--namespace", NAMESPACE, f"--from-literal={data}")
    with pytest.raises(ReleaseFailed, match=r"was (changed|made) by somebody else"):
        small_world.release(progress=_when_planned(small_world, *create))
    key, _, value = data.partition("=")
    assert small.live("configmap")["data"][key] == value


def _of_another_channel(world: World, name: str) -> None:
    """The deployer makes an object for the channel ``prod``: as the same manager, so that fields tell nothing."""
    labels = {CHANNEL_LABEL: "prod", APP_LABEL: "theirs"}
    made = config_map(name, theirs="x")
    made["metadata"] |= {"namespace": NAMESPACE, "labels": labels}
    assert world.deployer.cluster("prod").objects.apply(made)


@pytest.mark.parametrize("recreated", [False, True], ids=["new", "made anew"])
def test_an_object_of_another_channel_that_appears_stops_the_app(small_world: World, recreated: bool) -> None:
    """Also where it takes the place of what was deleted to be made anew; the error says that it was written to."""
    small = Small(small_world)
    small.put("web", manifest("Namespace", NAMESPACE), config_map("other", a="1"))
    if recreated:
        small.put("web", manifest("Namespace", NAMESPACE), {**config_map(a="1"), "immutable": True})
    small.deliver()
    ours = {**config_map(a="2"), "immutable": True} if recreated else config_map(a="2")
    small.put("web", manifest("Namespace", NAMESPACE), ours, recreate=True)
    small.push()
    small_world.promote()
    moment = "being deleted" if recreated else "digest sha256"

    def hook(line: str) -> None:
        if moment in line:
            _of_another_channel(small_world, "web")

    with pytest.raises(ReleaseFailed, match="was made by somebody else"):
        small_world.release(progress=hook)


def test_an_object_whose_making_went_unanswered_is_our_own(small_world: World, tmp_path: Path) -> None:
    """It is looked at, not made again: a second answer would not tell it from somebody else's."""
    lost: list[ApiRequest] = []

    def loses(request: ApiRequest) -> bool:
        if (request.verb, request.name, request.dry_run) != ("patch", "web", False) or lost:
            return False
        lost.append(request)
        return True

    with gate(small_world.kubeconfig, tmp_path / "gated") as gated:
        gated.loses = loses
        settings = small_world.deployer.settings.model_copy(update={"kubeconfig": gated.kubeconfig})
        small = Small(replace(small_world, deployer=Deployer.from_settings(settings)))
        small.put("web", manifest("Namespace", NAMESPACE), config_map(a="1"))
        small.deliver()
    applied = [request for request in gated.seen if request.name == "web" and request.writes and not request.dry_run]
    assert [(request.verb, request.status) for request in applied] == [("patch", 201)]
    assert len(lost) == 1
    assert small.live("configmap")["data"] == {"a": "1"}


def test_a_write_between_plan_and_helm_stops_the_app(released: World) -> None:
    """The same for Helm, which has no such guard of its own."""
    values = "kubernetes/apps/values/metabase-test.yaml"
    released.origin.commit("main", {values: released.origin.show("main", values) + "\ndatabase: {host: other.svc}\n"})
    released.render()
    released.promote()
    edit = ("patch", "configmap", "metabase-settings", "-n", "metabase", "-p", '{"data":{"MB_DB_USER":"eve"}}')
    with pytest.raises(ReleaseFailed, match="were changed by somebody else"):
        released.release(progress=_when_planned(released, *edit))
    data = released.object("configmap", "metabase-settings", "metabase")["data"]
    assert (data["MB_DB_USER"], data["MB_DB_HOST"]) == ("eve", "postgres.metabase.svc")


def test_what_the_server_makes_up_for_a_new_object_is_no_part_of_the_digest(released: World) -> None:
    """A Job gets another selector at each try, a Service another address."""
    add_resource(released, "job", JOB)
    released.render()
    first = diff_promotion(released.deployer, "test", "main", progress=released.progress.append)
    assert first.counts["create"] == 1
    assert released.promote(expected_digest=first.digest).change_set.digest == first.digest
    released.release()
    assert released.object("job", "migrate", "web")["status"]["succeeded"] == 1


def test_a_manifest_the_api_refuses_is_named_and_nothing_is_changed(released: World) -> None:
    """The error says app, object and the server's reason; other apps are not touched either."""
    before = versions(released)
    add_resource(released, "wrong", WRONG)
    set_image(released, "registry.example/feeds/next:11")
    released.render()
    with pytest.raises(ManifestRejected) as refusal:
        released.promote()
    assert "app web" in str(refusal.value)
    assert "Service web/wrong" in str(refusal.value)
    assert versions(released) == before


def test_an_object_of_another_channel_is_not_taken_over(released: World) -> None:
    """Two channels that name the same object in one cluster: the second is refused and told whose it is."""
    released.origin.commit("main", {PRODUCTION: example_files()[PRODUCTION]})
    released.render()
    before = versions(released)
    with pytest.raises(OwnedByAnother, match="belongs to app archiver of channel test"):
        released.promote("main", "prod")
    assert versions(released) == before


def test_one_object_brought_by_two_apps_is_refused(world: World) -> None:
    """The first release would pass and every later one fail; so the first is refused, and names both."""
    text = world.origin.show("main", CHANNEL)
    shared = text.replace("    kustomize_dir: kubernetes/apps/overlays/web-test\n", SHARING)
    assert shared != text
    world.origin.commit("main", {CHANNEL: shared})
    world.render()
    with pytest.raises(OwnedByAnother, match="Secret archiver/feed-secrets by archiver and web"):
        world.promote()


def test_a_kind_that_nobody_serves_stops_the_diff(world: World) -> None:
    """What could not be done is not shown as if it could be."""
    add_resource(world, "lamp", "apiVersion: nobody.example.org/v1\nkind: Lamp\nmetadata: {name: x}\n")
    world.render()
    with pytest.raises(ManifestRejected, match="does not serve the kinds of 1 object") as caught:
        world.promote()
    assert "Lamp of nobody.example.org/v1" in str(caught.value)
