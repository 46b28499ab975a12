"""Who owns which field of an object: ``metadata.managedFields`` read, and the fields of one manager handed to another.

A set of fields ("FieldsV1") is a tree whose keys are path elements: ``f:name`` a key of a map, ``k:{…}`` a list element
by its keys, ``v:…`` an element of a set, ``i:0`` one by position. A node without children, or with the key ``.``, is a
member of the set. (KEP-555; sigs.k8s.io/structured-merge-diff, ``fieldpath/serialize-pe.go``.)
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Fields = Mapping[str, Any]

SELF = "."
"""The path element that says of a node with children that it is a member itself."""

_MISSING = object()


@dataclass(frozen=True)
class Entry:
    """What one manager owns. ``operation`` is ``Apply`` or ``Update``, ``time`` RFC 3339 in UTC or empty."""

    manager: str
    operation: str
    subresource: str
    time: str
    fields: Fields = field(repr=False)


def entries(live: Mapping[str, Any]) -> tuple[Entry, ...]:
    """The managers of an object, in the order of the server."""
    return tuple(
        Entry(
            manager=entry.get("manager", ""),
            operation=entry.get("operation", ""),
            subresource=entry.get("subresource", ""),
            time=entry.get("time", ""),
            fields=entry.get("fieldsV1") or {},
        )
        for entry in live["metadata"].get("managedFields") or ()
    )


def is_written_by_others(live: Mapping[str, Any], manager: str) -> bool:
    """Whether anybody but this manager owns a field of the object, apart from its subresources (status, scale)."""
    return any(entry.manager != manager and not entry.subresource for entry in entries(live))


def handed_over(live: Mapping[str, Any], givers: Collection[str], taker: str) -> list[dict[str, Any]] | None:
    """``managedFields`` in which ``taker`` applied all that the ``givers`` wrote by updates; None if they own nothing.

    That is what ``kubectl apply --server-side`` does to objects that were client-side applied, so that the next apply
    removes the fields that left the manifest. (k8s.io/client-go, ``util/csaupgrade``.)
    """
    known = live["metadata"].get("managedFields") or []
    given = [entry for entry in known if _is_from(entry, givers)]
    if not given:
        return None
    taking = next((entry for entry in known if is_apply_of(entry, taker)), None)
    sets = [entry.get("fieldsV1") or {} for entry in ([taking] if taking else []) + given]
    whole = {**(taking or given[0]), "manager": taker, "operation": "Apply", "fieldsV1": union(sets)}
    rest = [entry for entry in known if entry is not taking and not _is_from(entry, givers)]
    return [whole, *rest]


def without_handed_over(
    applied: Mapping[str, Any], live: Mapping[str, Any], givers: Collection[str]
) -> dict[str, Any] | None:
    """The result of an apply as it would be had the givers' fields been handed over before; None if it is the same.

    ``applied`` is the result without that: it still has the fields that only the givers of ``live`` own.
    """
    given = union(e.get("fieldsV1") or {} for e in live["metadata"].get("managedFields") or () if _is_from(e, givers))
    if not given:
        return None
    others = (e for e in applied["metadata"].get("managedFields") or () if not _is_from(e, givers))
    left = _without(applied, given, union(e.get("fieldsV1") or {} for e in others))
    return None if left == applied else left


def union(sets: Iterable[Fields]) -> dict[str, Any]:
    """All members of all sets."""
    whole: dict[str, Any] = {}
    for fields in sets:
        whole = _merged(whole, fields) if whole else dict(fields)
    return whole


def restricted(value: Any, owned: Fields) -> Any:
    """A copy of a map or list with nothing but what the set has."""
    kept = {at: node for element, node in owned.items() if (at := child(value, element)) is not None}
    parts = {
        at: restricted(value[at], node) if node and isinstance(value[at], (dict, list)) else value[at]
        for at, node in kept.items()
    }
    return (
        [parts[at] for at in sorted(parts)] if isinstance(value, list) else {k: parts[k] for k in value if k in parts}
    )


def child(value: Any, element: str) -> Any:
    """Key or position of a path element in a map or list; None if it is not there."""
    kind, _, text = element.partition(":")
    if element == SELF:
        return None
    if kind == "f":
        return text if isinstance(value, Mapping) and text in value else None
    if not isinstance(value, list):
        return None
    if kind == "i":
        return int(text) if int(text) < len(value) else None
    wanted = json.loads(text)
    if kind == "v":
        return next((at for at, item in enumerate(value) if item == wanted), None)
    return next((at for at, item in enumerate(value) if _has_keys(item, wanted)), None)


def is_member(node: Fields) -> bool:
    """Whether the set has the path of this node itself, and not only paths below it."""
    return not node or SELF in node


def _is_from(entry: Mapping[str, Any], givers: Collection[str]) -> bool:
    return entry.get("operation") == "Update" and entry.get("manager") in givers and not entry.get("subresource")


def is_apply_of(entry: Mapping[str, Any], manager: str) -> bool:
    """Whether an entry of ``managedFields`` is what the manager applied, rather than updated."""
    return entry.get("operation") == "Apply" and entry.get("manager") == manager and not entry.get("subresource")


def _merged(one: Fields, other: Fields) -> dict[str, Any]:
    merged = dict(one)
    for element, node in other.items():
        if element not in merged:
            merged[element] = node
        elif element != SELF:
            mine = merged[element]
            both = _merged(mine, node)
            # A leaf is a member; beside children that has to be said.
            merged[element] = {**both, SELF: {}} if both and (is_member(mine) or is_member(node)) else both
    return merged


def _has_keys(item: Any, wanted: Mapping[str, Any]) -> bool:
    """Whether a list element has these keys; the port of a Service has the protocol TCP also if it does not say so."""
    return isinstance(item, Mapping) and all(
        item.get(key, "TCP" if key == "protocol" else _MISSING) == value for key, value in wanted.items()
    )


def _without(value: Any, removed: Fields, owned: Fields) -> Any:
    """A copy without the members of ``removed``, but for what ``owned`` has."""
    result = value.copy()
    gone: list[Any] = []
    for element, node in removed.items():
        at = child(value, element) if element != SELF else None
        if at is None:
            continue
        still = owned.get(element)
        if is_member(node) and still is None:
            gone.append(at)
        elif isinstance(value[at], (dict, list)) and any(inner != SELF for inner in node):
            # A leaf beside children of others is an empty map: it does not stand for what they have below it.
            keep = restricted(value[at], still or {}) if is_member(node) else value[at]
            result[at] = _without(keep, node, still or {})
    for at in sorted(gone, reverse=True) if isinstance(result, list) else gone:
        del result[at]
    return result
