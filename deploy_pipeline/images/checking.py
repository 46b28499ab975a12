"""Whether images exist: all of them asked for at once, each once."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy_pipeline.images.reference import ImageReference
from deploy_pipeline.images.registries import NoAnswer, Registries

if TYPE_CHECKING:
    from deploy_pipeline.images.client import RegistryClient

_THREADS = 8


@dataclass(frozen=True)
class Existence:
    """What a registry says of one image: its ``digest``, that it is ``missing``, or why nobody can tell."""

    digest: str = ""
    missing: bool = False
    unknown: str = ""


def existence(images: Iterable[str], registries: Registries) -> dict[str, Existence]:
    """What the registries say of images, by their names as given; texts that are no references are ``unknown``."""
    from deploy_pipeline.images.client import RegistryClient  # a quarter of a second of imports

    client = RegistryClient(registries)
    names = sorted(set(images))
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="registry") as threads:
        return dict(zip(names, threads.map(lambda name: _existence(client, name), names), strict=True))


def _existence(client: RegistryClient, name: str) -> Existence:
    try:
        digest = client.digest(ImageReference.parse(name))
    except (NoAnswer, ValueError) as error:
        return Existence(unknown=str(error))
    return Existence(missing=True) if digest is None else Existence(digest)
