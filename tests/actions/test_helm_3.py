"""Releases by Helm 3, which computes patches instead of applying on the server: what is shown is what it does."""

from __future__ import annotations

import json
import platform
import stat
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from deploy_pipeline.changes import Operation
from deploy_pipeline.drivers import helm_tool
from deploy_pipeline.errors import DeployError, ManifestRejected, OwnedByAnother, SettingsError
from deploy_pipeline.sandbox.typed import patch as sandbox_patch
from deploy_pipeline.settings import PROJECT_TOOLS
from tests.actions.charts import NAMESPACE, Charts, make_charts
from tests.actions.conftest import World
from tests.actions.small import config_map, deployment, manifest

HELM_3 = PROJECT_TOOLS / "helm3"

pytestmark = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="no package carries Helm 3 elsewhere"
)


@pytest.fixture
def charts(small_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Charts:
    """A chart without objects yet, and Helm 3 as the tool of the deployer."""
    found = make_charts(small_world, tmp_path)
    monkeypatch.setenv("HELM", str(HELM_3))
    return found


def _workload() -> dict[str, Any]:
    found = deployment(replicas=2)
    spec = found["spec"]
    spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}
    pod = spec["template"]["spec"]
    pod["containers"][0] |= {
        "args": ["one", "two"],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}],
        "ports": [{"containerPort": 80}, {"containerPort": 81, "name": "admin"}],
    }
    pod["containers"].append({"name": "sidecar", "image": "sidecar:1"})
    pod["nodeSelector"] = {"disk": "ssd", "zone": "a"}
    pod["tolerations"] = [{"key": "a", "operator": "Exists"}]
    pod["volumes"] = [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    found["metadata"]["labels"] = {"team": "blue", "tier": "web"}
    return found


def _changed_workload() -> dict[str, Any]:
    found = deepcopy(_workload())
    found["metadata"]["labels"] = {"team": "red"}
    found["spec"]["strategy"] = {"type": "Recreate"}
    pod = found["spec"]["template"]["spec"]
    first = pod["containers"][0]
    first["args"] = ["two"]
    first["env"] = [
        {"name": "C", "value": "3"},
        {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ]
    first["ports"] = [{"containerPort": 82}, {"containerPort": 80}]
    pod["containers"] = [{"name": "before", "image": "before:1"}, first]
    pod["nodeSelector"] = {"zone": "b"}
    del pod["tolerations"]
    pod["volumes"] = [{"name": "data", "configMap": {"name": "web"}}]
    return found


def _others(*, changed: bool) -> list[dict[str, Any]]:
    """Objects of other shapes: sets of values, lists that are replaced whole, kinds without types."""
    end = "2" if changed else "1"
    ports = [{"name": "http", "port": 80}, {"name": end, "port": 81}]
    account = manifest("ServiceAccount", imagePullSecrets=[{"name": "a"}, {"name": end}])
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "web"}
    people = [{"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"} for name in ("ann", end)]
    finalizers = config_map("kept", a=end)
    finalizers["metadata"]["finalizers"] = ["example.org/a", f"example.org/b{end}"]
    return [
        manifest("Service", spec={"selector": {"app": "web"}, "ports": ports if not changed else ports[::-1]}),
        account,
        manifest("RoleBinding", version="rbac.authorization.k8s.io/v1", roleRef=role, subjects=people),
        manifest("Widget", version="example.org/v1", spec={"size": end, "same": 1, ("new" if changed else "old"): [1]}),
        finalizers,
        config_map("new" if changed else "old", a="1"),
    ]


def test_what_helm_3_patches_was_shown(charts: Charts) -> None:
    """Creations, changes, removals, and what others did meanwhile."""
    charts.put(_workload(), config_map(a="1", b="2"), *_others(changed=False))
    charts.release()
    assert "Apply" not in _managers(charts, "deployment/web", "helm")
    pod = {"spec": {"nodeSelector": {"x": "y"}}}
    for kind, patch in {
        "deployment": json.dumps({"spec": {"replicas": 5, "minReadySeconds": 3, "template": pod}}),
        "configmap": '{"data": {"a": "9", "b": null, "theirs": "1"}}',
        "service": '{"spec": {"ports": [{"name": "theirs", "port": 90}]}}',
    }.items():
        charts.world.kubectl("patch", kind, "web", "-n", NAMESPACE, "--field-manager=operator", "-p", patch)
    charts.world.kubectl(
        "patch", "widget.example.org", "web", "-n", NAMESPACE, "--type=merge", "-p", '{"spec": {"same": 2}}'
    )
    charts.put(_changed_workload(), config_map(a="1", b="2"), *_others(changed=True))
    shown = {(change.ref.kind, change.ref.name): change.operation for change in charts.release().changed}
    assert shown[("ConfigMap", "old")] is Operation.PRUNE
    assert shown[("ConfigMap", "new")] is Operation.CREATE
    live = charts.live("deployment")["spec"]
    assert live["strategy"] == {"type": "Recreate"}
    assert live["minReadySeconds"] == 3
    assert live["template"]["spec"]["nodeSelector"] == {"zone": "b", "x": "y"}
    assert [c["name"] for c in live["template"]["spec"]["containers"]] == ["before", "app"]
    assert charts.live("widget.example.org")["spec"]["same"] == 2, (
        "Helm 3 does not compare kinds without types with the cluster"
    )


@pytest.mark.long
def test_the_patches_are_those_of_helm_3(charts: Charts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word, so that nothing depends on how this cluster merges them."""
    charts.put(_workload(), config_map(a="1"), *_others(changed=False))
    charts.release()
    charts.put(_changed_workload(), config_map(a="2"), *_others(changed=True))
    sent: dict[str, set[str]] = {"tried": set(), "done": set()}
    phase, patched, upgrade = ["tried"], sandbox_patch.patched, helm_tool.Helm.upgrade

    def recorded(live: Any, body: bytes, media_type: str, node: Any) -> Any:
        if live.get("metadata", {}).get("namespace") == NAMESPACE:
            sent[phase[0]].add(f"{media_type} {json.dumps(json.loads(body), sort_keys=True)}")
        return patched(live, body, media_type, node)

    def upgrading(*arguments: Any, **more: Any) -> int:
        phase[0] = "done"
        return upgrade(*arguments, **more)

    monkeypatch.setattr(sandbox_patch, "patched", recorded)
    monkeypatch.setattr(helm_tool.Helm, "upgrade", upgrading)
    charts.world.promote()
    charts.world.release()
    assert len(sent["done"]) == 7
    assert sent["tried"] == sent["done"]


@pytest.mark.long
@pytest.mark.parametrize("first", [3, 4])
def test_a_release_can_go_from_one_helm_to_the_other(
    charts: Charts, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """Whichever had it before, what is shown is what the next one does."""
    tools = [str(HELM_3), str(PROJECT_TOOLS / "helm")]
    if first == 4:
        tools.reverse()
    before, after = _workload(), _changed_workload()
    for content in (before, after):
        del content["spec"]["strategy"]
    charts.put(before, config_map(a="1", old="1"))
    for number, tool in enumerate((*tools, *tools)):
        monkeypatch.setenv("HELM", tool)
        charts.release()
        charts.put(before if number % 2 else after, manifest("ConfigMap", data={"a": "1", f"new{number}": "1"}))
    assert charts.live("configmap")["data"] == {"a": "1", "new2": "1"}


@pytest.mark.long
def test_an_immutable_field_is_recreated_if_told(charts: Charts) -> None:
    """As with Helm 4."""
    charts.put(deployment(app="web"))
    charts.release()
    charts.put(deployment(app="shop"))
    with pytest.raises(ManifestRejected, match="Deployment shop/web cannot be changed in place"):
        charts.world.promote()
    charts.put(deployment(app="shop"), recreate=True)
    assert [change.operation for change in charts.release().changed] == [Operation.RECREATE]


def test_an_object_that_is_there_is_taken_over_only_if_told(charts: Charts) -> None:
    """Helm 3 then takes nothing away from it: it has no older manifest to compare with."""
    charts.world.kubectl("create", "configmap", "web", "-n", NAMESPACE, "--from-literal=theirs=1")
    charts.put(config_map(ours="1"))
    with pytest.raises(OwnedByAnother, match="1 object"):
        charts.world.promote()
    charts.put(config_map(ours="1"), adopt=True)
    charts.release()
    assert charts.live("configmap")["data"] == {"theirs": "1", "ours": "1"}


@pytest.mark.long
def test_lists_that_helm_3_mixes_up_are_refused(charts: Charts) -> None:
    """A port of both protocols has the same merge key twice."""
    ports = [{"name": p.lower(), "port": 53, "protocol": p} for p in ("TCP", "UDP")]
    charts.put(manifest("Service", spec={"selector": {"app": "web"}, "ports": ports}))
    charts.release()
    before = charts.dump()
    ports.append({"name": "http", "port": 80, "protocol": "TCP"})
    charts.put(manifest("Service", spec={"selector": {"app": "web"}, "ports": ports}))
    with pytest.raises(DeployError, match="more than one element with the port 53"):
        charts.world.promote()
    assert charts.dump() == before


def test_an_older_helm_is_refused(charts: Charts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not be told to leave the question of ownership to us."""
    old = tmp_path / "helm-3.12"
    old.write_text(
        "#!/bin/sh\n"
        '[ "$1" = version ] && { printf v3.12.0; exit 0; }\n'
        "echo 'Error: unknown flag: --server-side' >&2\n"
        "exit 1\n"
    )
    old.chmod(old.stat().st_mode | stat.S_IXUSR)
    charts.put(config_map(a="1"))
    monkeypatch.setenv("HELM", str(old))
    with pytest.raises(SettingsError, match=r"is Helm 3\.12: 3\.17 is the oldest"):
        charts.world.promote()


def _managers(charts: Charts, name: str, manager: str) -> set[str]:
    shown = charts.world.kubectl("get", name, "-n", NAMESPACE, "-o", "json", "--show-managed-fields")
    return {e["operation"] for e in json.loads(shown)["metadata"]["managedFields"] if e["manager"] == manager}
