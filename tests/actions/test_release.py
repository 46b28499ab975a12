"""Releases on a cluster: complete, exact, repeatable, and stopped before the first write when anything is off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy_pipeline.changes import Operation
from deploy_pipeline.channels import load_channel
from deploy_pipeline.cluster.cluster import Cluster
from deploy_pipeline.cluster.records import Approval, ReleaseRecord, ReleaseState
from deploy_pipeline.deployer import Deployer
from deploy_pipeline.errors import (
    ApprovalError,
    ManifestRejected,
    OwnedByAnother,
    RefusedError,
    ReleaseFailed,
    SecretFault,
)
from deploy_pipeline.planning import plan_channel
from deploy_pipeline.promotion import diff_promotion, find_candidate
from deploy_pipeline.release import history
from tests.actions.conftest import World

KUSTOMIZATION = "kubernetes/apps/overlays/web-test/kustomization.yaml"
CHANNEL = "channels/test.yaml"

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

WEB = """
apiVersion: v1
kind: ConfigMap
metadata: {name: extra, namespace: web}
data: {mode: slow}
"""


def states(world: World) -> dict[str, str]:
    """How each app of the last release fared."""
    return {result.app: result.state for result in world.apps}


def versions(world: World) -> dict[str, str]:
    """The resource version of every object."""
    return {name: item["metadata"]["resourceVersion"] for name, item in world.dump().items()}


def add_resource(world: World, name: str, manifest: str) -> None:
    """Add a manifest to the web app of the test channel."""
    text = world.origin.show("main", KUSTOMIZATION)
    folder = KUSTOMIZATION.rpartition("/")[0]
    resources = text.replace("resources:\n", f"resources:\n  - {name}.yaml\n")
    world.origin.commit("main", {KUSTOMIZATION: resources, f"{folder}/{name}.yaml": manifest})


def set_image(world: World, image: str) -> None:
    """Run another image in the web app of the test channel (one whose tag the overlay does not set)."""
    text = world.origin.show("main", KUSTOMIZATION)
    folder = KUSTOMIZATION.rpartition("/")[0]
    patch = f"- op: replace\n  path: /spec/template/spec/containers/0/image\n  value: {image}\n"
    if "image-patch.yaml" not in text:
        text += "\n" if text.endswith("\n") else "\n\n"
        entry = "  - path: image-patch.yaml\n    target: {kind: Deployment}\n"
        text = text.replace("patches:\n", f"patches:\n{entry}") if "patches:\n" in text else f"{text}patches:\n{entry}"
    world.origin.commit("main", {KUSTOMIZATION: text, f"{folder}/image-patch.yaml": patch})


def test_the_first_release_brings_everything(world: World) -> None:
    """Both drivers, their namespaces and secrets; the record says by whom it was approved."""
    result = world.deliver()
    assert states(world) == {"archiver": "released", "web": "released", "metabase": "released"}
    assert world.object("deployment", "archiver", "archiver")["status"]["availableReplicas"] >= 1
    assert world.object("secret", "feed-secrets", "archiver")["data"]
    assert world.object("secret", "database-backup", "metabase")["data"]
    assert world.object("deployment", "metabase", "metabase")["metadata"]["labels"]["app.kubernetes.io/managed-by"] == (
        "Helm"
    )
    record = history(world.deployer, "test")[0]
    assert (record.commit, record.state, record.approved_by) == (result.commit, ReleaseState.RELEASED, "ann")


def test_a_second_release_changes_nothing(world: World) -> None:
    """Not one resource version moves, and Helm makes no new revision."""
    world.deliver()
    before = versions(world)
    world.apps.clear()
    result = world.release()
    assert states(world) == {"archiver": "unchanged", "web": "unchanged", "metabase": "unchanged"}
    assert result.change_set is not None
    assert result.change_set.is_empty
    assert versions(world) == before


def test_what_was_predicted_is_what_happened(world: World) -> None:
    """Exactly the objects that the change set names differ between full dumps before and after."""
    world.deliver()
    before = world.dump()
    add_resource(world, "extra", WEB)
    set_image(world, "registry.example/feeds/next:9.9.9")
    values = "kubernetes/apps/values/metabase-test.yaml"
    world.origin.commit("main", {values: world.origin.show("main", values) + "\nembeddingKey2: unused\n"})
    world.render()
    promotion = world.promote()
    world.release()
    after = world.dump()
    made = {name for name in after.keys() - before.keys() if _is_asked_for(after[name])}
    changed = {name for name in after.keys() & before.keys() if _spec(after[name]) != _spec(before[name])}
    predicted: dict[Operation, set[str]] = {Operation.CREATE: set(), Operation.UPDATE: set()}
    for app in promotion.change_set.apps:
        for change in app.changed:
            predicted[change.operation].add(f"{change.ref.kind}/{change.ref.namespace}/{change.ref.name}")
    assert made == predicted[Operation.CREATE] == {"ConfigMap/web/extra"}
    assert changed == predicted[Operation.UPDATE] == {"Deployment/web/web"}


def _spec(item: dict[str, Any]) -> Any:
    """What somebody asked for, without what the server and controllers keep."""
    metadata = {key: item["metadata"].get(key) for key in ("labels",)}
    return metadata, {k: v for k, v in item.items() if k not in ("metadata", "status")}


def _is_asked_for(item: dict[str, Any]) -> bool:
    """Neither made by a controller nor a record of Helm."""
    return not item["metadata"].get("ownerReferences") and item.get("type") != "helm.sh/release.v1"


def test_what_leaves_an_app_is_pruned_and_its_namespace_stays(world: World) -> None:
    """A removed manifest goes from the cluster; objects nobody released stay untouched."""
    add_resource(world, "extra", WEB)
    world.deliver()
    world.kubectl("create", "configmap", "foreign", "--namespace", "web")
    assert world.object("configmap", "extra", "web")
    folder = KUSTOMIZATION.rpartition("/")[0]
    text = world.origin.show("main", KUSTOMIZATION).replace("  - extra.yaml\n", "")
    result = world.deliver({KUSTOMIZATION: text, f"{folder}/extra.yaml": None})
    assert result.change_set is not None
    assert result.change_set.counts["prune"] == 1
    assert world.object("configmap", "extra", "web") is None
    assert world.object("configmap", "foreign", "web")


def test_an_app_that_leaves_the_channel_takes_its_objects_along(world: World) -> None:
    """The Helm release is uninstalled, kustomize objects are deleted, namespaces stay."""
    world.deliver()
    web = "{name: web, driver: kustomize, kustomize_dir: kubernetes/apps/overlays/web-test}"
    world.deliver({CHANNEL: f"channel: test\nreleases: [{web}]\n"})
    assert world.object("deployment", "archiver", "archiver") is None
    assert world.object("secret", "feed-secrets", "archiver") is None
    assert world.object("deployment", "metabase", "metabase") is None
    assert world.object("secret", "database-backup", "metabase") is None
    assert world.object("namespace", "archiver")
    assert world.object("deployment", "web", "web")
    assert world.release().change_set.is_empty  # type: ignore[union-attr]


def test_a_channel_without_apps_deletes_nothing(world: World) -> None:
    """An emptied list is far more often a mistake than a wish."""
    world.deliver()
    before = versions(world)
    world.deliver({CHANNEL: "channel: test\nreleases: []\n"})
    assert versions(world) == before


def test_a_commit_pushed_straight_to_the_release_branch_is_refused(world: World) -> None:
    """It has no approval; the cluster stays as it is."""
    world.deliver()
    before = versions(world)
    set_image(world, "registry.example/feeds/next:evil")
    candidate = world.render()
    world.origin.git("update-ref", "refs/heads/releases/test", candidate)
    with pytest.raises(ApprovalError, match="has no approval"):
        world.release()
    assert versions(world) == before


def test_a_loosened_policy_does_not_hold_for_the_commit_that_brings_it(world: World) -> None:
    """Policy is read from what was released last; from the next commit on it holds."""
    world.deliver()
    text = world.origin.show("main", CHANNEL) + "approval: none\n"
    world.origin.commit("main", {CHANNEL: text})
    world.origin.git("update-ref", "refs/heads/releases/test", world.render())
    with pytest.raises(ApprovalError, match="has no approval"):
        world.release()
    world.promote()
    world.release()
    set_image(world, "registry.example/feeds/next:2")
    world.origin.git("update-ref", "refs/heads/releases/test", world.render())
    assert world.release().commit == world.origin.heads()["releases/test"]


def test_a_cluster_that_changed_since_the_approval_stops_the_release(world: World) -> None:
    """What would be done is no longer what was approved: nothing is done, and the difference is named."""
    world.deliver()
    add_resource(world, "extra", WEB)
    world.render()
    world.promote()
    world.kubectl("label", "service", "web", "--namespace", "web", "--overwrite", "app.kubernetes.io/part-of=other")
    world.kubectl("scale", "deployment", "web", "--namespace", "web", "--replicas", "7")
    before = world.dump()
    with pytest.raises(ApprovalError) as refusal:
        world.release()
    assert "Deployment.apps web/web" in str(refusal.value) or "Deployment web/web" in str(refusal.value)
    assert "spec.replicas" in str(refusal.value)
    assert world.object("configmap", "extra", "web") is None
    assert world.dump().keys() == before.keys()
    world.promote()
    world.release()
    assert world.object("configmap", "extra", "web")


def test_a_broken_image_fails_with_the_reason_and_the_last_good_state(world: World) -> None:
    """The container's own reason is in the error; other apps are released; the fix goes through."""
    text = world.origin.show("main", CHANNEL).replace("timeout: 60s", "timeout: 2s")
    good = world.deliver({CHANNEL: text})
    set_image(world, "registry.example/feeds/web-broken:1")
    world.render()
    world.promote()
    world.apps.clear()
    with pytest.raises(ReleaseFailed) as failure:
        world.release()
    assert "ImagePullBackOff" in str(failure.value)
    assert good.commit[:12] in str(failure.value)
    assert states(world)["web"] == "failed"
    assert states(world)["metabase"] == "unchanged"
    assert history(world.deployer, "test")[0].state is ReleaseState.FAILED
    set_image(world, "registry.example/feeds/next:10")
    world.render()
    world.promote()
    assert world.release().last_good == good.commit
    assert history(world.deployer, "test")[0].state is ReleaseState.RELEASED


