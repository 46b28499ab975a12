"""Live objects that many wait for at the same time: one LIST where each would send a GET, again and again."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field

from deploy_pipeline.cluster.cluster import Cluster
from deploy_pipeline.cluster.labelled import Kind
from deploy_pipeline.cluster.objects import CHANNEL_LABEL, Manifest, ObjectRef

_WORTH_A_LIST = 4  # objects
_SHARE = 10  # a list may show this many times the objects that were asked for
_AFTER_REFUSAL = 10.0  # seconds


@dataclass
class _Collection:
    """The objects of one kind in one namespace when they were listed last, and which were asked for since."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    began: float = -math.inf  # by time.monotonic, which may count from when the machine started
    objects: dict[ObjectRef, Manifest] = field(default_factory=dict)
    asked: set[ObjectRef] = field(default_factory=set)
    not_before: float = -math.inf

    @property
    def is_worth_a_list(self) -> bool:
        """Whether enough objects are asked for, and a list was not refused a moment ago."""
        return len(self.asked) >= max(_WORTH_A_LIST, len(self.objects) // _SHARE) and time.monotonic() > self.not_before


class RecentReads:
    """The objects of a channel as they were a moment ago, for threads that wait for one each."""

    def __init__(self, cluster: Cluster, channel: str) -> None:
        self._cluster = cluster
        self._selector = f"{CHANNEL_LABEL}={channel}"
        self._lock = threading.Lock()
        self._collections: dict[str, _Collection] = {}
        self._unlisted: set[ObjectRef] = set()

    def live(self, manifest: Manifest, *, since: float, max_age: float) -> Manifest | None:
        """The live object, read after ``since`` (a time.monotonic), and at most ``max_age`` seconds before this call.

        None if there is none. Whoever wrote the object names the end of the write: what was asked for before may show
        what was before.
        """
        ref, oldest = ObjectRef.of(manifest), max(since, time.monotonic() - max_age)
        if ref in self._unlisted or not self._cluster.objects.serves(manifest):
            return self._cluster.objects.live(manifest)
        path = self._cluster.resources.of(manifest).collection(ref.namespace or "default")
        with self._lock:
            collection = self._collections.setdefault(path, _Collection())
        with collection.lock:  # who waits here for a list gets what it shows
            collection.asked.add(ref)
            if collection.began < oldest and collection.is_worth_a_list:
                self._list(collection, Kind(manifest["apiVersion"], manifest["kind"], path))
            listed = collection.began >= oldest
            found = collection.objects.get(ref) if listed else None
        if listed and found is None:  # gone, or without the label
            self._unlisted.add(ref)
        return found or self._cluster.objects.live(manifest)

    def _list(self, collection: _Collection, kind: Kind) -> None:
        began, answer = time.monotonic(), self._cluster.labelled.of_kind(kind, self._selector)
        if answer.unseen:
            collection.not_before = time.monotonic() + _AFTER_REFUSAL
            return
        collection.began, collection.asked = began, set()
        collection.objects = {ObjectRef.of(live): live for live in answer.objects}
