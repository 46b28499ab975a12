"""Healing: the last approved release comes back exactly, or nothing is touched and the reason is said."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy_pipeline.changes.drift import Deviation, DriftResult
from deploy_pipeline.changes.drift_report import drift_text
from deploy_pipeline.cluster.inventory import Inventory, Member
from deploy_pipeline.cluster.objects import ObjectRef
from deploy_pipeline.cluster.records import ReleaseState
from deploy_pipeline.deployer import Deployer
from deploy_pipeline.healing import keep_released
from deploy_pipeline.release import history
from deploy_pipeline.settings import tool_path
from tests.actions.conftest import Stages, World
from tests.actions.small import NAMESPACE, Small, config_map

CHANNEL = "channels/test.yaml"
KUSTOMIZATION = "kubernetes/apps/overlays/web-test/kustomization.yaml"

# Written by the server at each write, or by a controller that counts templates.
UNSTABLE = ("managedFields", "resourceVersion", "generation")
OF_A_NEW_OBJECT = ("uid", "creationTimestamp")
REVISION = "deployment.kubernetes.io/revision"

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: web}
spec:
  ttlSecondsAfterFinished: 3600
  template:
    spec:
      restartPolicy: Never
      containers: [{name: migrate, image: registry.example/feeds/migrate:1}]
"""


@pytest.fixture
def healing_stage(stages: Stages, tmp_path: Path) -> None:
    """The example, released to a channel that heals."""

    def deliver(world: World) -> None:
        world.deliver({CHANNEL: world.origin.show("main", CHANNEL) + "drift: heal\n"})

    stages.copy("healing", tmp_path, deliver)


@pytest.fixture
def healing(healing_stage: None, world: World) -> World:
    """The example, released to a channel that heals."""
    return world


def keep(world: World, **more: Any) -> DriftResult:
    """Look for drift, and heal as asked."""
    return keep_released(world.deployer, "test", progress=world.progress.append, **more)


def states(world: World, *, without: str = "") -> dict[str, Any]:
    """Every object with all that is wanted of it."""
    kept = {}
    for name, item in world.dump().items():
        if item.get("type") == "helm.sh/release.v1" or (without and name.endswith(without)):
            continue
        metadata = {k: v for k, v in item["metadata"].items() if k not in UNSTABLE + OF_A_NEW_OBJECT}
        metadata["annotations"] = {k: v for k, v in metadata.get("annotations", {}).items() if k != REVISION}
        kept[name] = {k: v for k, v in item.items() if k not in ("metadata", "status")} | {"metadata": metadata}
    return kept


def scale(world: World, replicas: int = 3) -> None:
    """The drift of most tests."""
    world.kubectl("-n", "web", "scale", "deployment", "web", f"--replicas={replicas}")


def reasons(result: DriftResult) -> str:
    """Why something was not put back, in one text."""
    return " ".join([*result.not_healed, *(reason for app in result.apps for reason in app.not_healed)])


