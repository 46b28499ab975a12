"""Patches that make of a live object what a manifest says, and take back what left the manifest since the last one.

That is how clients update objects that they do not apply on the server: Helm 3 for one. The patch has what differs
between the live object and the new manifest, and removes what the old manifest had and the new one has not. Lists are
merged as the kind's schema says. (k8s.io/apimachinery, ``pkg/util/strategicpatch``: ``CreateThreeWayMergePatch``.)
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from deploy_pipeline.cluster.patch_schemas import PatchSchema
from deploy_pipeline.errors import ManifestRejected

_MISSING = object()
_Map = Mapping[str, Any]


def strategic_patch(original: _Map, wanted: _Map, live: _Map, schema: PatchSchema) -> dict[str, Any]:
    """The strategic merge patch for an object; empty if there is nothing to do.

    Raises ManifestRejected for lists whose elements cannot be told from each other by their merge key.
    """
    patch: dict[str, Any] = {}
    for key, value in wanted.items():
        patch |= _entry(key, original.get(key), value, live.get(key, _MISSING), schema.field(key))
    patch |= {key: None for key in original if key not in wanted}
    if "retainKeys" in schema.strategies:
        kept = sorted(key for key, value in wanted.items() if value is not None)
        if kept and (patch or _has_more(live, wanted) or _has_more(original, wanted)):
            patch["$retainKeys"] = kept
    return patch


def merge_patch(original: Any, wanted: Any) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) from one object to another."""
    patch: dict[str, Any] = {key: None for key in original if key not in wanted}
    for key, value in wanted.items():
        before = original.get(key, _MISSING)
        if isinstance(value, dict) and isinstance(before, dict):
            patch |= {key: inner} if (inner := merge_patch(before, value)) else {}
        elif not _equal(before, value):
            patch[key] = value
    return patch


def _entry(key: str, original: Any, wanted: Any, live: Any, schema: PatchSchema) -> dict[str, Any]:
    """The entries of a patch for one field of the wanted object."""
    if isinstance(wanted, dict) and isinstance(live, dict) and "replace" not in schema.strategies:
        inner = strategic_patch(original if isinstance(original, dict) else {}, wanted, live, schema)
        return {key: inner} if inner else {}
    if isinstance(wanted, list) and isinstance(live, list) and "merge" in schema.strategies:
        before = original if isinstance(original, list) else []
        merge = _merged_maps if schema.merge_key else _merged_values
        return merge(key, before, wanted, live, schema)
    return {} if _equal(wanted, live) else {key: wanted}


def _merged_maps(
    key: str, original: Sequence[_Map], wanted: Sequence[_Map], live: Sequence[_Map], schema: PatchSchema
) -> dict[str, Any]:
    """For a list of objects that are told from each other by the merge key."""
    name, item = schema.merge_key, schema.item
    old, new, now = (_by_key(key, name, items) for items in (original, wanted, live))
    item = replace(schema.item, strategies=schema.strategies & {"retainKeys"})
    changed = []
    for value, element in new.items():
        there = now.get(value)
        inner = strategic_patch(old.get(value, {}), element, there, item) if there is not None else dict(element)
        if inner:
            changed.append({**inner, name: element[name]})
    gone = [{name: element[name], "$patch": "delete"} for value, element in old.items() if value not in new]
    if not changed and not gone and list(new) == list(now):
        return {}
    _check_told_apart(key, name, (*old, *new, *now))
    if not now and not gone:
        return {key: list(wanted)} if wanted else {}
    order = [{name: element[name]} for element in wanted]
    entries: dict[str, Any] = {f"$setElementOrder/{key}": order} if order else {}
    return entries | ({key: [*changed, *gone]} if changed or gone else {})


def _merged_values(
    key: str, original: Sequence[Any], wanted: Sequence[Any], live: Sequence[Any], _: PatchSchema
) -> dict[str, Any]:
    """For a list of plain values that is a set."""
    added, gone = _lacking(wanted, live), _lacking(original, wanted)
    entries: dict[str, Any] = {key: added} if added else {}
    if gone:
        entries[f"$deleteFromPrimitiveList/{key}"] = gone
    if wanted and (gone or (live and not _equal(wanted, live))):
        entries[f"$setElementOrder/{key}"] = list(wanted)
    return entries


def _by_key(field: str, name: str, items: Sequence[_Map]) -> dict[tuple[str, int], _Map]:
    """The elements by their merge key; those that have the same one are numbered."""
    if any(name not in element for element in items):
        raise ManifestRejected(f"{field} has an element without {name}, by which Helm 3 merges it")
    seen: Counter[str] = Counter()
    found = {}
    for element in items:
        value = json.dumps(element[name])
        found[value, seen[value]] = element
        seen[value] += 1
    return found


def _check_told_apart(field: str, name: str, keys: Iterable[tuple[str, int]]) -> None:
    doubled = next((value for value, number in keys if number), None)
    if doubled is not None:
        raise ManifestRejected(
            f"{field} has more than one element with the {name} {doubled}, which Helm 3 mixes up",
            hint="use Helm 4, which does not",
        )


def _lacking(values: Iterable[Any], others: Sequence[Any]) -> list[Any]:
    return [value for value in dict.fromkeys(values) if value not in others]


def _has_more(one: _Map, other: _Map) -> bool:
    return any(value is not None and key not in other for key, value in one.items())


def _equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same; in Python, 1 equals true."""
    return (
        one is not _MISSING
        and other is not _MISSING
        and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    )
