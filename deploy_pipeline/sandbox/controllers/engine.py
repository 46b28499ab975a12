"""The engine of the simulated controllers: it reconciles objects when something happened, in between of requests.

Every write tells the engine about its object; objects somebody controls, and objects on their way out, get a turn. A
reconciler looks at the state there is and moves it one step; what it writes itself does not call it again. What has to
happen later (a pod gets ready, a deadline passes) is asked for by returning the seconds until then. All state is in the
store, so a restarted sandbox goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Mapping

from deploy_pipeline.sandbox.errors import ApiError, Json
from deploy_pipeline.sandbox.kinds import DEFINITIONS, Target
from deploy_pipeline.sandbox.objects.deletes import delete
from deploy_pipeline.sandbox.objects.store import Event, Key
from deploy_pipeline.sandbox.objects.writes import Writer, now
from deploy_pipeline.sandbox.request import DeleteOptions, Options


class Cluster:
    """What reconcilers may do."""

    def __init__(self, writer: Writer, rollout_seconds: float) -> None:
        self.writer, self.kinds, self.store = writer, writer.kinds, writer.store
        self.rollout_seconds = rollout_seconds
        self._seen: dict[str, dict[str, float]] = {}

    def since(self, value: Json, what: str = "") -> float:
        """Seconds since a reconciler first asked about this object and topic."""
        moment = time.monotonic()
        return moment - self._seen.setdefault(value["metadata"]["uid"], {}).setdefault(what, moment)

    def forget(self, value: Json) -> None:
        """The object is gone."""
        self._seen.pop(value["metadata"]["uid"], None)

    def dependents(self, owner: Json) -> list[tuple[Key, Json]]:
        """The objects that name this one as an owner."""
        keys = self.store.dependents(owner["metadata"]["uid"])
        return [(key, value) for key in keys if (value := self.store.get(*key)) is not None]

    def owned(self, owner: Json, resource: str) -> list[Json]:
        """The objects of a resource that this object controls."""
        return [value for key, value in self.dependents(owner) if key.resource == resource]

    def create(self, resource: str, owner: Json | None, value: Json) -> Json:
        """Make an object, controlled by `owner`."""
        kind = self.kinds.storage(resource)
        metadata = dict(value["metadata"])
        if owner is not None:
            reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": True}
            reference |= {
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "blockOwnerDeletion": True,
            }
            metadata |= {"namespace": owner["metadata"]["namespace"], "ownerReferences": [reference]}
        body = {"apiVersion": kind.group_version, "kind": kind.kind, **value, "metadata": metadata}
        target = Target(kind, metadata.get("namespace", ""))
        return self.writer.create(target, body, Options("kube-controller-manager"))

    def update(self, resource: str, live: Json, new: Json, *, status: bool = True) -> Json:
        """Write what a controller changed; nothing happens if that is nothing."""
        return self.writer.control(self.kinds.storage(resource), live, new, "status" if status else "")

    def delete(self, resource: str, value: Json, policy: str = "Background") -> None:
        """Delete an object, unless that has begun."""
        metadata = value["metadata"]
        if "deletionTimestamp" not in metadata:
            target = Target(self.kinds.storage(resource), metadata.get("namespace", ""), metadata["name"])
            delete(self.store, target, DeleteOptions(policy))

    def release(self, resource: str, value: Json, finalizer: str) -> None:
        """Take a finalizer off; an object that waits for nothing else goes."""
        metadata = {k: v for k, v in value["metadata"].items() if k != "finalizers"}
        if left := [name for name in value["metadata"].get("finalizers", ()) if name != finalizer]:
            metadata["finalizers"] = left
        full = resource == "namespaces" and value["spec"].get("finalizers")
        if left or full or "deletionTimestamp" not in metadata:
            self.store.put(resource, {**value, "metadata": metadata})
        else:
            self.store.delete(resource, {**value, "metadata": metadata})


Reconciler = Callable[[Cluster, Json], "float | None"]


def condition(before: Json | None, kind: str, status: str, reason: str, message: str) -> Json:
    """A condition whose transition time moves only with its status."""
    same = before is not None and before["status"] == status
    moment = before["lastTransitionTime"] if before and same else now()
    return {"type": kind, "status": status, "lastTransitionTime": moment, "reason": reason, "message": message}


class Engine:
    """Gives objects their turns."""

    def __init__(
        self, cluster: Cluster, reconcilers: Mapping[str, Reconciler], leaving: Callable[[Cluster, str, Json], bool]
    ) -> None:
        self._cluster, self._reconcilers, self._leaving = cluster, reconcilers, leaving
        self._queue: list[tuple[float, int, Key]] = []
        self._due: dict[Key, float] = {}
        self._numbers = itertools.count()
        self._wake = asyncio.Event()
        self._turning: Key | None = None

    async def run(self) -> None:
        """Give everything that is there a first turn, then follow the writes."""
        store = self._cluster.store
        store.listeners.append(self._notice)
        for key in store.contents():
            self._enqueue(key)
        while True:
            self._take_turn(await self._next())
            await asyncio.sleep(0)  # a request may come in between

    def _notice(self, event: Event) -> None:
        if event.type == "DELETED":
            self._cluster.forget(event.object)
        for key in self._concerned(event):
            self._enqueue(key)

    def _concerned(self, event: Event) -> Iterator[Key]:
        """Whom a change concerns: the object, its owners, what it takes along, and what it held back."""
        store, metadata = self._cluster.store, event.object["metadata"]
        gone = event.type == "DELETED"
        itself = Key(event.resource, metadata.get("namespace", ""), metadata["name"])
        reconciled = event.resource in self._reconcilers or metadata.keys() & {"ownerReferences", "deletionTimestamp"}
        if reconciled and not gone and itself != self._turning:
            yield itself
        for owner in metadata.get("ownerReferences", ()):
            key = store.by_uid(owner["uid"])
            if key and (gone or key != self._turning):
                yield key
        if gone or "deletionTimestamp" in metadata:
            yield from store.dependents(metadata["uid"])
        if gone:
            yield Key("namespaces", "", metadata.get("namespace", ""))
            yield Key(DEFINITIONS, "", event.resource)

    def _enqueue(self, key: Key, delay: float = 0.0) -> None:
        due = time.monotonic() + delay
        if due < self._due.get(key, due + 1):
            self._due[key] = due
            heapq.heappush(self._queue, (due, next(self._numbers), key))
            self._wake.set()

    async def _next(self) -> Key:
        while True:
            wait = self._queue[0][0] - time.monotonic() if self._queue else None
            if wait is None or wait > 0:
                self._wake.clear()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), wait)
                continue
            due, _, key = heapq.heappop(self._queue)
            if self._due.get(key) == due:
                del self._due[key]
                return key

    def _take_turn(self, key: Key) -> None:
        delay, self._turning = None, key
        try:
            delay = self._turn(key)
        except ApiError:  # the namespace is going, or the name is taken: what changes that gives a new turn
            return
        except Exception as error:  # noqa: BLE001 - one object must not stop all controllers
            print(f"sandbox controller failed on {key}: {error!r}", file=sys.stderr)
        finally:
            self._turning = None
        if delay is not None:
            self._enqueue(key, max(delay, 0.01))

    def _turn(self, key: Key) -> float | None:
        value = self._cluster.store.get(*key)
        if value is None:
            return None
        done = self._leaving(self._cluster, key.resource, value)
        if self._cluster.store.get(*key) is not value:
            return 0.0  # the rest is for what it is now
        if done:
            return None
        reconcile = self._reconcilers.get(key.resource)
        return reconcile(self._cluster, value) if reconcile else None
