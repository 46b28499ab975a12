"""What is shown of a Helm release is what Helm does, also to objects that were there before us in some other way."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy_pipeline.changes import Operation
from deploy_pipeline.drivers import helm as driver
from deploy_pipeline.drivers import helm_tool
from deploy_pipeline.drivers.applying import delete_and_wait
from deploy_pipeline.errors import DeployError, ManifestRejected, OwnedByAnother
from tests.actions.charts import NAMESPACE, Charts, make_charts
from tests.actions.conftest import World
from tests.actions.small import config_map, deployment, manifest


@pytest.fixture
def charts(small_world: World, tmp_path: Path) -> Charts:
    """A chart without objects yet."""
    return make_charts(small_world, tmp_path)


def _widget(**spec: Any) -> dict[str, Any]:
    return manifest("Widget", version="example.org/v1", spec=spec)


def _service(**ports: int) -> dict[str, Any]:
    spec = {"selector": {"app": "web"}, "ports": [{"name": name, "port": port} for name, port in ports.items()]}
    return manifest("Service", spec=spec)


def _two_containers() -> dict[str, Any]:
    found = deployment(replicas=2)
    pod = found["spec"]["template"]["spec"]
    pod["containers"][0] |= {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "args": ["one", "two"]}
    pod["containers"].append({"name": "sidecar", "image": "sidecar:1"})
    pod["nodeSelector"] = {"disk": "ssd"}
    return found


def test_fields_that_an_older_helm_set_and_that_left_the_chart_go(charts: Charts) -> None:
    """Helm first makes its updates its own, so that the apply that follows removes them; and only those."""
    charts.install(
        config_map(a="1", old="2"),
        _two_containers(),
        _service(http=80, admin=81),
        _widget(size=1, old=2),
        config_map("left"),
    )
    patch = '{"data": {"theirs": "3"}}'
    charts.world.kubectl("patch", "-n", NAMESPACE, "configmap/web", "--field-manager=operator", "-p", patch)
    charts.world.kubectl("scale", "-n", NAMESPACE, "deployment/web", "--replicas=3")
    charts.put(config_map(a="1", b="2"), deployment(replicas=2), _service(http=80), _widget(size=2))
    shown = {change.ref.kind: change for change in charts.release().changed if change.ref.name == "web"}
    assert {field.path for field in shown["ConfigMap"].fields} == {"data.old", "data.b"}
    assert {"spec.replicas", "spec.template.spec.containers[sidecar].image"} <= {
        f.path for f in shown["Deployment"].fields
    }
    assert charts.live("configmap")["data"] == {"a": "1", "b": "2", "theirs": "3"}
    assert [port["name"] for port in charts.live("service")["spec"]["ports"]] == ["http"]
    assert charts.live("widget.example.org")["spec"] == {"size": 2}
    assert charts.live("configmap", "left") is None


def test_an_older_release_that_changes_nothing_stays_as_it_is(charts: Charts) -> None:
    """Helm does not run only to own its fields in another way."""
    charts.install(config_map(a="1"))
    charts.put(config_map(a="1"))
    assert "metadata.managedFields" not in str(charts.diff())
    charts.release()


def test_a_field_that_helm_set_and_others_too_stays(charts: Charts) -> None:
    """The migration gives Helm what it wrote; what somebody else wrote as well is not removed."""
    charts.install(config_map(shared="1"))
    patch = '{"data": {"shared": "2"}}'
    charts.world.kubectl("patch", "-n", NAMESPACE, "configmap/web", "--field-manager=operator", "-p", patch)
    charts.put(config_map(new="4"))
    charts.release()
    assert charts.live("configmap")["data"] == {"shared": "2", "new": "4"}


def test_an_immutable_field_is_refused_by_name_and_recreated_if_told(charts: Charts) -> None:
    """The release deletes the object, and Helm makes what is missing."""
    charts.put(deployment(app="web"), config_map(a="1"))
    charts.release()
    before = charts.dump()
    charts.put(deployment(app="shop"), config_map(a="2"))
    with pytest.raises(ManifestRejected, match="Deployment shop/web cannot be changed in place") as refused:
        charts.world.promote()
    assert "spec.selector" in str(refused.value)
    assert charts.dump() == before
    charts.put(deployment(app="shop"), config_map(a="2"), recreate=True)
    shown = {change.ref.kind: change.operation for change in charts.release().changed}
    assert shown == {"Deployment": Operation.RECREATE, "ConfigMap": Operation.UPDATE}


@pytest.mark.long
def test_a_release_that_was_killed_after_the_deletion_is_finished(
    charts: Charts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object is missing then, and to create it is the rest of what was approved."""
    charts.put(deployment(app="web"), recreate=True)
    charts.release()
    charts.put(deployment(app="shop"))
    charts.world.promote()

    def killed(*_: Any, **__: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(helm_tool.Helm, "upgrade", killed)
        with pytest.raises(KeyboardInterrupt):
            charts.world.release()
    assert charts.live("deployment") is None
    charts.world.release()
    assert charts.live("deployment")["spec"]["selector"] == {"matchLabels": {"app": "shop"}}
    assert charts.diff().is_empty


@pytest.mark.long
def test_what_changes_while_an_object_is_deleted_stops_the_release(
    charts: Charts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Helm would overwrite what somebody else wrote meanwhile, and nobody approved that."""
    charts.put(deployment(app="web"), config_map(a="1"), recreate=True)
    charts.release()
    charts.put(deployment(app="shop"), config_map(a="1"))
    charts.world.promote()

    def meanwhile(*arguments: Any) -> bool:
        done = delete_and_wait(*arguments)
        charts.world.kubectl("patch", "-n", NAMESPACE, "configmap/web", "-p", '{"data": {"a": "9"}}')
        return done

    monkeypatch.setattr(driver, "delete_and_wait", meanwhile)
    with pytest.raises(DeployError, match="changed by somebody else"):
        charts.world.release()
    assert charts.live("configmap")["data"] == {"a": "9"}


_MARKS = {
    "nobody": {"metadata": {}},
    "another app": {"metadata": {"labels": {"deploy-pipeline.io/channel": "test", "deploy-pipeline.io/app": "web"}}},
    "another channel": {
        "metadata": {"labels": {"deploy-pipeline.io/channel": "prod", "deploy-pipeline.io/app": "shop"}}
    },
    "Argo CD": {"metadata": {"labels": {"argocd.argoproj.io/instance": "shop"}}},
}
_long = partial(pytest.param, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("marks", "words"),
    [
        (_MARKS["nobody"], "ConfigMap shop/web does not say whose it is"),
        _long(_MARKS["another app"], "ConfigMap shop/web belongs to app web of channel test"),
        _long(_MARKS["another channel"], "ConfigMap shop/web belongs to app shop of channel prod"),
        _long(_MARKS["Argo CD"], "ConfigMap shop/web belongs to the Argo CD application shop"),
        (None, "ConfigMap shop/web belongs to the Helm release shop/other"),
    ],
    ids=[*_MARKS, "another release"],
)
def test_an_object_that_is_there_is_taken_over_only_if_told(
    charts: Charts, marks: dict[str, Any] | None, words: str
) -> None:
    """Refused by name, with nothing changed; with ``adopt`` the change set shows whose it was."""
    theirs = config_map(theirs="1", same="2")
    if marks is None:
        charts.install(theirs, release="other")
    else:
        theirs["metadata"] |= marks["metadata"]
        charts.world.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=yaml.safe_dump(theirs))
    before = charts.dump()
    charts.put(config_map(same="2", ours="3"), config_map("new"))
    with pytest.raises(OwnedByAnother, match="1 object") as refused:
        charts.world.promote()
    assert words in str(refused.value)
    assert charts.dump() == before
    charts.put(config_map(same="2", ours="3"), config_map("new"), adopt=True)
    shown = charts.release()
    assert any(words in warning for warning in shown.warnings)
    (change,) = [change for change in shown.changed if change.ref.name == "web"]
    assert 'metadata.annotations["meta.helm.sh/release-name"]' in {field.path for field in change.fields}


def test_an_object_that_somebody_marked_as_theirs_is_not_taken_back(charts: Charts) -> None:
    """Also when it is in the stored release, and Helm would not ask."""
    charts.put(config_map(a="1"))
    charts.release()
    charts.world.kubectl("label", "-n", NAMESPACE, "configmap/web", "argocd.argoproj.io/instance=shop")
    charts.put(config_map(a="2"))
    with pytest.raises(OwnedByAnother, match="there already") as refused:
        charts.world.promote()
    assert "belongs to the Argo CD application shop" in str(refused.value)


def test_helm_refuses_what_appears_after_the_plan(charts: Charts, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told to take objects over only where that was shown."""
    charts.put(config_map(a="1"), adopt=True)
    charts.world.promote()
    upgrade = helm_tool.Helm.upgrade

    def after_another(helm: helm_tool.Helm, *arguments: Any, **more: Any) -> int:
        charts.world.kubectl("create", "configmap", "web", "-n", NAMESPACE, "--from-literal=theirs=1")
        return upgrade(helm, *arguments, **more)

    monkeypatch.setattr(helm_tool.Helm, "upgrade", after_another)
    with pytest.raises(DeployError, match="invalid ownership metadata"):
        charts.world.release()
    assert charts.live("configmap")["data"] == {"theirs": "1"}
