"""The example at the top level builds with the real tools, and every object of it fits the schemas of Kubernetes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy_pipeline.channels import App, Channel, Driver, load_channels, load_deploy_file
from deploy_pipeline.channels.tree import WorkingTree
from deploy_pipeline.settings import tool_path
from tests.support.origin import PROJECT, example_files

CHANNELS = ("prod", "test")
KUBERNETES = "1.37"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's files alone, as a candidate has them."""
    root = tmp_path_factory.mktemp("example")
    for path, content in example_files().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


@pytest.fixture(scope="module")
def channels(checkout: Path) -> dict[str, Channel]:
    """Its channels, as the deployer reads them."""
    tree = WorkingTree(checkout)
    return load_channels(tree, load_deploy_file(tree))


@pytest.fixture(scope="module")
def rendered(checkout: Path, channels: dict[str, Channel]) -> dict[str, list[dict[str, Any]]]:
    """The objects of every channel."""
    chart = checkout / "kubernetes" / "apps" / "charts" / "metabase"
    subprocess.run([tool_path("helm"), "dependency", "build", str(chart)], check=True, capture_output=True)
    return {
        name: [item for app in channel.apps for item in _render(checkout, app)] for name, channel in channels.items()
    }


def _render(root: Path, app: App) -> Iterator[dict[str, Any]]:
    command = _kustomize(root, app) if app.driver is Driver.KUSTOMIZE else _helm(root, app)
    output = subprocess.run(command, check=True, capture_output=True).stdout
    yield from (document for document in yaml.safe_load_all(output) if document)


def _kustomize(root: Path, app: App) -> list[str]:
    return [tool_path("kubectl"), "kustomize", str(root / str(app.kustomize_dir))]


def _helm(root: Path, app: App) -> list[str]:
    secrets = PROJECT / "deploy_pipeline" / "demo" / "secrets"
    values = [root / path for path in app.helm_values] + [secrets / f"{name}.yaml" for name in app.secret_helm_values]
    options = [option for path in values for option in ("--values", str(path))]
    command = [tool_path("helm"), "template", str(app.helm_name), str(root / str(app.helm_chart))]
    return [*command, "--namespace", str(app.namespace), *options]


def _named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name)


def test_both_forms_of_channel_file_are_shown(checkout: Path, channels: dict[str, Channel]) -> None:
    """One channel file has the key `calitp` at its top, the other has none, and both load."""
    tops = {name: list(yaml.safe_load((checkout / "channels" / f"{name}.yaml").read_text())) for name in CHANNELS}
    assert tops == {"prod": ["calitp"], "test": ["channel", "releases"]}
    assert sorted(channels) == list(CHANNELS)
    assert [app.name for app in channels["test"].apps] == [app.name for app in channels["prod"].apps]


def test_deploy_file_spells_out_the_defaults(checkout: Path, tmp_path: Path) -> None:
    """Leaving deploy.yaml out changes nothing."""
    assert load_deploy_file(WorkingTree(checkout)) == load_deploy_file(WorkingTree(tmp_path))


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_object_fits_its_schema(rendered: dict[str, list[dict[str, Any]]], channel: str) -> None:
    """An API server of the version the tools are made for would accept the example, strictly."""
    assert len(rendered[channel]) > 12
    for item in rendered[channel]:
        kubernetes_validate.validate(item, KUBERNETES, strict=True)


def test_channels_differ_as_the_overlays_say(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """Each kind of patch, the image tags and the values of a channel reach its objects."""
    test, prod = (rendered[name] for name in ("test", "prod"))
    archiver = _named(prod, "Deployment", "archiver")["spec"]
    container = archiver["template"]["spec"]["containers"][0]
    assert (archiver["replicas"], container["args"]) == (3, ["run", "--shards=3"])
    assert container["resources"]["limits"]["memory"] == "1Gi"
    assert container["image"] == "registry.example/feeds/archiver:2.4.1"
    assert _named(test, "CronJob", "archiver-compact")["spec"]["suspend"] is True
    assert _named(test, "Deployment", "metabase")["spec"]["replicas"] == 1
    assert _named(prod, "Deployment", "metabase")["spec"]["replicas"] == 2


def test_secrets_of_the_example_have_payloads_for_the_demo(channels: dict[str, Channel]) -> None:
    """Every secret a channel names lies beside the demo, made up, and none in the deployed tree."""
    named = {
        name
        for channel in channels.values()
        for app in channel.apps
        for name in (*app.secrets, *app.secret_helm_values)
    }
    payloads = {path.stem: path.read_text() for path in (PROJECT / "deploy_pipeline" / "demo" / "secrets").iterdir()}
    assert set(payloads) == named
    assert all("not-a-real" in text for text in payloads.values())
    assert not [path for path, content in example_files().items() if b"not-a-real" in content]


def test_chart_dependency_is_not_committed() -> None:
    """The library chart is brought in by rendering, from the lock."""
    assert not [path for path in example_files() if "/metabase/charts/" in path]
    assert "kubernetes/apps/charts/metabase/Chart.lock" in example_files()
