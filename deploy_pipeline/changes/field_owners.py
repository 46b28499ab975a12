"""Who set a field of a live object, and when, by the path under which a change set shows the field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deploy_pipeline.changes.compare import element_path, join_path, labels
from deploy_pipeline.cluster.managed_fields import Entry, child, entries, is_member


class FieldOwners:
    """The owners of the fields of one live object."""

    def __init__(self, live: Mapping[str, Any]) -> None:
        self._owned = [(entry, dict(_paths(live, entry.fields, ""))) for entry in entries(live)]

    def of(self, path: str) -> tuple[Entry, ...]:
        """Who owns the field, or the whole it is part of; the latest writer first. Nobody owns a field that is gone."""
        found = [entry for entry, paths in self._owned if path in paths]
        for whole in _ancestors(path):
            found = found or [entry for entry, paths in self._owned if paths.get(whole)]
        return tuple(sorted(found, key=lambda entry: entry.time, reverse=True))


def _paths(value: Any, fields: Mapping[str, Any], path: str) -> Iterator[tuple[str, bool]]:
    """The shown path of each member that is there, and whether it is owned as a whole."""
    names = labels(value) if isinstance(value, list) else ()
    for element, node in fields.items():
        at = child(value, element) if element != "." else None
        if at is None:
            continue
        below = element_path(path, names[at]) if names else join_path(path, at)
        if is_member(node):
            yield below, not node
        if node and isinstance(value[at], (dict, list)):
            yield from _paths(value[at], node, below)


def _ancestors(path: str) -> Iterator[str]:
    """The paths above a path, the nearest first."""
    position = len(path)
    while position > 0:
        position = max(path.rfind(".", 0, position), path.rfind("[", 0, position))
        if position > 0:
            yield path[:position]