def test_everything_that_was_released_comes_back(healing: World) -> None:
    """Changed, removed, masked and missing, of both drivers; the extra object stays; the record says all of it."""
    world, before = healing, states(healing)
    original = world.object("secret", "feed-secrets", "archiver")["data"]
    image = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "evil:1"}]}}}}
    world.kubectl("-n", "web", "patch", "deployment", "web", "--field-manager=alice", "-p", json.dumps(image))
    scale(world)
    gone = [{"op": "remove", "path": "/spec/selector/app.kubernetes.io~1name"}]
    world.kubectl("-n", "web", "patch", "service", "web", "--type=json", "-p", json.dumps(gone))
    world.kubectl("-n", "archiver", "delete", "cronjob/archiver-compact", "serviceaccount/archiver")
    stolen = {"stringData": {min(original): "a-value-of-my-own"}}
    world.kubectl("-n", "archiver", "patch", "secret", "feed-secrets", "-p", json.dumps(stolen))
    world.kubectl("-n", "metabase", "set", "image", "deployment/metabase", "*=evil:2")
    world.kubectl("-n", "metabase", "annotate", "secret", "database-backup", "note=mine")
    world.kubectl("-n", "web", "create", "configmap", "copy")
    world.kubectl(
        "-n", "web", "label", "configmap", "copy", "deploy-pipeline.io/channel=test", "deploy-pipeline.io/app=web"
    )
    released = history(world.deployer, "test")[0]
    result = keep(world)
    assert {app.app for app in result.apps if app.healed} == {"archiver", "web", "metabase"}
    assert reasons(result) == ""
    after = states(world)
    extra = {name: after.pop(name) for name in set(after) - set(before)}
    assert [name for name in extra if not name.endswith("kube-root-ca.crt")] == ["ConfigMap/web/copy"]
    assert after["Secret/metabase/database-backup"]["metadata"]["annotations"].pop("note") == "mine"
    assert after == before
    assert result.drifted, "the extra object is still there"
    record = history(world.deployer, "test")[0]
    assert (record.trigger, record.state) == ("heal", ReleaseState.RELEASED)
    assert (record.commit, record.tree, record.digest) == (released.commit, released.tree, released.digest)
    assert "Deployment web/web (spec.replicas, spec.template.spec.containers[web].image)" in record.reason
    assert "ServiceAccount archiver/archiver (missing)" in record.reason
    shown = f"{result!r} {drift_text(result)} {world.progress} {history(world.deployer, 'test')}"
    assert "a-value-of-my-own" not in shown
    assert original[min(original)] not in shown
    again = keep(world)
    assert [o.deviation for app in again.apps for o in app.objects] == [Deviation.EXTRA]
    assert history(world.deployer, "test")[0] == record
    assert world.release(only_if_new=True).skipped


@pytest.mark.long
def test_who_asks_decides_before_the_channel(world: World) -> None:
    """A channel reports unless it says otherwise; a person may ask for either."""
    world.deliver()
    scale(world)
    assert keep(world).drifted
    assert world.object("deployment", "web", "web")["spec"]["replicas"] == 3
    assert not keep(world, heal=True).drifted
    assert world.object("deployment", "web", "web")["spec"]["replicas"] == 1
    world.deliver({CHANNEL: world.origin.show("main", CHANNEL) + "drift: heal\n"})
    scale(world)
    assert keep(world, heal=False).drifted
    assert world.object("deployment", "web", "web")["spec"]["replicas"] == 3


@pytest.mark.long
def test_the_released_file_decides_not_the_newest(world: World) -> None:
    """A branch cannot make the deployer write before it was approved."""
    world.deliver()
    world.origin.commit("main", {CHANNEL: world.origin.show("main", CHANNEL) + "drift: heal\n"})
    world.render()
    scale(world)
    assert keep(world).drifted
    assert world.object("deployment", "web", "web")["spec"]["replicas"] == 3


def _rotate(world: World) -> None:
    path = world.secrets / "archiver_feed-secrets.yaml"
    path.write_text(path.read_text().replace("stringData:", "stringData:\n  added: a-new-value"))


def _promote_next(world: World) -> None:
    world.origin.commit("main", {KUSTOMIZATION: world.origin.show("main", KUSTOMIZATION).replace("1.8.0", "1.9.0")})
    world.render()
    world.promote()


def _release_partly(world: World) -> None:
    _promote_next(world)
    world.release(apps=["archiver"])


def _push_past_approval(world: World) -> None:
    world.origin.commit("releases/test", {"README.md": "changed\n"})


def _lose_approval(world: World) -> None:
    records = world.deployer.cluster("test").records("test")
    records.withdraw(history(world.deployer, "test")[0].commit)


