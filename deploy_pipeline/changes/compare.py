"""Comparing two states of one object: what people asked for, field by field, and nothing else.

What the API server keeps for itself is left out on both sides. Lists whose elements have names (containers, ports,
env) are compared by name, so that one inserted element is one change; an order that changes alone is a change of its
own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from deploy_pipeline.changes.change_set import FieldChange
from deploy_pipeline.redaction import Redactor

# Set by the server on every write or read; nobody asks for them in a manifest.
_SERVER_METADATA = frozenset(
    (
        "managedFields",
        "resourceVersion",
        "uid",
        "generation",
        "creationTimestamp",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    )
)
# Set by the server while it deletes an object, for as long as that takes.
_OF_DELETIONS = ("foregroundDeletion", "orphan")
_ORDER = "[order]"
_PLAIN_LABEL = re.compile(r"[^\W_][\w./:-]*")
_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode


def field_changes(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, redactor: Redactor
) -> tuple[FieldChange, ...]:
    """All fields that differ between two states of an object, masked, sorted by path; None is a missing object."""
    states = [_normal(state, redactor) if state else {} for state in (before, after)]
    if before and after and _json(states[0]) == _json(states[1]):
        return ()
    old, new = (_leaves(state) if state else {} for state in states)
    if old and new:
        old, new = _without_filled(old, new), _without_filled(new, old)
    changed = sorted(path for path in old.keys() | new.keys() if _differs(path, old.get(path), new.get(path)))
    return tuple(
        FieldChange(redactor.redact(path), _shown(old.get(path), redactor), _shown(new.get(path), redactor))
        for path in changed  # keys come from charts, too, which may make them of secret values
    )


def without_server_fields(state: Mapping[str, Any]) -> dict[str, Any]:
    """The object without what the server keeps for itself: status, owners of fields, versions, times."""
    metadata = {k: v for k, v in state["metadata"].items() if k not in _SERVER_METADATA and v != {}}
    if finalizers := metadata.pop("finalizers", None):
        kept = [name for name in finalizers if name not in _OF_DELETIONS]
        metadata |= {"finalizers": kept} if kept else {}
    return {**{k: v for k, v in state.items() if k != "status"}, "metadata": metadata}


def _normal(state: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    return redactor.mask_object(without_server_fields(state))


def _leaves(value: Any) -> dict[str, str]:
    """Path and canonical JSON of every value that is no container, or an empty one."""
    found: dict[str, str] = {}
    _collect(value, "", found)
    return found


def _collect(value: Any, path: str, found: dict[str, str]) -> None:
    if value and isinstance(value, dict):
        for key, inner in value.items():
            _collect(inner, join_path(path, str(key)), found)
    elif value and isinstance(value, list):
        names = _names(value)
        for label, item in zip(names or _positions(value), value, strict=True):
            _collect(item, element_path(path, label), found)
        if names:
            found[path + _ORDER] = _json(names)
    else:
        found[path] = _json(value)


def _without_filled(leaves: dict[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """The leaves without empty containers that hold something on the other side: that shows by itself."""
    empty = [path for path, value in leaves.items() if value in ("{}", "[]") and path not in other]
    filled = {path for path in empty if any(there.startswith((f"{path}.", f"{path}[")) for there in other)}
    return {path: value for path, value in leaves.items() if path not in filled}


def _differs(path: str, old: str | None, new: str | None) -> bool:
    return _moved(old, new) if path.endswith(_ORDER) else old != new


def _moved(old: str | None, new: str | None) -> bool:
    """Whether the order of elements is another one than their coming and going, which shows by itself, would give.

    Elements that come are expected in the order of their names, behind those that stay; the elements of a list that is
    new altogether are not, since that is a new list.
    """
    if old is None or new is None:
        return False
    before, after = json.loads(old), json.loads(new)
    kept = [name for name in before if name in after]
    return bool(after != kept + sorted(name for name in after if name not in kept))


def _names(items: Sequence[Any]) -> list[str] | None:
    """The names of the elements, if each has one of its own."""
    if not all(isinstance(item, Mapping) and isinstance(item.get("name"), str) for item in items):
        return None
    names = [item["name"] for item in items]
    return names if len(set(names)) == len(names) else None


def labels(items: Sequence[Any]) -> list[str]:
    """By what the elements of a list are told apart: their names, else their positions."""
    return _names(items) or _positions(items)


def _positions(items: Sequence[Any]) -> list[str]:
    return [str(position) for position in range(len(items))]


def join_path(path: str, key: str) -> str:
    """The path of a key below a path. What is no plain word is quoted, so that no two fields have the same path."""
    if key.replace("-", "").replace("_", "").isalnum():
        return f"{path}.{key}" if path else key
    return f"{path}[{json.dumps(key, ensure_ascii=False)}]"


def element_path(path: str, label: str) -> str:
    """The path of a list's element; other than that of any key."""
    return f"{path}[{label if _PLAIN_LABEL.fullmatch(label) else f'name={json.dumps(label, ensure_ascii=False)}'}]"


def _shown(value: str | None, redactor: Redactor) -> str | None:
    return None if value is None else redactor.redact(value)