def test_a_failed_release_can_be_run_again(world: World) -> None:
    """The approval still covers what is left to do."""
    text = world.origin.show("main", CHANNEL).replace("timeout: 60s", "timeout: 1s")
    world.origin.commit("main", {CHANNEL: text})
    set_image(world, "registry.example/feeds/web-broken:1")
    world.render()
    world.promote()
    for _ in range(2):
        with pytest.raises(ReleaseFailed):
            world.release()
    assert len(history(world.deployer, "test")) == 1


def _when_planned(world: World, *command: str) -> Callable[[str], None]:
    """Progress that runs kubectl once, between planning and the first write."""
    done: list[str] = []

    def hook(line: str) -> None:
        if "digest sha256" in line and not done:
            done.append(line)
            world.kubectl(*command)

    return hook


def test_a_write_that_changes_nothing_of_the_change_is_let_pass(world: World) -> None:
    """Controllers and people annotate objects all the time."""
    world.deliver()
    set_image(world, "registry.example/feeds/next:13")
    world.render()
    world.promote()
    world.release(progress=_when_planned(world, "annotate", "deployment", "web", "--namespace", "web", "note=x"))
    live = world.object("deployment", "web", "web")
    assert live["metadata"]["annotations"]["note"] == "x"
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/feeds/next:13"


