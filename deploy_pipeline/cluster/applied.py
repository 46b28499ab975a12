"""Whether a server-side apply would write nothing, as far as a live object itself proves it.

The server keeps what a manager applied last: the fields in ``managedFields``, their values in the object. A manifest
with just these fields and values changes nothing when it is applied again: nothing is merged into the object, nothing
has left the manifest, so nothing is sent. What is not certain is no proof: fields that the manifest adds or lacks,
values that the server writes differently (``1000m`` for ``1``), another API version, another order of elements. Nor
is anything of a custom kind: its schema can change under it, and with that which fields are one. The server is asked
about these. (KEP-555; sigs.k8s.io/structured-merge-diff, ``merge/update.go``: ``Apply``.)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy_pipeline.cluster.managed_fields import SELF, Fields, is_apply_of
from deploy_pipeline.cluster.objects import BUILT_IN_GROUPS, Manifest

# What names an object is not owned by those who apply it.
_OBJECT = frozenset(("apiVersion", "kind"))
_METADATA = frozenset(("name", "namespace"))


def is_applied(manifest: Manifest, live: Manifest, manager: str) -> bool:
    """Whether the live object proves that an apply of the manifest by this manager would change nothing of it."""
    fields = _last_applied(live, manager, manifest["apiVersion"])
    group = manifest["apiVersion"].rpartition("/")[0]
    if fields is None or live["apiVersion"] != manifest["apiVersion"] or group not in BUILT_IN_GROUPS:
        return False
    wanted = {key: value for key, value in manifest.items() if key not in _OBJECT}
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _METADATA}
    wanted = {**wanted, "metadata": metadata} if metadata else {k: v for k, v in wanted.items() if k != "metadata"}
    return _holds(fields, wanted, live) if fields else not wanted


def _last_applied(live: Manifest, manager: str, api_version: str) -> Fields | None:
    """The fields that the manager applied last, in this API version; None if it is not known for sure."""
    for entry in live["metadata"].get("managedFields") or ():
        if is_apply_of(entry, manager):
            return entry.get("fieldsV1") or {} if entry.get("apiVersion") == api_version else None
    return None


def _holds(fields: Fields, wanted: Any, live: Any) -> bool:
    """Whether the wanted value has just these fields, each as it is live."""
    below = {element: inner for element, inner in fields.items() if element != SELF}
    if not below:  # one value: a scalar, or what is owned as a whole
        return _is_same(wanted, live)
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        return below.keys() == {f"f:{key}" for key in wanted} and all(
            key in live and _holds(below[f"f:{key}"], value, live[key]) for key, value in wanted.items()
        )
    return isinstance(wanted, list) and isinstance(live, list) and _holds_elements(below, wanted, live)


def _holds_elements(fields: Fields, wanted: Sequence[Any], live: Sequence[Any]) -> bool:
    """The same for a list whose elements have owners of their own: by their keys or, in a set, by their values."""
    if len(fields) != len(wanted):
        return False
    found, positions = set(), []
    for item in wanted:
        named = [element for element in fields if _may_be(item, element)]
        at = list(_positions(live, named[0])) if len(named) == 1 else []
        if len(at) != 1 or not _holds(fields[named[0]], item, live[at[0]]):
            return False
        found.add(named[0])
        positions += at
    return len(found) == len(wanted) and positions == sorted(positions)


def _may_be(item: Any, element: str) -> bool:
    """Whether an element of the manifest can be the one of this path; a key that it leaves out has a default."""
    kind, _, text = element.partition(":")
    if kind == "k":
        named = json.loads(text).items()
        return isinstance(item, Mapping) and all(_is_same(item[key], value) for key, value in named if key in item)
    return kind == "v" and _is_same(item, json.loads(text))


def _positions(live: Sequence[Any], element: str) -> Iterator[int]:
    """Where the element of a path is in a live list, which has every default filled in."""
    kind, _, text = element.partition(":")
    key = json.loads(text)
    for position, item in enumerate(live):
        if kind == "v":
            is_it = _is_same(item, key)
        else:
            is_it = isinstance(item, Mapping) and all(k in item and _is_same(item[k], v) for k, v in key.items())
        if is_it:
            yield position


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON, which tells ``1`` from ``true``."""
    if isinstance(one, (Mapping, list)) or isinstance(other, (Mapping, list)):
        return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    return type(one) is type(other) and bool(one == other)
