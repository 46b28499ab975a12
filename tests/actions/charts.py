"""A repository of one chart whose templates each test writes, and a release held to what its change set said."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from deploy_pipeline.changes import AppChanges, ChangeSet, ObjectChange, Operation, field_changes
from deploy_pipeline.promotion import diff_promotion
from deploy_pipeline.settings import tool_path
from tests.actions.conftest import World

NAMESPACE = "shop"
_KINDS = "configmaps,services,serviceaccounts,deployments,jobs,rolebindings,persistentvolumeclaims,widgets.example.org"
_WIDGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""


@dataclass
class Charts:
    """One app ``shop``, which is the Helm release of the same name; ``helm`` is the tool that people had before us."""

    world: World
    directory: Path
    keys: dict[str, Any] = field(default_factory=dict)

    def put(self, *manifests: dict[str, Any], **keys: Any) -> None:
        """Let the chart have these objects, and the app these keys; rendered."""
        self.keys.update(keys)
        templates = {f"chart/templates/{number}.yaml": yaml.safe_dump(m) for number, m in enumerate(manifests)}
        gone = {f"chart/templates/{number}.yaml": None for number in range(len(manifests), 9)}
        self.world.origin.commit("main", {**self._files(), **templates, **gone})
        self.world.render()

    def install(self, *manifests: dict[str, Any], helm: str = "", release: str = "shop") -> None:
        """Install or upgrade a chart of these objects as people do without us: applied on their side."""
        chart = self.directory / "by-hand"
        (chart / "templates").mkdir(parents=True, exist_ok=True)
        (chart / "Chart.yaml").write_text(self._files()["chart/Chart.yaml"])
        (chart / "templates" / "all.yaml").write_text(yaml.safe_dump_all(manifests))
        side = [] if helm else ["--server-side=false"]
        command = [helm or tool_path("helm"), "upgrade", "--install", release, str(chart), "--namespace", NAMESPACE]
        options = ["--kubeconfig", str(self.world.kubeconfig), *side]
        done = subprocess.run([*command, *options], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def diff(self) -> ChangeSet:
        """What a release would do."""
        return diff_promotion(self.world.deployer, "test", "main", progress=self.world.progress.append)

    def release(self) -> AppChanges:
        """Promote and release; what was done must be what was shown, and nothing must be left to do."""
        before = self.dump()
        (shown,) = self.world.promote().change_set.apps
        assert self.dump() == before, "showing it changed the cluster"
        self.world.release()
        self._check(shown, before, self.dump())
        assert self.diff().is_empty
        return shown

    def live(self, kind: str, name: str = "web") -> Any:
        """The object in the cluster, or None."""
        return self.world.object(kind, name, NAMESPACE)

    def dump(self) -> dict[str, Any]:
        """Every object that a chart of these tests has, by kind, namespace and name."""
        items = yaml.load(
            self.world.kubectl("get", _KINDS, "--namespace", NAMESPACE, "--output", "json"), Loader=yaml.CSafeLoader
        )["items"]
        for item in items:  # what a controller writes for each set of pods that it makes
            item["metadata"].get("annotations", {}).pop("deployment.kubernetes.io/revision", None)
        return {f"{item['kind']} {NAMESPACE}/{item['metadata']['name']}": item for item in items}

    def _check(self, shown: AppChanges, before: dict[str, Any], after: dict[str, Any]) -> None:
        said = {_name(change): change for change in shown.changed}
        done = {name for name in before.keys() | after.keys() if self._differ(before.get(name), after.get(name))}
        assert done == said.keys()
        for name, change in said.items():
            fields = self._differ(before.get(name), after.get(name))
            remade = name in before and name in after and _uid(before[name]) != _uid(after[name])
            assert remade == (change.operation is Operation.RECREATE)
            if change.operation is Operation.UPDATE:
                assert change.fields == fields
            elif change.operation is not Operation.PRUNE:
                assert {field for field in change.fields if "deployment.kubernetes.io" not in field.path} <= set(fields)

    def _differ(self, before: Any, after: Any) -> Any:
        redactor = self.world.deployer.cluster("test").new_redactor()
        return field_changes(before, after, redactor) if before or after else ()

    def _files(self) -> dict[str, Any]:
        app = {"name": "shop", "driver": "helm", "namespace": NAMESPACE, "helm_name": "shop", "helm_chart": "chart"}
        channel = {"channel": "test", "releases": [{**app, "timeout": "20s", **self.keys}]}
        return {
            "chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.1.0\n",
            "channels/test.yaml": yaml.safe_dump(channel),
            "deploy.yaml": "include: [channels/**, chart/**, deploy.yaml]\n",
        }


def make_charts(world: World, directory: Path) -> Charts:
    """Nothing in it yet; the cluster knows the kind Widget, for which Helm has no types."""
    world.kubectl("create", "namespace", NAMESPACE)
    world.kubectl("apply", "--server-side", "-f", "-", stdin=_WIDGETS)
    world.kubectl("wait", "--for=condition=Established", "customresourcedefinition/widgets.example.org")
    return Charts(world, directory)


def _name(change: ObjectChange) -> str:
    return f"{change.ref.kind} {change.ref.namespace}/{change.ref.name}"


def _uid(item: Any) -> Any:
    return item["metadata"]["uid"]
