"""Channels with ``images: digest``: what is reviewed names each image by its content."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml

from deploy_pipeline.errors import RenderFailed
from tests.images.registry import Registry
from tests.rendering.conftest import Deployer, small_deployer

__all__ = ["small_deployer"]

KEYS = "images: digest\n"
APPS = "  - {name: app, driver: kustomize, kustomize_dir: kubernetes/app}\n"
CHART = "  - {name: chart, driver: helm, namespace: web, helm_name: chart, helm_chart: kubernetes/chart}\n"


def pod(*images: str) -> str:
    """A Pod of these images."""
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": {"containers": containers}}
    return yaml.safe_dump(made)


def images(deployer: Deployer, app: str = "app") -> list[str]:
    """The images of the rendered Pod."""
    spec = yaml.safe_load(deployer.show(f"rendered/test/{app}.yaml"))["spec"]
    return [container["image"] for container in spec["containers"]]


def test_tags_become_digests_and_stay_while_nothing_else_changes(
    small_deployer: Callable[..., Deployer], registry: Registry
) -> None:
    """A tag that moves makes no other candidate; Helm apps are left alone, as Helm renders them at the release."""
    first = registry.push("pin/web", "1", "first")
    image = f"{registry.host}/pin/web"
    files = {
        "channels/test.yaml": f"channel: test\n{KEYS}releases:\n{APPS}{CHART}",
        "kubernetes/app/one.yaml": pod(f"{image}:1", f"{image}@{first}"),
        "kubernetes/chart/Chart.yaml": "apiVersion: v2\nname: chart\nversion: 1.0.0\n",
        "kubernetes/chart/templates/pod.yaml": pod(f"{image}:1"),
    }
    deployer = small_deployer(files, registries=f"http://{registry.host}")
    made = deployer.render()
    assert images(deployer) == [f"{image}:1@{first}", f"{image}@{first}"]
    assert images(deployer, "chart") == [f"{image}:1"]
    assert deployer.show("rendered/test/app.yaml").startswith("# App app of channel test")

    second = registry.push("pin/web", "1", "second")
    assert deployer.render().commit == made.commit
    deployer.origin.commit("main", {"kubernetes/app/one.yaml": pod(f"{image}:1")})
    deployer.render()
    assert images(deployer) == [f"{image}:1@{second}"]


def test_what_cannot_be_pinned_is_not_rendered(small_deployer: Callable[..., Deployer], registry: Registry) -> None:
    """All such images are named, each with the reason."""
    files = {
        "channels/test.yaml": f"channel: test\n{KEYS}releases:\n{APPS}",
        "kubernetes/app/one.yaml": pod(f"{registry.host}/pin/none:1", "ghcr.io/team/app:1"),
    }
    with pytest.raises(RenderFailed) as failed:
        small_deployer(files, registries=f"http://{registry.host}").render()
    file = "rendered/test/app.yaml: Pod one: the image"
    assert failed.value.details == (
        f"{file} {registry.host}/pin/none:1: is not in its registry",
        f"{file} ghcr.io/team/app:1: the deployer's DEPLOY_REGISTRIES do not name ghcr.io",
    )
