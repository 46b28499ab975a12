"""Ignore rules: fields that somebody else owns stay as they are, whatever the manifest says.

What is ignored must not merely be left out of the diff: then a release would still change it, unseen. So it is kept
out of what is sent. Leaving out a field is not enough either, as server-side apply removes what its manager owned
before and no longer names: if nobody else owns the field, it is sent as it is in the cluster. A new object is sent as
written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any

from deploy_pipeline.changes import FieldOwners, element_path, join_path, labels
from deploy_pipeline.channels import Element, FieldPath, IgnoreRule
from deploy_pipeline.cluster.objects import FIELD_MANAGER, Manifest

Parts = tuple["str | Element", ...]


def without_ignored(
    manifest: Manifest, live: Manifest, rules: Sequence[IgnoreRule], givers: Collection[str]
) -> Manifest:
    """The manifest to send for a live object. ``givers``: managers whose fields are about to become ours."""
    name = manifest["metadata"]["name"]
    paths = [p for r in rules if r.kind == manifest["kind"] and fnmatchcase(name, r.name) for p in r.paths]
    if not paths:
        return manifest
    ignored = {parts for value in (manifest, live) for parts in _leaves(value) if _is_named(parts, paths)}
    if not ignored:
        return manifest
    result, owners = deepcopy(manifest), FieldOwners(live)
    for parts in sorted(ignored, key=_shown):
        ours = all(e.manager in givers or e.manager == FIELD_MANAGER for e in owners.of(_shown(parts)))
        found, value = _look_up(live, parts)
        if found and ours:
            _put(result, parts, value)
        else:
            _remove(result, parts)
    return result


def _leaves(value: Any, parts: Parts = ()) -> Iterator[Parts]:
    """Where the values are that are no containers, or empty ones."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*parts, key))
    elif isinstance(value, list) and value:
        for label, inner in zip(labels(value), value, strict=True):
            yield from _leaves(inner, (*parts, Element(label)))
    else:
        yield parts


def _is_named(parts: Parts, paths: Sequence[FieldPath]) -> bool:
    return any(
        len(path.parts) <= len(parts)
        and all(
            one == other or (one == Element("*") and isinstance(other, Element))
            for one, other in zip(path.parts, parts, strict=False)
        )
        for path in paths
    )


def _shown(parts: Parts) -> str:
    path = ""
    for part in parts:
        path = element_path(path, part.label) if isinstance(part, Element) else join_path(path, part)
    return path


def _at(value: Any, part: str | Element) -> Any:
    """Key or position of a part in a container; None if it is not there."""
    if isinstance(part, Element):
        found = labels(value) if isinstance(value, list) else []
        return found.index(part.label) if part.label in found else None
    return part if isinstance(value, dict) and part in value else None


def _look_up(value: Any, parts: Parts) -> tuple[bool, Any]:
    for part in parts:
        at = _at(value, part)
        if at is None:
            return False, None
        value = value[at]
    return True, value


def _put(value: Any, parts: Parts, new: Any) -> None:
    """Set a value; in lists, only in an element that is there."""
    for part in parts[:-1]:
        at = _at(value, part)
        if at is None:
            if isinstance(part, Element) or not isinstance(value, dict):
                return
            at = part
            value[at] = {}
        value = value[at]
    last = parts[-1]
    if isinstance(last, str) and isinstance(value, dict):
        value[last] = new
    elif (at := _at(value, last)) is not None:
        value[at] = new


def _remove(value: Any, parts: Parts) -> None:
    found, holder = _look_up(value, parts[:-1])
    at = _at(holder, parts[-1]) if found else None
    if at is not None:
        del holder[at]