def test_a_write_between_plan_and_apply_stops_the_app(world: World) -> None:
    """The check of the approval and the write are one: nobody slips in between."""
    world.deliver()
    set_image(world, "registry.example/feeds/next:14")
    world.render()
    world.promote()
    other = ("set", "image", "deployment/web", "*=registry.example/feeds/other:1", "--namespace", "web")
    with pytest.raises(ReleaseFailed, match="was changed by somebody else"):
        world.release(progress=_when_planned(world, *other))
    image = world.object("deployment", "web", "web")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "registry.example/feeds/other:1"


def test_a_write_between_plan_and_helm_stops_the_app(world: World) -> None:
    """The same for Helm, which has no such guard of its own."""
    world.deliver()
    values = "kubernetes/apps/values/metabase-test.yaml"
    world.origin.commit("main", {values: world.origin.show("main", values) + "\ndatabase: {host: other.svc}\n"})
    world.render()
    world.promote()
    edit = ("patch", "configmap", "metabase-settings", "-n", "metabase", "-p", '{"data":{"MB_DB_USER":"eve"}}')
    with pytest.raises(ReleaseFailed, match="were changed by somebody else"):
        world.release(progress=_when_planned(world, *edit))
    data = world.object("configmap", "metabase-settings", "metabase")["data"]
    assert (data["MB_DB_USER"], data["MB_DB_HOST"]) == ("eve", "postgres.metabase.svc")