REFUSALS = {
    "secrets": (_rotate, "the secret archiver_feed-secrets is not the one that was approved"),
    "promoted": (_promote_next, "which is not released yet"),
    "partial": (_release_partly, "is not complete: its state is partial"),
    "pushed": (_push_past_approval, "which is not released yet"),
    "approval": (_lose_approval, "the cluster has no approval of the release"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_whatever_is_not_as_it_was_approved_stops_it(healing: World, case: str) -> None:
    """Nothing in the cluster changes, not even a record; the drift is reported with the reason."""
    change, reason = REFUSALS[case]
    change(healing)
    scale(healing)
    before, records = healing.dump(), history(healing.deployer, "test")
    result = keep(healing)
    assert result.drifted
    assert not any(app.healed for app in result.apps)
    assert reason in reasons(result)
    assert f"not healed: {result.not_healed[0]}" in drift_text(result)
    assert healing.dump() == before
    assert history(healing.deployer, "test") == records


def test_a_release_under_way_is_not_disturbed(healing: World, make_deployer: Callable[..., Deployer]) -> None:
    """Its lock is respected."""
    scale(healing)
    before = healing.dump()
    hasty = replace(healing, deployer=make_deployer(lock_wait=0))
    with healing.deployer.cluster("test").lock("test").held("release of test", 1):
        result = keep(hasty)
    assert "channel test is locked by release of test" in reasons(result)
    assert healing.dump() == before


def test_nothing_is_pruned(healing: World) -> None:
    """An object that a release would prune stays, and stays known, while the rest of its app is put back."""
    old = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "old", "namespace": "web"}}
    labels = {"deploy-pipeline.io/channel": "test", "deploy-pipeline.io/app": "web"}
    old["metadata"] = {"name": "old", "namespace": "web", "labels": labels}
    healing.kubectl("create", "-f", "-", stdin=json.dumps(old))
    inventories = healing.deployer.cluster("test").inventories("test")
    member = Member("v1", ObjectRef("", "ConfigMap", "web", "old"))
    inventories.grow(Inventory("web", "kustomize", (member,)))
    scale(healing)
    result = keep(healing)
    assert healing.object("deployment", "web", "web")["spec"]["replicas"] == 1
    assert healing.object("configmap", "old", "web") is not None
    assert member in inventories.all()["web"].members
    (left,) = [o for app in keep(healing).apps for o in app.objects]
    assert (left.ref, left.deviation) == (member.ref, Deviation.EXTRA)
    assert result.drifted


