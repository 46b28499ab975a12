"""Merging, comparing and pruning typed values: the arithmetic below server-side apply.

Follows sigs.k8s.io/structured-merge-diff, package `typed`: maps and list-maps merge item by item,
sets by value, anything atomic is one value. Values are never changed in place.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.fieldset import MEMBER, Set, compact, element_text, item_key
from deploy_pipeline.sandbox.schema import Node

ABSENT: Final = object()
GO_WORDS = {True: "true", False: "false", None: "<nil>"}


class Comparison(NamedTuple):
    """What changed between two values."""

    added: Set
    modified: Set
    removed: Set

    def is_same(self) -> bool:
        """Nothing changed."""
        return not (self.added or self.modified or self.removed)


def is_leaf(old: Any, new: Any, node: Node) -> bool:
    """Compared and merged as one value: scalars, atomic lists and maps, and two empty sides."""
    if node.atomic or node.shape == "scalar":
        return True
    # Content without a schema merges by key, but its lists are atomic.
    containers = dict if node.shape == "any" else (dict, list)
    empty = all(value is ABSENT or value in (None, {}, []) for value in (old, new))
    return empty or not any(isinstance(value, containers) for value in (old, new))


def children(value: Any, node: Node) -> dict[str, Any]:
    """The parts of a map or list by path element."""
    if isinstance(value, dict):
        return {f"f:{key}": item for key, item in value.items()}
    if isinstance(value, list):
        return {item_key(node, item): item for item in value}
    return {}


def child_node(node: Node, key: str) -> Node:
    """The node of a part; content that is not declared has no rules."""
    return (node.child(key[2:]) if key.startswith("f:") else None) or node.element


def compare(old: Any, new: Any, node: Node) -> Comparison:
    """The fields added, modified and removed (Compare)."""
    if old is new or old == new:
        return Comparison({}, {}, {})
    if is_leaf(old, new, node):
        found = dict(MEMBER)
        if old is ABSENT:
            return Comparison(found, {}, {})
        return Comparison({}, {}, found) if new is ABSENT else Comparison({}, found, {})
    result = Comparison({}, {}, {})
    before, after = children(old, node), children(new, node)
    for key in [*before, *(key for key in after if key not in before)]:
        part = compare(before.get(key, ABSENT), after.get(key, ABSENT), child_node(node, key))
        for total, found in zip(result, part, strict=True):
            if found:
                total[key] = found
    if old is ABSENT:
        result.added["."] = True
    elif new is ABSENT:
        result.removed["."] = True
    return result


def merge(live: Any, config: Any, node: Node) -> Any:
    """`live` with everything that `config` says (Merge)."""
    if live is ABSENT:
        return config
    if is_leaf(live, config, node):
        return config
    if isinstance(config, dict) and isinstance(live, dict):
        merged = dict(live)
        for key, value in config.items():
            merged[key] = merge(live.get(key, ABSENT), value, node.child(key) or node.element)
        return merged
    if isinstance(config, list) and isinstance(live, list):
        return merge_lists(live, config, node)
    return live if config is None else config


def merge_lists(live: list[Any], config: list[Any], node: Node) -> list[Any]:
    """Items of both; the configuration's order wins among the items it names."""
    left, right = children(live, node), children(config, node)
    left_keys, right_keys = list(left), list(right)
    shared = [key for key in right_keys if key in left]
    result, done = [], set()
    i = j = 0
    while i < len(left_keys) or j < len(right_keys):
        here = left_keys[i] if i < len(left_keys) else None
        wanted = right_keys[j] if j < len(right_keys) else None
        if here and wanted and here != wanted and here in right and shared[:1] not in ([], [here]):
            i += 1  # shared, but the configuration names another shared item first
            continue
        if here and here not in right:
            result.append(left[here])
            i += 1
            continue
        if here and (here == wanted or here in done):
            i += 1
        if wanted:
            done.add(wanted)
            result.append(merge(left.get(wanted, ABSENT), right[wanted], node.element))
            shared = shared[1:] if here == wanted or shared[:1] == [wanted] else shared
            j += 1
    return result


def remove(value: Any, fields: Set, node: Node) -> Any:
    """`value` without the members of `fields`; a map or list that gets empty goes, too."""
    if isinstance(value, dict):
        kept: Json = {}
        for key, item in value.items():
            gone = fields.get("f:" + key)
            if gone is None:
                kept[key] = item
            elif "." not in gone:
                rest = remove(item, gone, node.child(key) or node.element)
                if rest is not None:
                    kept[key] = rest
        return kept or None
    if not isinstance(value, list):
        return value
    items = []
    for item in value:
        gone = fields.get(item_key(node, item))
        if gone is None:
            items.append(item)
        elif "." not in gone:
            items.append(remove(item, gone, node.element))
    return items or None


def problems(value: Any, node: Node, path: str = "") -> list[str]:
    """Why a configuration does not fit its schema, in the words of the typed package."""
    if value is None or node.shape == "any":
        return []
    if node.shape == "scalar":
        return scalar_problems(value, node, path)
    if node.shape == "list":
        if not isinstance(value, list):
            return [f"{path}: expected list, got {go_value(value)}"]
        return list_problems(value, node, path)
    if not isinstance(value, dict):
        return [f"{path}: expected map, got {go_value(value)}"]
    found = []
    for key, item in value.items():
        child = node.child(key)
        if child is None:
            found.append(f"{path}.{key}: field not declared in schema")
        else:
            found += problems(item, child, f"{path}.{key}")
    return found


def list_problems(value: list[Any], node: Node, path: str) -> list[str]:
    """Wrong items, and items that are there twice."""
    found, seen = [], set()
    for index, item in enumerate(value):
        key = "" if node.atomic else item_key(node, item)
        where = f"{path}{element_text(key)}" if key else f"{path}[{index}]"
        found += problems(item, node.element, where)
        if key and key in seen:
            found.append(f"{path}: duplicate entries for key {element_text(key)}")
        seen.add(key)
    return found


def scalar_problems(value: Any, node: Node, path: str) -> list[str]:
    """A scalar of the wrong type."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if node.scalar in ("integer", "number") and not number:
        return [f"{path}: expected numeric (int or float), got {go_type(value)}"]
    if node.scalar == "boolean" and not isinstance(value, bool):
        return [f"{path}: expected boolean, got {go_value(value)}"]
    if node.scalar in ("string", "time", "micro-time") and not isinstance(value, str):
        text = go_text(value)
        return [f"{path}: expected string, got &value.valueUnstructured{{Value:{text}}}"]
    if node.scalar in ("quantity", "int-or-string") and not (number or isinstance(value, str)):
        return [f"{path}: expected untyped scalar, got {go_value(value)}"]
    return []


def go_type(value: Any) -> str:
    """`%T` of a decoded value."""
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, list):
        return "[]interface {}"
    names = {bool: "bool", int: "int64", float: "float64", str: "string"}
    return names[type(value)]


def go_text(value: Any) -> str:
    """`%v` of a decoded value, nested ones included."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_text, value)) + "]"
    if value is None or isinstance(value, bool):
        return GO_WORDS[value]
    return value if isinstance(value, str) else compact(value)


def go_value(value: Any) -> str:
    """`%v` of the wrapper around a decoded value."""
    return f"&{{{go_text(value)}}}"
