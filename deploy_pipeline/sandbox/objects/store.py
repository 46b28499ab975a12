"""Where objects live: in memory for reading, in SQLite so that nothing acknowledged is lost.

One thread writes, that of requests and controllers. Stored objects are never changed in place, so the threads of
watches see an object before or after a write, never in between. Every write gets the next resourceVersion and stands in
the history of its resource, from which watches are served. `PRAGMA locking_mode=EXCLUSIVE` keeps a second process out
for as long as this one lives.
"""

from __future__ import annotations

import bisect
import json
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from deploy_pipeline.sandbox.errors import Json, SandboxError, refusal, to_json
from deploy_pipeline.sandbox.kinds import Target

HISTORY = 4096  # events kept for each resource; a watch from before them has to list again
TABLE = """
CREATE TABLE IF NOT EXISTS objects (
    resource TEXT, namespace TEXT, name TEXT, body TEXT, PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
"""
SAVE = "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)"
REVISION = ("", "", "revision")  # the row that keeps the number of the last removal


class Key(NamedTuple):
    """Identity of an object."""

    resource: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Event:
    """One change; `before` lets a watch with a selector tell what entered and left it."""

    revision: int
    type: str  # ADDED, MODIFIED or DELETED
    resource: str
    object: Json
    before: Json | None


@dataclass
class _Collection:
    """The objects of one resource by namespace and name, and what happened to them lately."""

    since: int
    objects: dict[str, dict[str, Json]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


class Store:
    """All objects, and the counter behind resourceVersion."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.changed = threading.Condition()
        self.listeners: list[Callable[[Event], None]] = []
        self._owned: dict[str, set[Key]] = defaultdict(set)
        self._uids: dict[str, Key] = {}
        self._collections: dict[str, _Collection] = {}
        self._database = _open(folder / "objects.sqlite")
        rows = {Key(*key): json.loads(body) for *key, body in self._database.execute("SELECT * FROM objects")}
        numbers = [rows.pop(Key(*REVISION), 0), *(value["metadata"]["resourceVersion"] for value in rows.values())]
        self.revision = max(map(int, numbers))
        self._epoch = self.revision  # history is not kept across a restart
        for key, value in rows.items():
            self._place(key, value)

    def close(self) -> None:
        """Give the directory free."""
        self._database.close()

    # Reading

    def get(self, resource: str, namespace: str, name: str) -> Json | None:
        """One object."""
        found = self._collections.get(resource)
        return found.objects.get(namespace, {}).get(name) if found else None

    def live(self, target: Target) -> Json:
        """The object that a request is about."""
        found = self.get(target.resource.key, target.namespace, target.name)
        if found is None:
            raise refusal("NotFound", target.resource, target.name)
        return target.resource.at_version(found)

    def objects(self, resource: str, namespace: str = "") -> list[Json]:
        """All objects of a resource, or those of a namespace, in the order of their keys."""
        found = self._collections.get(resource)
        if not found:
            return []
        folders = [found.objects.get(space, {}) for space in ([namespace] if namespace else sorted(found.objects))]
        return [value for folder in folders for _, value in sorted(folder.copy().items())]

    def by_uid(self, uid: str) -> Key | None:
        """Which object has this uid."""
        return self._uids.get(uid)

    def dependents(self, uid: str) -> list[Key]:
        """The objects that name this uid as an owner."""
        return sorted(self._owned.get(uid, ()))

    def contents(self, namespace: str | None = None) -> list[Key]:
        """Every object in a namespace, or at all."""
        return [
            Key(resource, space, name)
            for resource, collection in sorted(self._collections.items())
            for space in ([namespace] if namespace is not None else sorted(collection.objects))
            for name in sorted(collection.objects.get(space, ()))
        ]

    def events(self, resource: str, after: int) -> list[Event] | None:
        """What happened after a revision; None if that is no longer known."""
        found = self._collections.get(resource) or _Collection(self._epoch)
        if after < found.since:
            return None
        return found.events[bisect.bisect_right(found.events, after, key=lambda event: event.revision) :]

    # Writing

    def begin_history(self, resource: str) -> None:
        """Make a new resource known; its history starts now."""
        self._collections.setdefault(resource, _Collection(self.revision))

    def put(self, resource: str, value: Json) -> Json:
        """Create or replace an object; answers it with its new resourceVersion."""
        stored, key = self._numbered(resource, value)
        self.revision += 1
        self._database.execute(SAVE, (*key, to_json(stored)))
        before = self._place(key, stored)
        self._tell("MODIFIED" if before else "ADDED", resource, stored, before)
        return stored

    def delete(self, resource: str, value: Json) -> Json:
        """Remove an object; answers its last state with the resourceVersion of the removal."""
        last, key = self._numbered(resource, value)
        self.revision += 1  # kept first: killed in between, a number is lost, which harms nobody
        self._database.execute(SAVE, (*REVISION, self.revision))
        self._database.execute("DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?", key)
        before = self._collections[resource].objects[key.namespace].pop(key.name)
        self._unlink(key, before)
        self._tell("DELETED", resource, last, before)
        return last

    def _numbered(self, resource: str, value: Json) -> tuple[Json, Key]:
        metadata = {**value["metadata"], "resourceVersion": str(self.revision + 1)}
        return {**value, "metadata": metadata}, Key(resource, metadata.get("namespace", ""), metadata["name"])

    def _place(self, key: Key, value: Json) -> Json | None:
        collection = self._collections.setdefault(key.resource, _Collection(self._epoch))
        folder = collection.objects.setdefault(key.namespace, {})
        before = folder.get(key.name)
        if before is not None:
            self._unlink(key, before)
        folder[key.name] = value
        self._uids[value["metadata"]["uid"]] = key
        for owner in value["metadata"].get("ownerReferences", ()):
            self._owned[owner["uid"]].add(key)
        return before

    def _unlink(self, key: Key, value: Json) -> None:
        self._uids.pop(value["metadata"]["uid"], None)
        for owner in value["metadata"].get("ownerReferences", ()):
            self._owned[owner["uid"]].discard(key)

    def _tell(self, kind: str, resource: str, value: Json, before: Json | None) -> None:
        event, collection = Event(self.revision, kind, resource, value, before), self._collections[resource]
        if len(collection.events) >= HISTORY:
            collection.since = collection.events[HISTORY // 4 - 1].revision
            collection.events = collection.events[HISTORY // 4 :]
        collection.events.append(event)
        with self.changed:
            self.changed.notify_all()
        for listener in self.listeners:
            listener(event)


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        database.execute("PRAGMA journal_mode=WAL")
        # A killed process loses nothing that it wrote; only a power cut could take the last writes.
        database.execute("PRAGMA synchronous=OFF")
        database.executescript(f"BEGIN EXCLUSIVE;{TABLE}COMMIT;")
    except sqlite3.OperationalError as error:
        database.close()
        if "locked" not in str(error):
            raise
        message = f"{path.parent} is in use by another sandbox cluster: stop that one or use another directory"
        raise SandboxError(message) from error
    return database
