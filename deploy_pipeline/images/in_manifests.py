"""Where manifests name images: the containers of any kind that has pods, and volumes that are images.

No list of kinds is kept: a workload of a kind that only some operator knows runs containers as well. What an operator
makes of fields of its own (``spec.image`` of a Prometheus) is not seen.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_LISTS = ("containers", "initContainers", "ephemeralContainers")


@dataclass(frozen=True)
class NamedImage:
    """One field that names an image; ``path`` is made of keys and of positions in lists."""

    path: tuple[str | int, ...]
    image: str


def images_in(manifest: Mapping[str, Any]) -> tuple[NamedImage, ...]:
    """Every field of a manifest that names an image, in its order."""
    return tuple(NamedImage(path, str(holder[key])) for path, holder, key in _fields(manifest, ()))


def with_images(manifest: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """The manifest with every image replaced by ``change(image)``."""
    changed = copy.deepcopy(manifest)
    for _, holder, key in _fields(changed, ()):
        holder[key] = change(str(holder[key]))
    return changed


def _fields(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any], str]]:
    """The fields that name an image below a value: their path, the mapping they stand in, their key."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in _LISTS and isinstance(inner, list):
                yield from _of_list(inner, (*path, key), "image")
            elif key == "volumes" and isinstance(inner, list):
                for index, volume in enumerate(inner):
                    source = volume.get("image") if isinstance(volume, dict) else None
                    yield from _of_list([source], (*path, key, index, "image"), "reference", positions=False)
            if isinstance(inner, (dict, list)):
                yield from _fields(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if isinstance(inner, (dict, list)):
                yield from _fields(inner, (*path, index))


def _of_list(
    items: list[Any], path: tuple[str | int, ...], key: str, *, positions: bool = True
) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any], str]]:
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get(key):
            yield (*path, index, key) if positions else (*path, key), item, key
