"""Maps and lists of custom objects that a manifest says are empty, and that server-side apply loses.

An apply that takes the last field out of a map takes the map along, even where the manifest says `{}` (package `merge`
of sigs.k8s.io/structured-merge-diff: what is pruned is removed after the merge). A second apply brings it back. So a
release applies twice then, and the change set shows where that ends. What was not there before is not expected to come:
a webhook may drop what is empty. Objects of the API's own kinds have no such fields: what is empty is left out of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy_pipeline.cluster.objects import BUILT_IN_GROUPS, Manifest, ObjectRef

_NOT_OURS = ("apiVersion", "kind", "metadata", "status")


def with_emptied(applied: Manifest, sent: Manifest, live: Manifest) -> Manifest:
    """The object as a second apply leaves it, given what the first one made of the live one."""
    if ObjectRef.of(sent).group in BUILT_IN_GROUPS:
        return applied
    asked = {key: value for key, value in sent.items() if key not in _NOT_OURS}
    return _filled(asked, applied, live)


def _filled(asked: Mapping[str, Any], made: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(made)
    for key, value in asked.items():
        if key not in live:
            continue
        if key not in made:
            filled |= {key: value} if _is_hollow(value) else {}
        elif all(isinstance(part, dict) for part in (value, made[key], live[key])):
            filled[key] = _filled(value, made[key], live[key])
    return filled


def _is_hollow(value: Any) -> bool:
    """Whether there is nothing in a map or list but such maps and lists."""
    if isinstance(value, dict):
        return all(map(_is_hollow, value.values()))
    return isinstance(value, list) and not value
