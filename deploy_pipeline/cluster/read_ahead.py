"""Live objects read ahead for one plan: one LIST where a GET for each object would ask for many of a kind.

What a list showed is where a comparison begins, and it is no older than a few seconds then. Whoever tries a change to
it names its resource version to the server, and reads the object itself when that has moved on. An account that may not
list is no worse off than one that may: its objects are read one by one.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy_pipeline.cluster.cluster import Cluster
from deploy_pipeline.cluster.inventory import Inventory
from deploy_pipeline.cluster.labelled import Kind
from deploy_pipeline.cluster.objects import CHANNEL_LABEL, Manifest, ObjectRef

_WORTH_A_LIST = 4
_FRESH = 3.0  # seconds
_Place = tuple[str, str, str]


@dataclass
class _Listed:
    """The objects of one kind in one namespace, once they were listed."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    objects: dict[ObjectRef, Manifest] = field(default_factory=dict)
    until: float = 0.0


class ReadAhead:
    """What the objects of some apps of a channel were a moment ago; ``owned`` are the inventories of these apps."""

    def __init__(self, cluster: Cluster, channel: str, owned: Iterable[Inventory]) -> None:
        self._cluster = cluster
        self._selector = f"{CHANNEL_LABEL}={channel}"
        members = (member.ref for inventory in owned if not inventory.helm_release for member in inventory.members)
        self._expected = Counter(map(_place, members))
        self._lock = threading.Lock()
        self._listed: dict[_Place, _Listed] = {}
        self._namespaces: set[str] = set()

    def take(self, manifest: Mapping[str, Any]) -> Manifest | None:
        """The live object as a list showed it, once: who asks again wants it as it is then. None says nothing."""
        ref = ObjectRef.of(manifest)
        place = _place(ref)
        if self._expected[place] < _WORTH_A_LIST or not self._cluster.objects.serves(manifest):
            return None
        with self._lock:
            listed = self._listed.setdefault(place, _Listed())
        with listed.lock:
            if time.monotonic() > listed.until:
                listed.until = time.monotonic() + _FRESH
                listed.objects = self._list(manifest)
            found = listed.objects.pop(ref, None)
        return found if found and found["apiVersion"] == manifest["apiVersion"] else None

    def has_namespace(self, name: str) -> bool:
        """Whether the cluster has a namespace. One that is there is asked for once; another may come any time."""
        if name not in self._namespaces:
            stub = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            if self._cluster.objects.live(stub) is None:
                return False
            self._namespaces.add(name)
        return True

    def _list(self, manifest: Mapping[str, Any]) -> dict[ObjectRef, Manifest]:
        path = self._cluster.resources.of(manifest).collection(manifest["metadata"].get("namespace") or "default")
        kind = Kind(manifest["apiVersion"], manifest["kind"], path)
        return {ObjectRef.of(live): live for live in self._cluster.labelled.of_kind(kind, self._selector).objects}


def _place(ref: ObjectRef) -> _Place:
    return ref.group, ref.kind, ref.namespace
