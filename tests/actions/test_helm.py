"""What the helm driver does with real charts: what it shows, what it refuses, what it deletes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from deploy_pipeline.changes import ChangeSet
from deploy_pipeline.cluster.apply import Objects
from deploy_pipeline.cluster.lock import ChannelLock
from deploy_pipeline.cluster.objects import Manifest, ObjectRef
from deploy_pipeline.drivers import helm_tool
from deploy_pipeline.errors import (
    DeployError,
    FailedError,
    ManifestRejected,
    OwnedByAnother,
    RaceLost,
    RefusedError,
    ReleaseFailed,
)
from deploy_pipeline.promotion import diff_promotion
from deploy_pipeline.release import ReleaseResult
from deploy_pipeline.tools import ToolResult
from tests.actions.conftest import World

CHANNEL = "channels/test.yaml"
TEMPLATES = "kubernetes/apps/charts/metabase/templates"
SECRET = ("create", "secret", "generic", "other", "--namespace", "default", "--from-literal=key=hunter2secret")
LOOKUP = '(lookup "v1" "Secret" "default" "other")'
FOUND = f'dig "data" "key" "none" {LOOKUP}'
HOOK = """
apiVersion: v1
kind: ConfigMap
metadata: {name: before, annotations: {helm.sh/hook: "pre-install,pre-upgrade"}}
"""
FAILING_HOOK = """
apiVersion: batch/v1
kind: Job
metadata: {name: after, annotations: {helm.sh/hook: post-upgrade}}
spec:
  backoffLimit: 0
  template: {spec: {restartPolicy: Never, containers: [{name: a, image: "registry.example/a-broken:1"}]}}
"""
VOLUME = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, annotations: {note: a}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: reports.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Report, plural: reports, singular: report, listKind: ReportList}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
REPORT = "apiVersion: example.org/v1\nkind: Report\nmetadata: {name: sales}\nspec: {every: day}\n"
ALONE = "{name: web, driver: kustomize, kustomize_dir: kubernetes/apps/overlays/web-test}"
WITHOUT_METABASE = f"channel: test\nreleases: [{ALONE}]\n"


def with_template(world: World, text: str) -> None:
    """Put a further template into the example's chart, on main, as a candidate."""
    world.origin.commit("main", {f"{TEMPLATES}/extra.yaml": text})
    world.render()


def changed(result: ReleaseResult) -> ChangeSet:
    """What a release did."""
    assert result.change_set is not None
    return result.change_set


def config_map(value: str, name: str = "extra") -> str:
    """A template of a ConfigMap."""
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{key: {value}}}\n"


@pytest.mark.parametrize(
    ("template", "named"),
    [
        (config_map(f"{{{{ {FOUND} | quote }}}}"), "ConfigMap extra"),
        (config_map("a", f"{{{{ {FOUND} | lower }}}}"), "ConfigMap none"),
        (f"{{{{ with {LOOKUP} }}}}{{{{ fail (.data.key | b64dec) }}}}{{{{ end }}}}", "Helm refuses it"),
        (f"{{{{ with {LOOKUP} }}}}\n{config_map('a', '{{ .data.key }}')}\n{{{{ end }}}}", "only the live cluster"),
        (config_map("{{ randAlphaNum 8 | quote }}"), "ConfigMap extra"),
    ],
    ids=["value", "name", "fail", "object", "random"],
)
@pytest.mark.parametrize("installed", [False, pytest.param(True, marks=pytest.mark.long)])
def test_what_a_chart_reads_in_the_cluster_is_not_shown(
    world: World, template: str, named: str, *, installed: bool
) -> None:
    """The app is refused: the error names the object as it is without the cluster, and no value of it."""
    if installed:
        world.deliver()
    world.kubectl(*SECRET)
    with_template(world, template)
    with pytest.raises(DeployError, match="reads the live cluster") as refused:
        world.promote()
    assert named in str(refused.value)
    for secret in ("hunter2secret", "aHVudGVyMnNlY3JldA"):
        assert secret.lower() not in str(refused.value).lower()


