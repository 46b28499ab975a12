"""Ignore rules: fields that somebody else owns stay as they are, whatever the manifest says.

What is ignored must not merely be left out of the diff: then a release would still change it, unseen. So it is kept
out of what is sent. Leaving out a field is not enough either, as server-side apply removes what its manager owned
before and no longer names: of an ignored field, just that is sent which we own already, as it is in the cluster. A new
object is sent as written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any

from deploy_pipeline.changes import labels
from deploy_pipeline.channels import Element, FieldPath, IgnoreRule
from deploy_pipeline.cluster.managed_fields import Fields, child, entries, restricted, union
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
    result = deepcopy(manifest)
    managers = entries(live)
    ours = union(
        e.fields
        for e in managers
        if (e.manager, e.operation) == _US or (e.manager in givers and e.operation == "Update")
    )
    for parts in reversed(_places(paths, manifest, live)):  # positions in lists shift behind what is removed
        found, value = _look_up(live, parts)
        kept = _kept(live, value, parts, ours, [entry.fields for entry in managers]) if found else None
        if kept is None:
            _remove(result, live, parts)
        else:
            _put(result, parts, kept)
    return result


_US = (FIELD_MANAGER, "Apply")


def _places(paths: Iterable[FieldPath], *objects: Manifest) -> list[Parts]:
    """The places that the rules name in any of the objects, each once."""
    found = {parts: None for path in paths for value in objects for parts in _named(value, path.parts, ())}
    return list(found)


def _named(value: Any, pattern: Sequence[str | Element], parts: Parts) -> Iterator[Parts]:
    if not pattern:
        yield parts
        return
    first = pattern[0]
    if first == Element("*"):
        chosen: list[str | Element] = [Element(label) for label in labels(value)] if isinstance(value, list) else []
    else:
        chosen = [first]
    for part in chosen:
        at = _at(value, part)
        if at is not None:
            yield from _named(value[at], pattern[1:], (*parts, part))


def _kept(live: Manifest, value: Any, parts: Parts, ours: Fields, managers: Iterable[Fields]) -> Any:
    """What has to be sent of an ignored value so that it stays as it is; None for nothing.

    A part of a value that has one owner as a whole (an atomic list) is sent, as the whole is.
    """
    nodes = [_node(live, fields, parts) for fields in managers]
    if any(is_part for _, is_part in nodes):
        return value
    node, _ = _node(live, ours, parts)
    return restricted(value, node) if node else None if node is None else value


def _node(live: Any, fields: Fields, parts: Parts) -> tuple[Fields | None, bool]:
    """What a set has of a place, None if nothing; and whether the place is part of something that it has as a whole."""
    node: Fields | None = fields
    for part in parts:
        if node is not None and not node and node is not fields:
            return None, True
        at = _at(live, part)
        below = (inner for element, inner in (node or {}).items() if element != "." and child(live, element) == at)
        node = next(below, None)
        live = live[at]
    return node, False


def _at(value: Any, part: str | Element) -> Any:
    """Key or position of a part in a container; None if it is not there."""
    if isinstance(part, Element):
        found = labels(value) if isinstance(value, list) else []
        return found.index(part.label) if part.label in found else None
    return part if isinstance(value, Mapping) and part in value else None


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


def _remove(value: Any, live: Any, parts: Parts) -> None:
    """Leave a value out, and what is empty without it, unless that is there."""
    found, holder = _look_up(value, parts[:-1])
    at = _at(holder, parts[-1]) if found else None
    if at is None:
        return
    del holder[at]
    if not holder and len(parts) > 1 and not _look_up(live, parts[:-1])[0]:
        _remove(value, live, parts[:-1])
