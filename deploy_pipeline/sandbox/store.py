"""Where objects live: in memory for reading, in SQLite so that nothing acknowledged is lost.

Stored objects are never changed in place, so readers need no lock: they see an object before or after
a write, never in between. Writers take `lock` for their whole read-modify-write. Every write gets the
next resourceVersion and stands in the history of its resource, from which watches are served.
`PRAGMA locking_mode=EXCLUSIVE` keeps a second process out for as long as this one lives.
"""

from __future__ import annotations

import bisect
import json
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy_pipeline.sandbox.errors import Json, SandboxError

HISTORY = 4096  # events kept for each resource; a watch from before them has to list again
TABLES = """
CREATE TABLE IF NOT EXISTS objects (
    resource TEXT, namespace TEXT, name TEXT, body TEXT, PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revision (id INTEGER PRIMARY KEY CHECK (id = 0), value INTEGER);
INSERT OR IGNORE INTO revision VALUES (0, 0);
"""


@dataclass(frozen=True)
class Event:
    """One change; `before` lets a watch with a selector tell what entered and left it."""

    revision: int
    type: str  # ADDED, MODIFIED or DELETED
    resource: str
    object: Json
    before: Json | None


@dataclass(frozen=True)
class Key:
    """Identity of an object."""

    resource: str
    namespace: str
    name: str


class _Collection:
    """The objects of one resource, and what happened to them lately."""

    def __init__(self, since: int) -> None:
        self.objects: dict[str, dict[str, Json]] = {}
        self.since = since
        self.events: list[Event] = []

    def record(self, event: Event) -> None:
        if len(self.events) >= HISTORY:
            self.since = self.events[HISTORY // 4 - 1].revision
            self.events = self.events[HISTORY // 4 :]
        self.events.append(event)


class Store:
    """All objects, and the counter behind resourceVersion."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self.changed = threading.Condition()
        self.listeners: list[Callable[[Event], None]] = []
        self._owned: dict[str, set[Key]] = {}
        self._uids: dict[str, Key] = {}
        self._collections: dict[str, _Collection] = {}
        self._database = _open(folder / "objects.sqlite")
        (self.revision,) = self._database.execute("SELECT value FROM revision").fetchone()
        self._epoch = self.revision  # history is not kept across a restart
        for resource, namespace, name, body in self._database.execute("SELECT * FROM objects"):
            self._place(Key(resource, namespace, name), json.loads(body))

    def close(self) -> None:
        """Give the directory free."""
        with self.lock:
            self._database.close()

    # Reading

    def get(self, resource: str, namespace: str, name: str) -> Json | None:
        """One object."""
        found = self._collections.get(resource)
        return found.objects.get(namespace, {}).get(name) if found else None

    def objects(self, resource: str, namespace: str = "") -> list[Json]:
        """All objects of a resource, or those of a namespace, in the order of their keys."""
        found = self._collections.get(resource)
        if not found:
            return []
        spaces = [namespace] if namespace else sorted(found.objects)
        folders = [dict(found.objects.get(space, {})) for space in spaces]
        return [folder[name] for folder in folders for name in sorted(folder)]

    def find(self, key: Key) -> Json | None:
        """One object by its identity."""
        return self.get(key.resource, key.namespace, key.name)

    def by_uid(self, uid: str) -> Key | None:
        """Which object has this uid."""
        return self._uids.get(uid)

    def dependents(self, uid: str) -> list[Key]:
        """The objects that name this uid as an owner."""
        return sorted(self._owned.get(uid, ()), key=lambda key: (key.resource, key.namespace, key.name))

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
        found = self._collections.get(resource)
        if after < (found.since if found else self._epoch):
            return None
        if not found:
            return []
        start = bisect.bisect_right(found.events, after, key=lambda event: event.revision)
        return found.events[start:]

    # Writing, with `lock` held

    def begin_history(self, resource: str) -> None:
        """Make a new resource known; its history starts now."""
        self._collections.setdefault(resource, _Collection(self.revision))

    def put(self, resource: str, value: Json) -> Json:
        """Create or replace an object; answers it with its new resourceVersion."""
        revision = self.revision + 1
        metadata = {**value["metadata"], "resourceVersion": str(revision)}
        stored = {**value, "metadata": metadata}
        key = Key(resource, metadata.get("namespace", ""), metadata["name"])
        body = json.dumps(stored, separators=(",", ":"), ensure_ascii=False)
        self._commit(revision, "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", (*vars(key).values(), body))
        before = self._place(key, stored)
        self._tell(Event(revision, "MODIFIED" if before else "ADDED", resource, stored, before))
        return stored

    def delete(self, resource: str, value: Json) -> Json:
        """Remove an object; answers its last state with the resourceVersion of the removal."""
        revision = self.revision + 1
        metadata = value["metadata"]
        key = Key(resource, metadata.get("namespace", ""), metadata["name"])
        last = {**value, "metadata": {**metadata, "resourceVersion": str(revision)}}
        self._commit(
            revision,
            "DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?",
            tuple(vars(key).values()),
        )
        before = self._collections[resource].objects[key.namespace].pop(key.name)
        self._unlink(key, before)
        self._tell(Event(revision, "DELETED", resource, last, before))
        return last

    def _commit(self, revision: int, statement: str, values: tuple[Any, ...]) -> None:
        self._database.execute("BEGIN")
        self._database.execute(statement, values)
        self._database.execute("UPDATE revision SET value = ?", (revision,))
        self._database.execute("COMMIT")
        self.revision = revision

    def _place(self, key: Key, value: Json) -> Json | None:
        collection = self._collections.get(key.resource)
        if collection is None:
            collection = self._collections[key.resource] = _Collection(self._epoch)
        folder = collection.objects.setdefault(key.namespace, {})
        before = folder.get(key.name)
        if before is not None:
            self._unlink(key, before)
        folder[key.name] = value
        self._uids[value["metadata"]["uid"]] = key
        for owner in value["metadata"].get("ownerReferences", ()):
            self._owned.setdefault(owner["uid"], set()).add(key)
        return before

    def _unlink(self, key: Key, value: Json) -> None:
        self._uids.pop(value["metadata"]["uid"], None)
        for owner in value["metadata"].get("ownerReferences", ()):
            members = self._owned.get(owner["uid"], set())
            members.discard(key)
            if not members:
                self._owned.pop(owner["uid"], None)

    def _tell(self, event: Event) -> None:
        self._collections[event.resource].record(event)
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
        database.executescript(f"BEGIN EXCLUSIVE;{TABLES}COMMIT;")
    except sqlite3.OperationalError as error:
        database.close()
        if "locked" not in str(error):
            raise
        raise SandboxError(
            f"{path.parent} is in use by another sandbox cluster: stop that one or use another directory"
        ) from error
    return database
