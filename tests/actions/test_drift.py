"""Drift: what is not as released, who did that and since when; found exactly, and nothing else taken for it."""

from __future__ import annotations

import json
from typing import Any

from deploy_pipeline.changes.drift import AppDrift, Deviation, DriftResult, ObjectDrift, Writer
from deploy_pipeline.changes.drift_report import drift_text
from deploy_pipeline.drift import check_drift
from tests.actions.conftest import World

KUSTOMIZATION = "kubernetes/apps/overlays/web-test/kustomization.yaml"

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: web}
spec:
  ttlSecondsAfterFinished: 1
  template:
    spec:
      restartPolicy: Never
      containers: [{name: migrate, image: registry.example/feeds/migrate:1}]
"""


def check(world: World, **more: Any) -> DriftResult:
    """Look for drift in the test channel."""
    return check_drift(world.deployer, "test", progress=world.progress.append, **more)


def app_of(result: DriftResult, name: str) -> AppDrift:
    """The drift of one app."""
    return next(app for app in result.apps if app.app == name)


def the_object(result: DriftResult, app: str) -> ObjectDrift:
    """The only object of an app that is not as released."""
    (found,) = app_of(result, app).objects
    return found


def test_each_changed_field_names_its_writer(released: World) -> None:
    """A patch, a scaling and an annotation by hand, each with the manager and the time that the server noted."""
    assert not check(released).drifted
    patch = json.dumps({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "evil:1"}]}}}})
    released.kubectl("-n", "web", "patch", "deployment", "web", "--field-manager=alice", "--patch", patch)
    released.kubectl("-n", "web", "scale", "deployment", "web", "--replicas=2")
    ours = ["--field-manager=deploy-pipeline", "--patch", '{"spec": {"progressDeadlineSeconds": 60}}']
    released.kubectl("-n", "web", "patch", "deployment", "web", *ours)
    released.kubectl("-n", "web", "annotate", "service", "web", "note=mine", "--field-manager=bob")
    result = check(released)
    assert [app.app for app in result.apps if app.drifted] == ["web"]
    fields = {f"{item.ref.kind} {f.path}": f for item in app_of(result, "web").objects for f in item.fields}
    image = fields["Deployment spec.template.spec.containers[web].image"]
    assert (image.live, image.released) == ('"evil:1"', '"registry.example/feeds/web:1.8.0"')
    replicas = fields["Deployment spec.replicas"]
    assert (replicas.live, replicas.released) == ("2", "1")
    live = json.loads(released.kubectl("-n", "web", "get", "deployment", "web", "--show-managed-fields", "-o", "json"))
    times = {(e["manager"], e.get("subresource", "")): e["time"] for e in live["metadata"]["managedFields"]}
    assert image.writer == Writer("alice", times["alice", ""])
    assert replicas.writer == Writer("kubectl", times["kubectl", "scale"])
    assert fields["Deployment spec.progressDeadlineSeconds"].writer is None, "our name is nobody else's"
    assert "Service metadata.annotations.note" not in fields, "what the release does not name is nobody's drift"
    text = drift_text(result)
    assert f"changed (by alice at {times['alice', '']})" in text
    assert "test is not as it was released at" in text


def test_a_field_that_was_removed_has_no_writer(released: World) -> None:
    """Nobody owns what is not there."""
    patch = json.dumps([{"op": "remove", "path": "/spec/selector/app.kubernetes.io~1name"}])
    released.kubectl("-n", "web", "patch", "service", "web", "--type=json", "--field-manager=alice", "--patch", patch)
    (field,) = the_object(result := check(released), "web").fields
    assert (field.path, field.live, field.writer) == ('spec.selector["app.kubernetes.io/name"]', None, None)
    assert "      removed" in drift_text(result).splitlines()


def test_an_object_that_is_gone_is_missing(released: World) -> None:
    """The server knows nothing of who deleted it."""
    released.kubectl("-n", "web", "delete", "service", "web")
    found = the_object(check(released), "web")
    assert (str(found.ref), found.deviation, found.writer) == ("Service web/web", Deviation.MISSING, None)


def test_objects_under_our_labels_that_nobody_released_are_extra(released: World) -> None:
    """A copy somebody made is found with its maker, of whatever kind; what controllers derive from ours is not."""
    labels = {"deploy-pipeline.io/channel": "test", "deploy-pipeline.io/app": "web"}
    copy = {"name": "copy", "namespace": "web", "labels": labels}
    released.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": copy}))
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": copy, "rules": []}
    released.kubectl("create", "-f", "-", stdin=json.dumps(role))
    released.kubectl("create", "namespace", "stray")
    released.kubectl("label", "namespace", "stray", "deploy-pipeline.io/channel=test", "deploy-pipeline.io/app=gone")
    released.kubectl("create", "namespace", "other")
    released.kubectl("label", "namespace", "other", "deploy-pipeline.io/channel=prod", "deploy-pipeline.io/app=web")
    owner = {"apiVersion": "v1", "kind": "Service", "name": "web", "controller": True}
    owner["uid"] = released.object("service", "web", "web")["metadata"]["uid"]
    slice_of_web = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "namespace": "web", "labels": labels, "ownerReferences": [owner]},
        "addressType": "IPv4",
        "endpoints": [],
    }
    released.kubectl("create", "-f", "-", stdin=json.dumps(slice_of_web))
    result = check(released)
    extra = {(app.app, str(o.ref)): o for app in result.apps for o in app.objects if o.deviation is Deviation.EXTRA}
    assert set(extra) == {
        ("web", "ConfigMap web/copy"),
        ("web", "Role.rbac.authorization.k8s.io web/copy"),
        ("gone", "Namespace stray"),
    }
    created = released.object("configmap", "copy", "web")["metadata"]["creationTimestamp"]
    assert extra["web", "ConfigMap web/copy"].writer == Writer("kubectl-create", created)
    assert [o.deviation for app in check(released, apps=["archiver"]).apps for o in app.objects] == []
    assert result.unseen == ()
    assert not result.restorable


def test_a_job_that_removed_itself_is_no_drift(world: World) -> None:
    """It did its work; without a time to live, its absence is drift."""
    text = world.origin.show("main", KUSTOMIZATION)
    world.deliver({
        KUSTOMIZATION: text.replace("resources:", "resources:\n  - job.yaml"),
        KUSTOMIZATION.replace("kustomization", "job"): JOB,
    })  # fmt: skip
    if world.object("job", "migrate", "web"):
        world.kubectl("-n", "web", "delete", "job", "migrate", "--ignore-not-found")
    result = check(world)
    assert not result.drifted
    assert result.change_set is not None
    assert result.change_set.is_empty
    world.deliver({KUSTOMIZATION.replace("kustomization", "job"): JOB.replace("  ttlSecondsAfterFinished: 1\n", "")})
    world.kubectl("-n", "web", "delete", "job", "migrate")
    assert str(the_object(check(world), "web").ref) == "Job web/migrate"


def test_secret_values_are_masked(released: World) -> None:
    """Neither the released value nor the one that somebody put in its place shows anywhere."""
    before = released.object("secret", "feed-secrets", "archiver")["data"]
    key = min(before)
    patch = json.dumps({"stringData": {key: "a-value-of-my-own"}})
    released.kubectl("-n", "archiver", "patch", "secret", "feed-secrets", "--field-manager=alice", "--patch", patch)
    result = check(released)
    (field,) = the_object(result, "archiver").fields
    assert field.writer is not None
    assert field.writer.manager == "alice"
    shown = f"{result!r} {drift_text(result)} {released.progress}"
    assert "a-value-of-my-own" not in shown
    assert before[key] not in shown
    assert "<masked " in str(field.live)
