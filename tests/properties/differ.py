"""What became of a cluster between two full dumps, computed by the tests themselves.

The change set of the deployer is held to this. It works on JSON texts, so that 1 and true are two values, and treats
all kinds alike. The names of fields are those of the change set: ``spec.ports[http].port``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.properties.cluster_view import Json

Text = str | None
Fields = dict[str, tuple[Text, Text]]

# The server's own bookkeeping. That an object was made anew, with another uid, is told apart.
_NOISE = frozenset(("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"))


@dataclass(frozen=True)
class Difference:
    """What happened to an object (``create``, ``update``, ``recreate``, ``prune``), and its fields before and after."""

    operation: str
    fields: Fields


def difference(before: Json | None, after: Json | None) -> Difference | None:
    """What happened to an object, or None if nothing did."""
    if before is None or after is None:
        gone = Difference("prune", {})
        return (gone if before else None) if after is None else Difference("create", fields_between(None, after))
    fields = fields_between(before, after)
    if before["metadata"]["uid"] != after["metadata"]["uid"]:
        return Difference("recreate", fields)
    return Difference("update", fields) if fields else None


def fields_between(before: Json | None, after: Json | None) -> Fields:
    """Each field that differs, with the canonical JSON text of its value before and after; None where it is absent."""
    if before is None:
        return {path: (None, text) for path, text in _leaves("", _asked_for(after or {}))}
    return dict(_between("", _asked_for(before), _asked_for(after or {})))


def _asked_for(item: Json) -> Json:
    """The object without status and the server's bookkeeping; no labels at all are the same as empty ones."""
    metadata = {name: value for name, value in item["metadata"].items() if name not in _NOISE and value != {}}
    return {**{name: value for name, value in item.items() if name != "status"}, "metadata": metadata}


def _between(path: str, old: Any, new: Any) -> Iterator[tuple[str, tuple[Text, Text]]]:
    if text(old) == text(new):
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted(old.keys() | new.keys()):
            yield from _one_of_two(_inner(path, name), name, old, new)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _between_lists(path, old, new)
    else:
        before, after = dict(_leaves(path, old)), dict(_leaves(path, new))
        _drop_filled(path, before, after)
        _drop_filled(path, after, before)
        for inner in sorted(before.keys() | after.keys()):
            yield inner, (before.get(inner), after.get(inner))


def _drop_filled(path: str, leaves: dict[str, str], other: Mapping[str, str]) -> None:
    """Leave out that a container is empty where the other side shows what it holds there."""
    if leaves.get(path) in ("{}", "[]") and path not in other:
        del leaves[path]


def _one_of_two(
    path: str, name: Any, old: Mapping[Any, Any], new: Mapping[Any, Any]
) -> Iterator[tuple[str, tuple[Text, Text]]]:
    """A member that both may have: changed, or there on one side only."""
    if name in old and name in new:
        yield from _between(path, old[name], new[name])
    elif name in old:
        yield from ((inner, (value, None)) for inner, value in _leaves(path, old[name]))
    else:
        yield from ((inner, (None, value)) for inner, value in _leaves(path, new[name]))


def _between_lists(path: str, old: list[Any], new: list[Any]) -> Iterator[tuple[str, tuple[Text, Text]]]:
    before, after = _by_label(old), _by_label(new)
    for label in dict.fromkeys((*before, *after)):
        yield from _one_of_two(_element(path, label), label, before, after)
    if old and new and _named(old) and _named(new):
        stayed = [name for name in before if name in after]
        came = sorted(name for name in after if name not in before)
        if list(after) != stayed + came:  # they do not lie as coming and going would have it
            yield f"{path}[order]", (text(list(before)), text(list(after)))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(_inner(path, name), inner)
    elif isinstance(value, list) and value:
        for label, inner in _by_label(value).items():
            yield from _leaves(_element(path, label), inner)
    else:
        yield path, text(value)


def _by_label(items: list[Any]) -> dict[Any, Any]:
    return {item["name"]: item for item in items} if _named(items) else {str(i): item for i, item in enumerate(items)}


def _named(items: list[Any]) -> bool:
    """Whether the elements go by names of their own, as containers and ports do."""
    names = [item.get("name") for item in items if isinstance(item, Mapping)]
    return len(names) == len(items) and all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _inner(path: str, name: str) -> str:
    plain = name.replace("-", "").replace("_", "").isalnum()
    return f"{path}[{text(name)}]" if not plain else f"{path}.{name}" if path else name


def _element(path: str, label: str) -> str:
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_./:-]*", label)
    return f"{path}[{label}]" if plain else f"{path}[name={text(label)}]"


def text(value: Any) -> str:
    """The one JSON text of a value."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
