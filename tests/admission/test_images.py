"""Images that a release would newly run: asked for in their registry, shown in the diff, held against the release."""

from __future__ import annotations

import pytest

from deploy_pipeline.errors import RefusedError
from tests.actions.small import Small, deployment
from tests.admission.conftest import with_settings
from tests.images.registry import Registry


def test_a_missing_image_shows_in_the_diff_and_stops_the_release(small: Small, registry: Registry) -> None:
    """Nothing is written; once the image is pushed the same commit is released."""
    image = f"{registry.host}/shop/web:1"
    small.channel(approval="none")
    small.put("web", deployment(image=image))
    small = with_settings(small, registries=f"http://{registry.host}")
    (app,) = small.diff().apps
    words = f"spec.template.spec.containers[app].image: the image {image} is not in its registry"
    assert app.warnings == (f"rendered/test/web.yaml: Deployment shop/web: {words}",)
    small.world.promote()
    with pytest.raises(RefusedError, match=r"1 image\(s\) that would be run are missing") as refused:
        small.world.release()
    assert words in refused.value.details[0]
    assert small.live("Deployment") is None

    registry.push("shop/web", "1")
    assert small.world.release().apps[0].state == "released"


def test_only_images_that_are_new_are_asked_for(small: Small, registry: Registry) -> None:
    """What runs already may have left its registry: a release that changes something else goes on."""
    image = f"{registry.host}/shop/gone:1"
    small.put("web", deployment(image=image))
    small.deliver()
    small.put("web", deployment(image=image, replicas=2))
    small = with_settings(small, registries=f"http://{registry.host}")
    assert small.diff().app("web").warnings == ()  # type: ignore[union-attr]
    small.put("web", deployment(image=image.replace(":1", ":2"), replicas=2))
    assert len(small.diff().app("web").warnings) == 1  # type: ignore[union-attr]


def test_an_image_that_nobody_can_tell_of_is_only_warned_of(small: Small, registry: Registry) -> None:
    """The registry is not for the deployer to ask, but the cluster may well pull from it."""
    small.put("web", deployment(image="registry.internal/shop/web:1"))
    small = with_settings(small, registries=f"http://{registry.host}")
    (app,) = small.diff().apps
    assert "was not checked: the deployer's DEPLOY_REGISTRIES do not name registry.internal" in app.warnings[0]
    assert small.deliver().apps[0].state == "released"


def test_without_registries_nobody_is_asked(small: Small) -> None:
    """And the run says so."""
    small.put("web", deployment(image="127.0.0.1:1/web:1"))
    assert small.diff().apps[0].warnings == ()
    assert "test: images are not checked, as DEPLOY_REGISTRIES name no registry" in small.world.progress


def test_a_released_channel_can_do_without(small: Small, registry: Registry) -> None:
    """``images: off`` holds once it was released."""
    small.channel(images="off")
    small.put("web", deployment(image="web:1"))
    small = with_settings(small, registries=f"http://{registry.host}")
    assert len(small.diff().apps[0].warnings) == 1
    small.deliver()
    small.put("web", deployment(image="web:2"))
    assert small.diff().apps[0].warnings == ()
