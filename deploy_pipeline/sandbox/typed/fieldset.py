"""Sets of field paths: who owns what, as `managedFields` records it (KEP-555).

A path is a tuple of elements, written as in `fieldsV1`: `f:name` a field, `k:{...}` a list-map item, `v:...` an item of
a set. The rules are those of sigs.k8s.io/structured-merge-diff, package `fieldpath`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from deploy_pipeline.sandbox.errors import Json, text_of
from deploy_pipeline.sandbox.schema import Node

Path = tuple[str, ...]
Set = frozenset[Path]


def decode(tree: Json, above: Path = ()) -> Iterator[Path]:
    """The paths of `fieldsV1`, where a leaf is `{}` and `.` a member that has others below it."""
    for key, below in tree.items():
        if key == ".":
            yield above
        elif below:
            yield from decode(below, (*above, key))
        else:
            yield (*above, key)


def encode(fields: Iterable[Path]) -> Json:
    """To `fieldsV1`."""
    tree: Json = {}
    for path in sorted(fields):
        node = tree
        for key in path:
            node = node.setdefault(key, {})
        node["."] = {}
    return _collapsed(tree)


def _collapsed(tree: Json) -> Json:
    return {key: {} if below == {".": {}} else _collapsed(below) for key, below in tree.items()}


def texts(fields: Iterable[Path]) -> list[str]:
    """The paths as messages show them, in the server's order: on each level, members before what lies below."""
    return list(_texts(encode(fields), ""))


def _texts(tree: Json, prefix: str) -> Iterator[str]:
    below = {prefix + element_text(key): value for key, value in sorted(tree.items()) if key != "."}
    yield from (text for text, value in below.items() if not value or "." in value)
    for text, value in below.items():
        yield from _texts(value, text)


def element_text(key: str) -> str:
    """One path element as messages show it: `.name`, `[name="a"]`, `[="value"]`."""
    if key.startswith("f:"):
        return f".{key[2:]}"
    value = json.loads(key[2:])
    if key.startswith("k:"):
        return "[" + ",".join(f"{name}={text_of(value[name])}" for name in sorted(value)) + "]"
    return f"[={text_of(value)}]"


def item_key(node: Node, item: Any) -> str:
    """The path element of an item of a set or list-map."""
    if node.keys and isinstance(item, dict):
        return "k:" + text_of({key: node.key_of(item, key) for key in node.keys})
    return "v:" + text_of(item)


def with_named_fields(fields: Iterable[Path], node: Node) -> Set:
    """The set with the struct fields on the way to each member as members, too."""
    result = set(fields)
    for path in fields:
        at: Node | None = node
        for depth, key in enumerate(path):
            if at is None:
                break
            if at.shape == "struct" and key[2:] in at.fields:
                result.add(path[: depth + 1])
            at = at.child(key[2:]) if key.startswith("f:") else at.element
    return frozenset(result)


def of_value(value: Any, node: Node, path: Path = ()) -> Iterator[Path]:
    """Every field that a configuration sets (ToFieldSet)."""
    if isinstance(value, dict) and value and not node.atomic and node.shape != "scalar":
        for key, item in value.items():
            where = (*path, f"f:{key}")
            if node.shape != "struct" or key not in node.fields or item in (None, {}):
                yield where
            yield from of_value(item, node.child(key) or node.element, where)
    elif isinstance(value, list) and node.shape == "list" and not node.atomic:
        for item in value:
            where = (*path, item_key(node, item))
            yield where
            yield from of_value(item, node.element, where)
    else:
        yield path