def test_what_the_server_makes_up_for_a_new_object_is_no_part_of_the_digest(world: World) -> None:
    """A Job gets another selector at each try, a Service another address."""
    world.deliver()
    add_resource(world, "job", JOB)
    world.render()
    first = diff_promotion(world.deployer, "test", "main", progress=world.progress.append)
    assert first.counts["create"] == 1
    assert world.promote(expected_digest=first.digest).change_set.digest == first.digest
    world.release()
    assert world.object("job", "migrate", "web")["status"]["succeeded"] == 1


def test_a_release_that_is_told_to_stop_stops(world: World) -> None:
    """Whoever terminates a run does not wait until every time limit of every app is over."""
    set_image(world, "registry.example/feeds/web-broken:1")
    world.render()
    world.promote()
    started = time.monotonic()
    _release_and_kill(world, "waiting: Deployment web/web", signal.SIGINT)
    assert time.monotonic() - started < 30  # the app's own limit is a minute
    assert history(world.deployer, "test")[0].state is not ReleaseState.RELEASED


RELEASE_SCRIPT = """
import sys, json
from deploy_pipeline.deployer import Deployer
from deploy_pipeline.release import release_channel
from deploy_pipeline.settings import Settings
settings = Settings.model_validate(json.loads(sys.argv[1]))
release_channel(Deployer.from_settings(settings), "test", trigger="cli",
                progress=lambda line: print(line, flush=True), on_app=print)
"""


@pytest.mark.parametrize("moment", ["Namespace", "feed-secrets", "Deployment", "waiting:", "metabase: Helm release"])
def test_a_release_killed_at_any_moment_is_finished_by_the_next(world: World, moment: str) -> None:
    """SIGKILL in the middle, then once more: the end is the same, and nothing is asked of anybody."""
    world.render()
    world.promote()
    _release_and_kill(world, moment)
    result = world.release()  # waits until the lock of the killed one expires
    assert {app.app for app in result.apps if app.state != "failed"} == {"archiver", "web", "metabase"}
    assert world.release().change_set.is_empty  # type: ignore[union-attr]
    for app in ("archiver", "web", "metabase"):
        assert world.object("deployment", app, app)["status"]["availableReplicas"] >= 1


def _release_and_kill(world: World, moment: str, by: signal.Signals = signal.SIGKILL) -> None:
    """Run a release in a process of its own and kill it as soon as its progress names ``moment``."""
    settings = world.deployer.settings.model_dump(mode="json")
    command = [sys.executable, "-c", RELEASE_SCRIPT, json.dumps(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if moment in line:
                process.send_signal(by)
                break
    assert process.returncode == -by, f"the release never said {moment!r}"


def test_a_missing_secret_stops_before_the_first_write(world: World) -> None:
    """The error names the secret; nothing of any app is applied."""
    (world.secrets / "archiver_feed-secrets.yaml").unlink()
    world.render()
    with pytest.raises(SecretFault, match="archiver_feed-secrets"):
        world.promote()
    assert "Namespace//archiver" not in world.dump()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("just text, hunter2", "not a Kubernetes Secret"),
        ("a: [hunter2", "not YAML"),
        ("kind: Secret\napiVersion: v1\nmetadata: {name: x, namespace: other}\n", "metadata|namespace"),
        ("kind: Secret\napiVersion: v1\nmetadata: {name: x}\n", "names no namespace"),
        ("{kind: Secret, apiVersion: v1, metadata: {name: x, namespace: a}, data: {k: hunter2}}", "base64"),
        ("kind: Secret\n---\nkind: Secret\n", "one document"),
    ],
)
def test_a_malformed_secret_is_named_and_never_quoted(world: World, payload: str, reason: str) -> None:
    """Whatever is wrong with a payload, its content stays out of the error."""
    target = "metabase_database-backup" if reason == "metadata|namespace" else "archiver_feed-secrets"
    (world.secrets / f"{target}.yaml").write_text(payload)
    world.render()
    with pytest.raises(SecretFault, match=reason) as fault:
        world.promote()
    assert target in str(fault.value)
    assert "hunter2" not in str(fault.value)


