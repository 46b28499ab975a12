"""Pinning images: in channels that say ``images: digest``, each tag becomes the digest that it stands for today.

So what is reviewed is what runs, whoever moves the tag meanwhile. Helm renders a chart at the release, from the chart:
there is nothing to pin in the candidate, and Helm apps are left as they are. A candidate that is rendered again after a
tag moved is another candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from deploy_pipeline.channels import Channel, Driver
from deploy_pipeline.errors import RenderFailed
from deploy_pipeline.images import Existence, Registries, existence, images_in, with_images
from deploy_pipeline.rendering.apps import RenderedApp, header
from deploy_pipeline.rendering.manifests import Manifest, write_manifests
from deploy_pipeline.settings import Settings


def pinned(rendered: Sequence[RenderedApp], channels: Sequence[Channel], settings: Settings) -> tuple[RenderedApp, ...]:
    """The apps, with the images pinned of those that are to be. Raises RenderFailed for images without a digest."""
    pinning = {channel.name for channel in channels if channel.admission.images == "digest"}
    chosen = [app for app in rendered if app.channel in pinning and app.app.driver is Driver.KUSTOMIZE]
    if not chosen:
        return tuple(rendered)
    images = (named.image for app in chosen for manifest in app.manifests for named in images_in(manifest))
    answers = existence((image for image in images if "@" not in image), Registries.from_settings(settings))
    if faults := [line for app in chosen for line in _faults(app, answers)]:
        raise RenderFailed(
            f"{len(faults)} image(s) cannot be pinned to a digest",
            details=faults,
            hint="push them first; the deployer asks the registries that DEPLOY_REGISTRIES name",
        )
    return tuple(_pinned(app, answers) if app in chosen else app for app in rendered)


def _faults(app: RenderedApp, answers: Mapping[str, Existence]) -> list[str]:
    return [
        f"{app.path}: {manifest['kind']} {manifest['metadata']['name']}: the image {named.image}: {reason}"
        for manifest in app.manifests
        for named in images_in(manifest)
        if named.image in answers and (reason := _reason(answers[named.image]))
    ]


def _reason(answer: Existence) -> str:
    if answer.missing:
        return "is not in its registry"
    return answer.unknown or ("" if answer.digest else "its registry does not say its digest")


def _pinned(app: RenderedApp, answers: Mapping[str, Existence]) -> RenderedApp:
    def change(image: str) -> str:
        return f"{image}@{answers[image].digest}" if image in answers else image

    manifests: tuple[Manifest, ...] = tuple(with_images(manifest, change) for manifest in app.manifests)
    return replace(app, manifests=manifests, content=write_manifests(manifests, header(app.channel, app.app)))
