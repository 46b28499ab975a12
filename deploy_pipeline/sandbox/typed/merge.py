"""Merging, comparing and pruning typed values: the arithmetic below server-side apply.

Follows sigs.k8s.io/structured-merge-diff, package `typed`: maps and list-maps merge item by item, sets by value,
anything atomic is one value. Values are never changed in place.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from deploy_pipeline.sandbox.errors import Json, text_of
from deploy_pipeline.sandbox.schema import Node
from deploy_pipeline.sandbox.typed.fieldset import Path, Set, element_text, item_key

ABSENT: Final = object()
GO_TYPES = {bool: "bool", int: "int64", float: "float64", str: "string"}


class Comparison(NamedTuple):
    """What changed between two values."""

    added: set[Path]
    modified: set[Path]
    removed: set[Path]


def _is_leaf(old: Any, new: Any, node: Node) -> bool:
    """Compared and merged as one value: scalars, atomic lists and maps, and two empty sides."""
    if node.atomic or node.shape == "scalar":
        return True
    # Content without a schema merges by key, but its lists are atomic.
    containers = dict if node.shape == "any" else (dict, list)
    empty = all(value is ABSENT or value in (None, {}, []) for value in (old, new))
    return empty or not any(isinstance(value, containers) for value in (old, new))


def _children(value: Any, node: Node) -> dict[str, Any]:
    """The parts of a map or list by path element."""
    if isinstance(value, dict):
        return {f"f:{key}": item for key, item in value.items()}
    return {item_key(node, item): item for item in value} if isinstance(value, list) else {}


def compare(old: Any, new: Any, node: Node) -> Comparison:
    """The fields added, modified and removed (Compare)."""
    result = Comparison(set(), set(), set())
    _compare(old, new, node, (), result)
    return result


def _compare(old: Any, new: Any, node: Node, path: Path, result: Comparison) -> None:
    if old is new or old == new:
        return
    leaf = _is_leaf(old, new, node)
    if old is ABSENT:
        result.added.add(path)
    elif new is ABSENT:
        result.removed.add(path)
    elif leaf:
        result.modified.add(path)
    if not leaf:
        before, after = _children(old, node), _children(new, node)
        for key in before.keys() | after.keys():
            child = (node.child(key[2:]) if key.startswith("f:") else None) or node.element
            _compare(before.get(key, ABSENT), after.get(key, ABSENT), child, (*path, key), result)


def merge(live: Any, config: Any, node: Node) -> Any:
    """`live` with everything that `config` says (Merge)."""
    if live is ABSENT or _is_leaf(live, config, node):
        return config
    if isinstance(config, dict) and isinstance(live, dict):
        changed = {k: merge(live.get(k, ABSENT), v, node.child(k) or node.element) for k, v in config.items()}
        return {**live, **changed}
    if isinstance(config, list) and isinstance(live, list):
        return _merge_lists(_children(live, node), _children(config, node), node)
    return live if config is None else config


def _merge_lists(live: Json, config: Json, node: Node) -> list[Any]:
    """Items of both in the configuration's order; live ones of their own stay before the shared item they preceded."""
    shared = [key for key in config if key in live]
    waiting, result = list(live), []
    for key, item in config.items():
        while waiting and waiting[:1] != shared[:1]:
            own = waiting.pop(0)
            if own not in config:
                result.append(live[own])
        result.append(merge(live.get(key, ABSENT), item, node.element))
        if shared[:1] == [key]:
            shared.pop(0)
            waiting = waiting[1:] if waiting[:1] == [key] else waiting
    return result + [live[key] for key in waiting if key not in config]


def remove(value: Json, gone: Set, node: Node) -> Json:
    """`value` without some fields; a map or list that gets empty by that goes, too."""
    touched = gone | {path[:depth] for path in gone for depth in range(len(path))}

    def rest(part: Any, at: Node, path: Path) -> Any:
        if path not in touched:
            return part
        if path in gone:
            return ABSENT
        if isinstance(part, dict):
            below = {key: rest(item, at.child(key) or at.element, (*path, f"f:{key}")) for key, item in part.items()}
            return {key: item for key, item in below.items() if item is not ABSENT} or ABSENT
        if isinstance(part, list):
            items = [rest(item, at.element, (*path, item_key(at, item))) for item in part]
            return [item for item in items if item is not ABSENT] or ABSENT
        return part

    left: Json = rest(value, node, ())
    return left


def problems(value: Any, node: Node, path: str = "") -> list[str]:
    """Why a configuration does not fit its schema, in the words of the typed package."""
    if value is None or node.shape == "any":
        return []
    if node.shape == "scalar":
        return _scalar_problems(value, node, path)
    if node.shape == "list":
        return (
            _list_problems(value, node, path)
            if isinstance(value, list)
            else [f"{path}: expected list, got {_go(value)}"]
        )
    if not isinstance(value, dict):
        return [f"{path}: expected map, got {_go(value)}"]
    found = []
    for key, item in value.items():
        child = node.child(key)
        found += problems(item, child, f"{path}.{key}") if child else [f"{path}.{key}: field not declared in schema"]
    return found


def _list_problems(value: list[Any], node: Node, path: str) -> list[str]:
    """Wrong items, and items that are there twice."""
    found, seen = [], set()
    for index, item in enumerate(value):
        key = "" if node.atomic else item_key(node, item)
        found += problems(item, node.element, path + (element_text(key) if key else f"[{index}]"))
        if key and key in seen:
            found.append(f"{path}: duplicate entries for key {element_text(key)}")
        seen.add(key)
    return found


def _scalar_problems(value: Any, node: Node, path: str) -> list[str]:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if node.scalar in ("integer", "number") and not number:
        return [f"{path}: expected numeric (int or float), got {GO_TYPES.get(type(value), 'map[string]interface {}')}"]
    if node.scalar == "boolean" and not isinstance(value, bool):
        return [f"{path}: expected boolean, got {_go(value)}"]
    if node.scalar in ("string", "time", "micro-time") and not isinstance(value, str):
        return [f"{path}: expected string, got &value.valueUnstructured{{Value:{_go(value)[2:-1]}}}"]
    if node.scalar in ("quantity", "int-or-string") and not (number or isinstance(value, str)):
        return [f"{path}: expected untyped scalar, got {_go(value)}"]
    return []


def _go(value: Any) -> str:
    """A decoded value as Go prints its wrapper."""

    def printed(part: Any) -> str:
        if isinstance(part, dict):
            return "map[" + " ".join(f"{key}:{printed(part[key])}" for key in sorted(part)) + "]"
        if isinstance(part, list):
            return "[" + " ".join(map(printed, part)) + "]"
        return part if isinstance(part, str) else "<nil>" if part is None else text_of(part)

    return f"&{{{printed(value)}}}"
