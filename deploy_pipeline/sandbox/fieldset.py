"""Sets of field paths: who owns what, as `managedFields` records it (KEP-555).

A set is a tree of path elements, written as in `fieldsV1`: `f:name` a field, `k:{...}` a list-map
item, `v:...` an item of a set. `"."` in a node says that the path itself is a member, which makes
union, difference and intersection plain walks over dictionaries. The rules are those of
sigs.k8s.io/structured-merge-diff, package `fieldpath`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from deploy_pipeline.sandbox.schema import Node

Set = dict[str, Any]
MEMBER: Set = {".": True}


def compact(value: Any) -> str:
    """JSON as it stands inside a path element."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def decode(fields_v1: Set) -> Set:
    """From `fieldsV1`, where a leaf is `{}`."""
    return {key: True if key == "." else (decode(value) if value else dict(MEMBER)) for key, value in fields_v1.items()}


def encode(fields: Set) -> Set:
    """To `fieldsV1`."""
    return {key: {} if key == "." or value == MEMBER else encode(value) for key, value in fields.items()}


def union(left: Set, right: Set) -> Set:
    """All paths of both."""
    result = dict(left)
    for key, value in right.items():
        result[key] = union(result[key], value) if key in result and key != "." else value
    return result


def difference(left: Set, right: Set) -> Set:
    """The paths of `left` that are not in `right`."""
    result = {}
    for key, value in left.items():
        if key not in right:
            result[key] = value
        elif key != "." and (rest := difference(value, right[key])):
            result[key] = rest
    return result


def intersection(left: Set, right: Set) -> Set:
    """The paths of both."""
    result = {}
    for key, value in left.items():
        if key not in right:
            continue
        shared = True if key == "." else intersection(value, right[key])
        if shared:
            result[key] = shared
    return result


def with_named_fields(fields: Set, node: Node | None) -> Set:
    """The set with the struct fields on the way to each member as members, too."""
    result = {}
    for key, value in fields.items():
        if key == ".":
            result[key] = value
            continue
        below = descend(node, key)
        result[key] = with_named_fields(value, below)
        if node is not None and node.shape == "struct" and key[2:] in node.fields:
            result[key]["."] = True
    return result


def descend(node: Node | None, key: str) -> Node | None:
    """The node behind a path element."""
    if node is None:
        return None
    return node.child(key[2:]) if key.startswith("f:") else node.element


def paths(fields: Set, prefix: str = "") -> Iterator[str]:
    """The members as text, in the server's order."""
    keys = sorted(key for key in fields if key != ".")
    for key in keys:
        if "." in fields[key]:
            yield prefix + element_text(key)
    for key in keys:
        yield from paths({k: v for k, v in fields[key].items() if k != "."}, prefix + element_text(key))


def element_text(key: str) -> str:
    """One path element as messages show it: `.name`, `[name="a"]`, `[="value"]`."""
    if key.startswith("f:"):
        return f".{key[2:]}"
    value = json.loads(key[2:])
    if key.startswith("k:"):
        return "[" + ",".join(f"{name}={compact(value[name])}" for name in sorted(value)) + "]"
    return f"[={compact(value)}]"


def item_key(node: Node, item: Any) -> str:
    """The path element of an item of a set or list-map."""
    if node.keys and isinstance(item, dict):
        return "k:" + compact({key: node.key_of(item, key) for key in node.keys})
    return "v:" + compact(item)


def of_value(value: Any, node: Node) -> Set:
    """Every field that a configuration sets (ToFieldSet)."""
    result: Set = {}
    if isinstance(value, dict) and value and not node.atomic and node.shape != "scalar":
        for key, item in value.items():
            below = of_value(item, node.child(key) or node.element)
            if node.shape != "struct" or key not in node.fields or item in (None, {}):
                below = {**below, ".": True}
            if below:
                result["f:" + key] = below
    elif isinstance(value, list) and node.shape == "list" and not node.atomic:
        for item in value:
            result[item_key(node, item)] = {**of_value(item, node.element), ".": True}
    else:
        return dict(MEMBER)
    return result
