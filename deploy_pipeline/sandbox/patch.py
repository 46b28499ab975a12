"""The three patches of clients: JSON patch, JSON merge patch and strategic merge patch.

RFC 6902, RFC 7386, and "strategic-merge-patch.md" of the Kubernetes contributor guide, whose list
order rules come from apimachinery's `strategicpatch`. Inputs are never changed in place.
"""

from __future__ import annotations

import copy
from typing import Any

from deploy_pipeline.sandbox.errors import ApiError, Json, bad_request
from deploy_pipeline.sandbox.merge import go_type
from deploy_pipeline.sandbox.schema import ANYTHING, Node

ORDER, DELETE_PRIMITIVES = "$setElementOrder/", "$deleteFromPrimitiveList/"


def json_patch(value: Json, operations: Any) -> Any:
    """RFC 6902; any operation that does not fit refuses the whole patch."""
    if not isinstance(operations, list):
        kind = {"map[string]interface {}": "object"}.get(go_type(operations), "value")
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {kind} into Go value of type []handlers.jsonPatchOp"
        )
    document: Any = copy.deepcopy(value)
    try:
        for operation in operations:
            document = _operate(document, operation)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        message = "the server rejected our request due to an error in our request"
        raise ApiError(422, "Invalid", message, {}) from error
    return document


def _steps(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise ValueError(pointer)
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _at(document: Any, steps: list[str]) -> Any:
    for step in steps:
        document = document[int(step) if isinstance(document, list) else step]
    return document


def _operate(document: Any, operation: Json) -> Any:
    name, steps = operation["op"], _steps(operation["path"])
    if name == "test":
        if _at(document, steps) != operation["value"]:
            raise ValueError("test failed")
        return document
    if name in ("move", "copy"):
        source = _steps(operation["from"])
        value = copy.deepcopy(_at(document, source))
        document = _remove(document, source) if name == "move" else document
        return _add(document, steps, value)
    if name == "remove":
        return _remove(document, steps)
    if name == "replace":
        _at(document, steps)
        if steps and not isinstance(_at(document, steps[:-1]), list):
            return _add(document, steps, operation["value"])
        return _add(_remove(document, steps), steps, operation["value"])
    if name == "add":
        return _add(document, steps, operation["value"])
    raise ValueError(f"unknown operation {name}")


def _add(document: Any, steps: list[str], value: Any) -> Any:
    if not steps:
        return value
    parent, last = _at(document, steps[:-1]), steps[-1]
    if isinstance(parent, list):
        index = len(parent) if last == "-" else int(last)
        if not 0 <= index <= len(parent):
            raise IndexError(last)
        parent.insert(index, value)
    else:
        parent[last] = value
    return document


def _remove(document: Any, steps: list[str]) -> Any:
    if not steps:
        return None
    parent, last = _at(document, steps[:-1]), steps[-1]
    del parent[int(last) if isinstance(parent, list) else last]
    return document


def merge_patch(value: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for key, item in patch.items():
        if item is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), item)
    return result


def strategic(value: Json, patch: Json, node: Node) -> Json:
    """Merge lists by their merge keys and obey the patch's directives."""
    if patch.get("$patch") == "replace":
        return {key: item for key, item in patch.items() if key != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    result = dict(value)
    if "$retainKeys" in patch:
        result = {key: item for key, item in result.items() if key in patch["$retainKeys"]}
    orders = {key[len(ORDER) :]: item for key, item in patch.items() if key.startswith(ORDER)}
    for key, item in patch.items():
        child = node.child(key) or ANYTHING
        if key.startswith(DELETE_PRIMITIVES):
            name = key[len(DELETE_PRIMITIVES) :]
            result[name] = [old for old in result.get(name) or [] if old not in item]
        elif key.startswith("$"):
            continue
        elif item is None:
            result.pop(key, None)
        elif isinstance(item, dict):
            old = result.get(key)
            result[key] = strategic(old if isinstance(old, dict) else {}, item, child)
        elif isinstance(item, list) and "merge" in child.patch_strategies:
            result[key] = _merge_list(result.get(key) or [], item, child)
        else:
            result[key] = item
    for key, order in orders.items():
        if key in result:
            key_name = (node.child(key) or ANYTHING).patch_key
            result[key] = _ordered(result[key], order, value.get(key) or [], key_name)
    return result


def _identity(item: Any, key: str) -> Any:
    return item.get(key) if key and isinstance(item, dict) else item


def _merge_list(old: list[Any], patch: list[Any], node: Node) -> list[Any]:
    key = node.patch_key
    if not key:
        added = [item for item in dict.fromkeys(patch) if item not in old]
        return _ordered(old + added, patch, old, key)
    if any("$patch" not in item and key not in item for item in patch):
        raise bad_request(f"map: {patch} does not contain declared merge key: {key}")
    if any(item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if "$patch" not in item]
    gone = [item[key] for item in patch if item.get("$patch") == "delete"]
    patch = [item for item in patch if "$patch" not in item]
    merged = [item for item in old if item.get(key) not in gone]
    for item in patch:
        at = next((i for i, other in enumerate(merged) if other.get(key) == item[key]), None)
        if at is None:
            merged.append(strategic({}, item, node.element))
        else:
            merged[at] = strategic(merged[at], item, node.element)
    return _ordered(merged, patch, old, key)


def _ordered(merged: list[Any], order: list[Any], old: list[Any], key: str) -> list[Any]:
    """Items the patch names in its order, the server's own ones placed as they were among them."""
    wanted = [_identity(item, key) for item in order]
    before = [_identity(item, key) for item in old]
    named = [item for item in merged if _identity(item, key) in wanted]
    named.sort(key=lambda item: wanted.index(_identity(item, key)))
    own = [item for item in merged if _identity(item, key) not in wanted]
    result = []
    while own and named:
        mine, theirs = _identity(own[0], key), _identity(named[0], key)
        first = mine in before and theirs in before and before.index(mine) < before.index(theirs)
        result.append((own if first else named).pop(0))
    return result + own + named