@pytest.mark.long
def test_charts_that_ask_for_capabilities_and_the_release_pass(world: World) -> None:
    """At the first installation and at the next one."""
    served = '{{ .Capabilities.APIVersions.Has "apps/v1/Deployment" }} {{ .Capabilities.KubeVersion.Version }}'
    with_template(world, config_map(f'"{served} {{{{ .Release.IsUpgrade }}}} {{{{ .Release.Revision }}}}"'))
    world.promote()
    world.release()
    first = world.object("configmap", "extra", "metabase")["data"]["key"]
    assert first.startswith("true v")
    assert first.endswith("false 1")
    world.deliver({f"{TEMPLATES}/more.yaml": config_map("b", "more")})
    assert world.object("configmap", "extra", "metabase")["data"]["key"].endswith("true 2")


def test_hooks_are_named(world: World) -> None:
    """Whether the release is installed or not, and with a mark of their content that stays the same with it."""
    with_template(world, HOOK)
    marks = set()
    for content in "ab":
        shown = {app.app: app.hooks for app in world.promote().change_set.apps}
        (hook,) = shown["metabase"]
        assert hook.startswith("ConfigMap before (pre-install, pre-upgrade), content ")
        marks.add(hook)
        world.release()
        world.origin.commit("main", {f"{TEMPLATES}/more.yaml": config_map(content, "more")})
        world.render()
    assert len(marks) == 1


@pytest.mark.long
def test_why_helm_refuses_an_innocent_chart_is_shown(world: World) -> None:
    """Helm cannot compare with a stored object whose kind nobody serves any more."""
    definition = "kubernetes/apps/charts/metabase/crds/report.yaml"
    world.deliver({definition: DEFINITION, f"{TEMPLATES}/extra.yaml": REPORT})
    world.kubectl("delete", "customresourcedefinition", "reports.example.org")
    world.origin.commit("main", {definition: None, f"{TEMPLATES}/extra.yaml": None})
    world.render()
    with pytest.raises(ManifestRejected, match="from current release manifest"):
        world.promote()


@pytest.mark.long
def test_what_a_failed_revision_made_is_pruned(released: World) -> None:
    """Helm compares with the last deployed revision, which knows nothing of it."""
    channel = released.origin.show("main", CHANNEL).replace("1m30s", "4s")
    extra, hook = f"{TEMPLATES}/extra.yaml", f"{TEMPLATES}/hook.yaml"
    with pytest.raises(ReleaseFailed):
        released.deliver({CHANNEL: channel, extra: config_map("a"), hook: FAILING_HOOK})
    assert released.object("configmap", "extra", "metabase")
    result = released.deliver({extra: None, hook: None})
    assert changed(result).counts["prune"] == 1
    assert released.object("configmap", "extra", "metabase") is None


@pytest.mark.long
def test_what_left_while_a_revision_failed_is_shown_before_helm_deletes_it(world: World) -> None:
    """The failed revision has it no more, but the deployed one does: the next upgrade deletes it."""
    extra, hook = f"{TEMPLATES}/extra.yaml", f"{TEMPLATES}/hook.yaml"
    world.deliver({extra: config_map("a")})
    world.kubectl("annotate", "configmap", "extra", "--namespace", "metabase", "helm.sh/resource-policy=keep")
    channel = world.origin.show("main", CHANNEL).replace("1m30s", "4s")
    with pytest.raises(ReleaseFailed):
        world.deliver({CHANNEL: channel, extra: None, hook: FAILING_HOOK})
    world.kubectl("annotate", "configmap", "extra", "--namespace", "metabase", "helm.sh/resource-policy-")
    result = world.deliver({hook: None})
    assert changed(result).counts["prune"] == 1
    assert world.object("configmap", "extra", "metabase") is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("helm_name: metabase", "helm_name: other"),
        ("namespace: metabase", "namespace: other"),
        ("name: web\n    driver: kustomize", "name: metabase\n    driver: kustomize"),
    ],
    ids=["name", "namespace", "driver"],
)
def test_an_app_cannot_become_another_helm_release(released: World, old: str, new: str) -> None:
    """The old one would run on, and nobody would know."""
    channel = released.origin.show("main", CHANNEL).replace("    secrets: [metabase_database-backup]\n", "")
    if "driver" in new:
        channel = channel[: channel.index("  - name: metabase")]
    released.origin.commit("main", {CHANNEL: channel.replace(old, new)})
    released.render()
    with pytest.raises(OwnedByAnother, match="is the Helm release metabase/metabase in the cluster"):
        released.promote()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({f"{TEMPLATES}/extra.yaml": None}, id="left"),
        pytest.param({CHANNEL: WITHOUT_METABASE}, id="app", marks=pytest.mark.long),
    ],
)
def test_helm_may_not_delete_volumes(world: World, change: dict[str, str | None]) -> None:
    """Neither when they leave the chart nor when the app leaves; with Helm's own annotation they stay."""
    world.deliver({f"{TEMPLATES}/extra.yaml": VOLUME})
    before = world.origin.show("main", CHANNEL)
    world.origin.commit("main", change)
    world.render()
    with pytest.raises(RefusedError, match="PersistentVolumeClaim metabase/data") as refused:
        world.promote()
    assert "helm.sh/resource-policy: keep" in str(refused.value)
    world.deliver(
        {CHANNEL: before, f"{TEMPLATES}/extra.yaml": VOLUME.replace("note: a", "helm.sh/resource-policy: keep")}
    )
    result = world.deliver(change)
    warnings = [warning for app in changed(result).apps for warning in app.warnings]
    assert any("PersistentVolumeClaim metabase/data left the app and stays" in warning for warning in warnings)
    assert world.object("persistentvolumeclaim", "data", "metabase")


