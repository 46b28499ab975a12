"""Finding objects by their labels, whatever their kind: one LIST for each kind that the cluster serves.

What cannot be looked at is named rather than failed for: an account may be kept from some kinds, and an aggregated API
may be down, without any harm to what the deployer is there for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

from deploy_pipeline.cluster.connection import Connection
from deploy_pipeline.cluster.objects import Manifest
from deploy_pipeline.errors import ClusterUnreachable

_THREADS = 16
_PAGE = "500"
# Measurements are no objects, and events are about them. Endpoints get the labels of their Service from a controller
# that does not say that it owns them.
_SKIPPED_GROUPS = frozenset(("metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io"))
_SKIPPED_KINDS = frozenset((("", "Event"), ("events.k8s.io", "Event"), ("", "Endpoints")))


@dataclass(frozen=True)
class Found:
    """Objects with ``apiVersion`` and ``kind``, and the kinds that were not looked at, each with the reason."""

    objects: tuple[Manifest, ...] = field(repr=False)
    unseen: tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """A kind, and the path where its objects are listed."""

    api_version: str
    kind: str
    path: str

    def __str__(self) -> str:
        group = self.api_version.rpartition("/")[0]
        return f"{self.kind}.{group}" if group else self.kind


class Labelled:
    """Searches one cluster by label. What the cluster serves is asked for once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, selector: str) -> Found:
        """Every object that a label selector matches, but those that a controller made from another object.

        Such objects often inherit the labels of what they were made from.
        """
        kinds, unseen = self._kinds
        with ThreadPoolExecutor(_THREADS) as pool:
            listed = tuple(pool.map(lambda kind: self.of_kind(kind, selector), kinds))
        objects = [item for found in listed for item in found.objects if not _is_controlled(item)]
        return Found(tuple(objects), (*unseen, *(line for found in listed for line in found.unseen)))

    def of_kind(self, kind: Kind, selector: str) -> Found:
        """Every object of one kind that a label selector matches, in pages."""
        query = {"labelSelector": selector, "limit": _PAGE}
        objects: list[Manifest] = []
        while True:
            page, problem = self._ask(kind.path, query)
            if problem:
                return Found((), (f"{kind} ({problem})",))
            # The elements of a list do not say what they are.
            items = page.get("items") or ()
            objects += [{**item, "apiVersion": kind.api_version, "kind": kind.kind} for item in items]
            more = (page.get("metadata") or {}).get("continue")
            if not more:
                return Found(tuple(objects), ())
            query = {**query, "continue": more}

    @cached_property
    def _kinds(self) -> tuple[tuple[Kind, ...], tuple[str, ...]]:
        """Every kind that can be listed, once, and the group versions that did not say."""
        versions, unseen = self._versions()
        kinds: dict[tuple[str, str], Kind] = {}
        with ThreadPoolExecutor(_THREADS) as pool:
            answers = list(pool.map(self._ask, versions.values()))
        for (api_version, path), (served, problem) in zip(versions.items(), answers, strict=True):
            unseen += (f"{api_version} ({problem})",) if problem else ()
            for kind in _listable(api_version, path, served):
                kinds.setdefault((api_version.rpartition("/")[0], kind.kind), kind)
        return tuple(kind for key, kind in kinds.items() if key not in _SKIPPED_KINDS), unseen

    def _versions(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """The path of every group version, the preferred one of a group first."""
        (core, one), (named, other) = self._ask("/api"), self._ask("/apis")
        if one or other:
            return {}, (f"any kind ({one or other})",)
        found = {version: f"/api/{quote(version, safe='')}" for version in core.get("versions") or ()}
        for group in named.get("groups") or ():
            if group["name"] not in _SKIPPED_GROUPS:
                found |= {version: f"/apis/{quote(version)}" for version in _by_preference(group)}
        return found, ()

    def _ask(self, path: str, query: Mapping[str, str] | None = None) -> tuple[Mapping[str, Any], str]:
        """The body of the answer, or why there is none."""
        try:
            answer = self._connection.get(path, query)
        except ClusterUnreachable:
            return {}, "no answer"
        return (answer.body, "") if answer.ok else ({}, answer.reason)


def _by_preference(group: Mapping[str, Any]) -> Iterable[str]:
    preferred = (group.get("preferredVersion") or {}).get("groupVersion")
    versions = [version["groupVersion"] for version in group.get("versions") or ()]
    return sorted(versions, key=lambda version: version != preferred)


def _listable(api_version: str, path: str, served: Mapping[str, Any]) -> Iterator[Kind]:
    for entry in served.get("resources") or ():
        if "/" not in entry["name"] and "list" in (entry.get("verbs") or ()):
            yield Kind(api_version, entry["kind"], f"{path}/{quote(entry['name'], safe='')}")


def _is_controlled(item: Manifest) -> bool:
    return any(owner.get("controller") for owner in item["metadata"].get("ownerReferences") or ())