def test_secret_values_show_nowhere(world: World) -> None:
    """Not in the change set, progress, records or git; their change does show."""
    world.deliver()
    first = world.deliver().change_set
    backup = world.secrets / "metabase_database-backup.yaml"
    backup.write_text(backup.read_text().replace("not-a-real-passphrase", "rotated-passphrase"))
    values = world.secrets / "metabase_sensitive-values.yaml"
    values.write_text(values.read_text().replace("not-a-real-password", "rotated-password"))
    world.render()
    changes = world.promote().change_set
    world.release()
    assert first is not None
    assert first.digest != changes.digest
    changed = {str(change.ref) for app in changes.apps for change in app.changed}
    assert {"Secret metabase/database-backup", "Secret metabase/metabase-database"} <= changed
    everything = json.dumps(changes.to_json()) + "\n".join(world.progress)
    everything += world.kubectl("get", "configmaps", "--namespace", "deploy-pipeline", "--output", "yaml")
    everything += world.origin.git("log", "--all", "--patch")
    for value in ("not-a-real", "rotated-"):
        assert value not in everything
    assert world.object("secret", "metabase-database", "metabase")["data"]["password"] == "cm90YXRlZC1wYXNzd29yZA=="


def test_a_manifest_the_api_refuses_is_named_and_nothing_is_changed(world: World) -> None:
    """The error says app, object and the server's reason; other apps are not touched either."""
    world.deliver()
    before = versions(world)
    add_resource(world, "wrong", WRONG)
    set_image(world, "registry.example/feeds/next:11")
    world.render()
    with pytest.raises(ManifestRejected) as refusal:
        world.promote()
    assert "app web" in str(refusal.value)
    assert "Service web/wrong" in str(refusal.value)
    assert versions(world) == before


def test_an_object_of_another_channel_is_not_taken_over(world: World) -> None:
    """Two channels that name the same object in one cluster: the second is refused and told whose it is."""
    world.deliver()
    before = versions(world)
    with pytest.raises(OwnedByAnother, match="belongs to app archiver of channel test"):
        world.promote("main", "prod")
    assert versions(world) == before


def test_the_sensor_releases_a_commit_once(world: World) -> None:
    """A lost cursor asks again; the cluster itself knows better."""
    done = world.deliver()
    again = world.release(only_if_new=True, commit=done.commit)
    assert again.skipped
    set_image(world, "registry.example/feeds/next:12")
    world.render()
    world.promote()
    stale = world.release(only_if_new=True, commit=done.commit)
    assert stale.skipped
    with pytest.raises(RefusedError, match="is not the head"):
        world.release(commit=done.commit)


def test_a_narrowed_release_does_its_apps_and_the_rest_follows(world: World) -> None:
    """``--app`` releases some apps of an approved change set; the whole release continues it."""
    world.render()
    world.promote()
    world.release(apps=["web"])
    assert states(world) == {"web": "released"}
    assert world.object("deployment", "archiver", "archiver") is None
    assert history(world.deployer, "test")[0].state is ReleaseState.PARTIAL
    world.release()
    assert world.object("deployment", "archiver", "archiver")
    assert history(world.deployer, "test")[0].state is ReleaseState.RELEASED


def test_a_diff_writes_nothing(world: World) -> None:
    """Not even a namespace, beyond the deployer's own."""
    world.render()
    before = versions(world)
    found = diff_promotion(world.deployer, "test", "main", progress=world.progress.append)
    assert found.counts["create"] > 5
    assert versions(world) == before


def test_no_file_with_a_secret_stays(world: World) -> None:
    """Values files for Helm lie in private directories that are gone afterwards."""
    world.deliver()
    assert not list(Path("/dev/shm").glob(f"deploy-pipeline-{os.getpid()}-*"))


