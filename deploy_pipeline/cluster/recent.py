"""Live objects that many wait for at the same time: one LIST where each would send a GET, again and again."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from deploy_pipeline.cluster.cluster import Cluster
from deploy_pipeline.cluster.labelled import Kind
from deploy_pipeline.cluster.objects import CHANNEL_LABEL, Manifest, ObjectRef

_WORTH_A_LIST = 4


@dataclass
class _Collection:
    """The objects of one kind in one namespace when they were listed last, and which were asked for since."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    began: float = 0.0
    objects: dict[ObjectRef, Manifest] = field(default_factory=dict)
    asked: set[ObjectRef] = field(default_factory=set)


class RecentReads:
    """The objects of a channel as they were a moment ago, for threads that wait for one each."""

    def __init__(self, cluster: Cluster, channel: str) -> None:
        self._cluster = cluster
        self._selector = f"{CHANNEL_LABEL}={channel}"
        self._lock = threading.Lock()
        self._collections: dict[str, _Collection] = {}
        self._unlisted: set[ObjectRef] = set()

    def live(self, manifest: Manifest, *, since: float, max_age: float) -> Manifest | None:
        """The live object, read after ``since`` (a time.monotonic) and at most ``max_age`` seconds ago; None if gone.

        Whoever wrote the object names the end of the write: what was asked for before may show what was before.
        """
        ref = ObjectRef.of(manifest)
        if ref in self._unlisted or not self._cluster.objects.serves(manifest):
            return self._cluster.objects.live(manifest)
        path = self._cluster.resources.of(manifest).collection(ref.namespace or "default")
        with self._lock:
            collection = self._collections.setdefault(path, _Collection())
        with collection.lock:
            collection.asked.add(ref)
            old = collection.began < max(since, time.monotonic() - max_age)
            if old and len(collection.asked) >= _WORTH_A_LIST:
                self._list(collection, Kind(manifest["apiVersion"], manifest["kind"], path))
                old = False
            found = None if old else collection.objects.get(ref)
        if found is None and not old:  # gone, without the label, or not to be listed by this account
            self._unlisted.add(ref)
        return found or self._cluster.objects.live(manifest)

    def _list(self, collection: _Collection, kind: Kind) -> None:
        collection.began, collection.asked = time.monotonic(), set()
        listed = self._cluster.labelled.of_kind(kind, self._selector).objects
        collection.objects = {ObjectRef.of(live): live for live in listed}
