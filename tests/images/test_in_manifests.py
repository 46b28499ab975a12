"""Finding the images that a manifest names, wherever they hide, and changing them."""

from __future__ import annotations

from typing import Any

import pytest

from deploy_pipeline.images import images_in, with_images

POD = {
    "initContainers": [{"name": "init", "image": "init:1"}],
    "containers": [{"name": "app", "image": "app:1"}, {"name": "none"}],
    "ephemeralContainers": [{"name": "debug", "image": "debug:1"}],
    "volumes": [{"name": "data", "emptyDir": {}}, {"name": "model", "image": {"reference": "model:1"}}],
}


def workload(kind: str) -> dict[str, Any]:
    """An object of a kind, with POD where that kind has its pods."""
    template = {"metadata": {}, "spec": POD}
    specs: dict[str, dict[str, Any]] = {
        "Pod": POD,
        "CronJob": {"jobTemplate": {"spec": {"template": template}}},
        "Rollout": {"steps": [{"template": template}]},
    }
    spec = specs.get(kind, {"template": template})
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec}


@pytest.mark.parametrize("kind", ["Pod", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Rollout"])
def test_every_container_and_image_volume_of_any_workload_is_found(kind: str) -> None:
    """Also those of a kind that nobody here has heard of."""
    assert sorted(named.image for named in images_in(workload(kind))) == ["app:1", "debug:1", "init:1", "model:1"]


def test_the_path_leads_to_the_field() -> None:
    """By keys and positions."""
    first = next(named for named in images_in(workload("CronJob")) if named.image == "app:1")
    assert first.path == ("spec", "jobTemplate", "spec", "template", "spec", "containers", 0, "image")
    model = next(named for named in images_in(workload("Pod")) if named.image == "model:1")
    assert model.path == ("spec", "volumes", 1, "image", "reference")


@pytest.mark.parametrize(
    "spec", [{"containers": "app"}, {"containers": ["app"]}, {"volumes": {"image": "x"}}, None, []]
)
def test_a_malformed_workload_names_no_image(spec: object) -> None:
    """It is the schema's business to say so."""
    assert images_in({"kind": "Pod", "spec": spec}) == ()


def test_all_images_are_changed_and_nothing_else() -> None:
    """In a copy."""
    before = workload("Deployment")
    after = with_images(before, lambda image: f"{image}@x")
    assert sorted(named.image for named in images_in(after)) == ["app:1@x", "debug:1@x", "init:1@x", "model:1@x"]
    assert with_images(after, lambda image: image.removesuffix("@x")) == before == workload("Deployment")