def test_an_answer_that_is_no_json_is_not_quoted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hold secret values."""
    world.render()
    answer = ToolResult(b"{password: hunter2secret", "", 0, 0.1)
    monkeypatch.setattr(helm_tool, "run_tool", lambda *_, **__: answer)
    with pytest.raises(FailedError, match="is not JSON") as failed:
        world.promote()
    assert "hunter2secret" not in str(failed.value)


def test_each_object_of_a_removed_app_is_read_once(released: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app may own hundreds."""
    read: list[str] = []
    live = Objects.live

    def counted(self: Objects, manifest: Mapping[str, Any]) -> Manifest | None:
        read.append(str(ObjectRef.of(manifest)))
        return live(self, manifest)

    released.origin.commit("main", {CHANNEL: WITHOUT_METABASE})
    released.render()
    monkeypatch.setattr(Objects, "live", counted)
    diff_promotion(released.deployer, "test", "main", progress=released.progress.append)
    assert read.count("Deployment.apps metabase/metabase") + read.count("Deployment metabase/metabase") == 1


@pytest.mark.long
def test_a_charts_definitions_are_shown_and_stay(world: World) -> None:
    """What lies in crds/ is in the change set, is there before its objects, follows the chart, and is never pruned."""
    definition = "kubernetes/apps/charts/metabase/crds/report.yaml"
    world.origin.commit("main", {definition: DEFINITION})
    with_template(world, REPORT)
    shown = [str(change.ref) for app in world.promote().change_set.apps for change in app.changed]
    assert "CustomResourceDefinition.apiextensions.k8s.io reports.example.org" in shown
    world.release()
    assert world.object("report.example.org", "sales", "metabase")
    assert changed(
        world.deliver({definition: DEFINITION.replace("singular: report,", "singular: report, shortNames: [rp],")})
    ).counts["update"]
    result = world.deliver({CHANNEL: WITHOUT_METABASE})
    assert world.object("customresourcedefinition", "reports.example.org")
    assert "stays" in str(changed(result).apps)


def test_helm_is_stopped_when_the_lock_is_lost(released: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would write on beside the release that took over."""
    check = ChannelLock.check

    def lost(lock: ChannelLock) -> None:
        check(lock)
        if "pending" in released.kubectl("get", "secrets", "--namespace", "metabase", "--show-labels"):
            raise RaceLost("the lock was lost")

    monkeypatch.setattr(ChannelLock, "check", lost)
    started = time.monotonic()
    with pytest.raises(DeployError, match="the lock was lost"):
        released.deliver({f"{TEMPLATES}/extra.yaml": config_map("a"), f"{TEMPLATES}/hook.yaml": FAILING_HOOK})
    assert time.monotonic() - started < 45