def test_helm_is_not_let_delete(healing: World, tmp_path: Path) -> None:
    """Somebody upgraded the release by hand to a chart with one object more: an upgrade back would delete that."""
    world = healing
    clone = ["git", "clone", "--quiet", "--branch", "releases/test", str(world.origin.path), str(tmp_path / "clone")]
    subprocess.run(clone, check=True)
    chart = tmp_path / "clone" / "kubernetes/apps/charts/metabase"
    (chart / "templates" / "more.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\n")
    helm = [
        tool_path("helm"),
        "--kubeconfig",
        str(world.kubeconfig),
        "-n",
        "metabase",
        "upgrade",
        "metabase",
        str(chart),
    ]
    done = subprocess.run([*helm, "--reuse-values"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    scale(world)
    world.kubectl("-n", "metabase", "scale", "deployment", "metabase", "--replicas=2")
    result = keep(world)
    assert "Helm would delete ConfigMap metabase/more" in reasons(result)
    assert {app.app for app in result.apps if app.healed} == {"web"}
    assert world.object("configmap", "more", "metabase") is not None
    assert world.object("deployment", "metabase", "metabase")["spec"]["replicas"] == 2
    assert world.object("deployment", "web", "web")["spec"]["replicas"] == 1


def test_a_job_that_did_its_work_does_not_run_again(healing: World) -> None:
    """It is gone by its time to live; the app's other drift is put back without it, and it stays the app's own."""
    text = healing.origin.show("main", KUSTOMIZATION)
    healing.deliver({
        KUSTOMIZATION: text.replace("resources:", "resources:\n  - job.yaml"),
        KUSTOMIZATION.replace("kustomization", "job"): JOB,
    })  # fmt: skip
    healing.kubectl("-n", "web", "delete", "job", "migrate", "--ignore-not-found")
    scale(healing)
    assert not keep(healing).drifted
    assert healing.object("job", "migrate", "web") is None
    assert healing.object("deployment", "web", "web")["spec"]["replicas"] == 1
    members = healing.deployer.cluster("test").inventories("test").all()["web"].members
    assert "Job web/migrate" in {str(member.ref) for member in members}


@pytest.mark.long
def test_helm_is_not_let_run_a_finished_job_again(healing: World) -> None:
    """Helm makes every object of a chart that is missing, so the app is left to a release."""
    healing.deliver({"kubernetes/apps/charts/metabase/templates/job.yaml": JOB.replace("namespace: web", "")})
    healing.kubectl("-n", "metabase", "delete", "job", "migrate", "--ignore-not-found")
    assert not keep(healing).drifted
    healing.kubectl("-n", "metabase", "scale", "deployment", "metabase", "--replicas=2")
    result = keep(healing)
    assert "Helm would run Job metabase/migrate again" in reasons(result)
    assert result.drifted
    assert healing.object("job", "migrate", "metabase") is None


def test_hooks_do_not_run_again(small_world: World) -> None:
    """They did their work in the release that is put back."""
    small = Small(small_world)
    small.channel(drift="heal")
    hook = config_map("before", {"helm.sh/hook": "pre-install,pre-upgrade"}, a="1")
    small.put_chart("shop", config_map("chart", c="3"), hook)
    small.deliver()
    small_world.kubectl("-n", NAMESPACE, "delete", "configmap", "before", "chart")
    assert not keep(small_world).drifted
    assert small.live("configmap", "chart")["data"] == {"c": "3"}
    assert small.live("configmap", "before") is None


def test_nothing_is_deleted_to_be_made_anew(healing: World) -> None:
    """Somebody made the Deployment anew with another selector: only a release that was approved may delete it."""
    channel = healing.origin.show("main", CHANNEL)
    overlay = "    kustomize_dir: kubernetes/apps/overlays/web-test\n"
    healing.deliver({CHANNEL: channel.replace(overlay, f"{overlay}    recreate: true\n")})
    live = healing.object("deployment", "web", "web")
    healing.kubectl("-n", "web", "delete", "deployment", "web")
    live["spec"]["selector"]["matchLabels"]["mine"] = live["spec"]["template"]["metadata"]["labels"]["mine"] = "yes"
    live["metadata"] = {key: live["metadata"][key] for key in ("name", "namespace", "labels")}
    healing.kubectl("create", "-f", "-", stdin=json.dumps(live))
    made = healing.object("deployment", "web", "web")["metadata"]["uid"]
    result = keep(healing)
    assert "Deployment web/web would have to be deleted and made anew" in reasons(result)
    assert healing.object("deployment", "web", "web")["metadata"]["uid"] == made


@pytest.mark.long
def test_an_app_that_does_not_become_ready_is_not_healed(healing: World) -> None:
    """Putting back its objects was not enough, for a reason that check and record tell; it is tried with new drift."""
    quick = healing.origin.show("main", CHANNEL).replace("web-test\n    timeout: 60s", "web-test\n    timeout: 1s")
    healing.deliver({CHANNEL: quick})
    condition = {"type": "Ready", "status": "False", "message": "out of order"}
    status = json.dumps({"status": {"conditions": [condition]}})
    healing.kubectl("patch", "namespace", "web", "--subresource=status", "--type=merge", "--patch", status)
    scale(healing)
    result = keep(healing)
    assert "Namespace web: out of order" in reasons(result)
    assert result.drifted
    assert healing.object("deployment", "web", "web")["spec"]["replicas"] == 1
    record = history(healing.deployer, "test")[0]
    assert (record.trigger, record.state) == ("heal", ReleaseState.FAILED)
    assert "put back Deployment web/web (spec.replicas); web: Namespace web: out of order" in record.reason
    healing.kubectl(
        "patch", "namespace", "web", "--subresource=status", "--type=merge", "-p", status.replace("False", "True")
    )
    scale(healing)
    assert not keep(healing).drifted
    assert history(healing.deployer, "test")[0].state is ReleaseState.RELEASED


def test_only_the_apps_asked_for_are_put_back(healing: World) -> None:
    """The others keep their drift for the next check."""
    scale(healing)
    healing.kubectl("-n", "archiver", "delete", "serviceaccount", "archiver")
    result = keep(healing, apps=["web"])
    assert [app.app for app in result.apps] == ["web"]
    assert not result.drifted
    assert healing.object("serviceaccount", "archiver", "archiver") is None
    assert not keep(healing).drifted
    assert healing.object("serviceaccount", "archiver", "archiver") is not None


HEALING_SCRIPT = """
import sys, json
from deploy_pipeline.deployer import Deployer
from deploy_pipeline.healing import keep_released
from deploy_pipeline.settings import Settings
settings = Settings.model_validate(json.loads(sys.argv[1]))
keep_released(Deployer.from_settings(settings), "test", progress=lambda line: print(line, flush=True))
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("moment", "sandbox_cluster"),
    [
        ("Deployment web/web updated", 0.05),
        ("waiting: Deployment", 3.0),  # seconds of a rollout: what is late is said after one
        ("metabase: Helm release", 0.05),
    ],
    indirect=["sandbox_cluster"],
)
def test_a_healing_that_was_killed_is_completed_by_the_next(healing: World, moment: str) -> None:
    """SIGKILL in the middle; the next check finishes, whether or not there is drift left."""
    before = states(healing)
    image = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "evil:1"}]}}}}
    healing.kubectl("-n", "web", "patch", "deployment", "web", "-p", json.dumps(image))
    healing.kubectl("-n", "web", "rollout", "status", "deployment", "web")  # or the old pods would be there still
    healing.kubectl("-n", "archiver", "delete", "serviceaccount", "archiver")
    healing.kubectl("-n", "metabase", "scale", "deployment", "metabase", "--replicas=2")
    settings = healing.deployer.settings.model_dump(mode="json")
    command = [sys.executable, "-c", HEALING_SCRIPT, json.dumps(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if moment in line:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL, f"the healing never said {moment!r}"
    assert history(healing.deployer, "test")[0].state is ReleaseState.RELEASING
    result = keep(healing)  # waits until the lock of the killed one expires
    assert not result.drifted
    assert states(healing) == before
    record = history(healing.deployer, "test")[0]
    assert (record.trigger, record.state) == ("heal", ReleaseState.RELEASED)
    assert record.reason.startswith("put back ")
    assert not keep(healing).drifted


def test_a_namespace_that_was_deleted_comes_back_with_all_in_it(healing: World) -> None:
    """What others stand on goes first, as in a release; what was in it is named as missing."""
    before = states(healing, without="kube-root-ca.crt")
    healing.kubectl("delete", "namespace", "web")
    result = keep(healing)
    (web,) = (app for app in result.apps if app.objects)
    assert {item.deviation for item in web.objects} == {Deviation.MISSING}
    assert "Namespace web" in {str(item.ref) for item in web.objects}
    assert not result.drifted
    after = states(healing, without="kube-root-ca.crt")
    for cluster_ip in ("clusterIP", "clusterIPs"):  # chosen anew by the server
        after["Service/web/web"]["spec"].pop(cluster_ip)
        before["Service/web/web"]["spec"].pop(cluster_ip)
    assert after == before
