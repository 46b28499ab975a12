"""The three patches of clients: JSON patch, JSON merge patch and strategic merge patch.

RFC 6902, RFC 7386, and "strategic-merge-patch.md" of the Kubernetes contributor guide, whose list
order rules come from apimachinery's `strategicpatch`. Inputs are never changed in place.
"""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from deploy_pipeline.sandbox.errors import ApiError, Json, bad_request
from deploy_pipeline.sandbox.schema import ANYTHING, Node
from deploy_pipeline.sandbox.typed.body import read_json

ORDER, DELETE_PRIMITIVES = "$setElementOrder/", "$deleteFromPrimitiveList/"


def patched(live: Json, body: bytes, media_type: str, node: Node) -> tuple[Any, Json]:
    """The patch as it was sent, and what it makes of an object."""
    try:
        patch, _ = read_json(body)
    except ValueError as error:
        raise bad_request(f"error decoding patch: {error}") from error
    if media_type.startswith("application/json-patch"):
        document = json_patch(live, patch)
    elif not isinstance(patch, dict):
        raise bad_request("error decoding patch: expected an object")
    else:
        document = merge_patch(live, patch) if "/merge" in media_type else strategic(live, patch, node)
    if not isinstance(document, dict):
        raise bad_request("the patched document is no object")
    return patch, document


def json_patch(value: Json, operations: Any) -> Any:
    """RFC 6902; any operation that does not fit refuses the whole patch."""
    if not isinstance(operations, list):
        kind = "object" if isinstance(operations, dict) else "value"
        text = f"json: cannot unmarshal {kind} into Go value of type []handlers.jsonPatchOp"
        raise bad_request(f"error decoding patch: {text}")
    try:
        return jsonpatch.apply_patch(value, operations)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError) as error:
        raise ApiError(422, "Invalid", "the server rejected our request due to an error in our request", {}) from error


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