def test_a_release_that_waited_for_the_lock_releases_what_is_there_then(
    world: World, make_deployer: Callable[..., Deployer]
) -> None:
    """While it waited, a newer commit was released; it must not go back to the one it was started for."""
    world.deliver()
    set_image(world, "registry.example/feeds/next:15")
    world.render()
    world.promote()
    waiting = Cluster(world.kubeconfig, None, "deploy-pipeline", 5)
    results: list[Any] = []
    other = World(world.origin, make_deployer(lock_wait=30), world.kubeconfig, world.secrets)
    with waiting.lock("test").held("somebody", 0):
        thread = threading.Thread(target=lambda: results.append(other.release()))
        thread.start()
        time.sleep(1)
        newer = _commit_without_lock(world, "registry.example/feeds/next:16")
    thread.join()
    assert [result.commit for result in results] == [newer]


def _commit_without_lock(world: World, image: str) -> str:
    """What a promotion by another deployer leaves while the lock is held by the test."""
    set_image(world, image)
    world.render()
    namespace = World(world.origin, world.deployer, world.kubeconfig, world.secrets)
    source = find_candidate(world.deployer, "main")
    tree = world.deployer.mirror.tree(source.sha)
    plan = plan_channel(world.deployer, load_channel(tree, "test"), tree, progress=namespace.progress.append)
    parent = world.origin.heads()["releases/test"]
    commit = world.origin.git("commit-tree", "-p", parent, "-m", "newer", source.tree).strip()
    changes = plan.change_set
    approval = Approval(
        "test", commit, source.tree, changes.digest, "ann", "2030-01-01T00:00:00Z", source.sha, "", changes.to_json()
    )
    plan.cluster.records("test").approve(approval)
    world.origin.git("update-ref", "refs/heads/releases/test", commit)
    return commit


def test_one_object_brought_by_two_apps_is_refused(world: World) -> None:
    """The first release would pass and every later one fail; so the first is refused, and names both."""
    text = world.origin.show("main", CHANNEL)
    shared = text.replace("    kustomize_dir: kubernetes/apps/overlays/web-test\n", SHARING)
    assert shared != text
    world.origin.commit("main", {CHANNEL: shared})
    world.render()
    with pytest.raises(OwnedByAnother, match="Secret archiver/feed-secrets by archiver and web"):
        world.promote()


def test_a_digest_does_not_depend_on_what_the_process_has_seen(
    world: World, make_deployer: Callable[..., Deployer]
) -> None:
    """A secret value that is an ordinary word is masked everywhere or nowhere."""
    backup = world.secrets / "metabase_database-backup.yaml"
    backup.write_text(backup.read_text().replace("not-a-real-passphrase", "feeds"))
    world.render()
    found = set()
    for deployer in (world.deployer, world.deployer, make_deployer(), make_deployer(app_threads=1)):
        found.add(diff_promotion(deployer, "test", "main", progress=world.progress.append).digest)
    assert len(found) == 1


def test_an_old_secret_value_is_masked_after_a_rotation(world: World) -> None:
    """A chart that writes a secret value into something that is no Secret shows neither the new nor the old one."""
    template = "kubernetes/apps/charts/metabase/templates/configmap.yaml"
    leak = world.origin.show("main", template) + "  LEAK: {{ .Values.database.password | quote }}\n"
    world.deliver({template: leak})
    values = world.secrets / "metabase_sensitive-values.yaml"
    values.write_text(values.read_text().replace("not-a-real-password", "rotated-password"))
    world.render()
    changes = json.dumps(world.promote().change_set.to_json())
    assert "data.LEAK" in changes
    assert "not-a-real" not in changes
    assert "rotated-password" not in changes


def test_who_lost_the_lock_does_not_end_anothers_release(world: World) -> None:
    """The record of the one that took over stays."""
    records = world.deployer.cluster("test").records("test")
    mine, other = (ReleaseRecord(c * 40, "t", "d", ReleaseState.RELEASING, "2030-01-01T00:00:00Z") for c in "ab")
    records.begin(mine)
    records.begin(other)
    records.finish(other, ReleaseState.RELEASED)
    records.finish(mine, ReleaseState.FAILED)
    last = records.last_released()
    assert last is not None
    assert last.commit == other.commit


def test_a_kind_that_nobody_serves_stops_the_diff(world: World) -> None:
    """What could not be done is not shown as if it could be."""
    add_resource(world, "lamp", "apiVersion: nobody.example.org/v1\nkind: Lamp\nmetadata: {name: x}\n")
    world.render()
    with pytest.raises(ManifestRejected, match="does not serve the kinds of 1 object") as caught:
        world.promote()
    assert "Lamp of nobody.example.org/v1" in str(caught.value)
