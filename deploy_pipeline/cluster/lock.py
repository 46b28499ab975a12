"""One release at a time per channel, whoever runs it: a Lease in the cluster itself.

Dagster's run queue orders the runs of one Dagster; a second Dagster or a command line knows nothing of it. The Lease is
renewed while it is held and expires when its holder dies. As in the leader election of Kubernetes' own controllers, a
waiter trusts its own watch (the Lease did not change for its whole duration) rather than the clocks of two machines
to agree.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from typing import Any

from deploy_pipeline.cluster.connection import Answer, Connection
from deploy_pipeline.cluster.system import SystemDocuments
from deploy_pipeline.errors import ChannelLocked, DeployError, RaceLost

_PREFIX = "channel."
_RENEWALS = 5  # in the time the lock lives without
_SAFE = 0.75  # the part of that time in which its holder still trusts it: nobody else has taken it by then
_POLL = 0.5
_CLOCK_SKEW = 60.0


def locked_channels(connection: Connection, documents: SystemDocuments) -> tuple[str, ...]:
    """Every channel that was ever promoted to or released in the cluster: their locks stay when nobody holds them."""
    answer = documents.checked(connection.get(_path(documents)), "the locks")
    names = (str(lease["metadata"]["name"]) for lease in answer.body.get("items") or ())
    return tuple(sorted(name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX)))


def _path(documents: SystemDocuments) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{documents.namespace}/leases"


class ChannelLock:
    """The lock of one channel. ``holder`` is shown to whoever waits for it."""

    def __init__(self, connection: Connection, documents: SystemDocuments, channel: str, seconds: int) -> None:
        self._connection = connection
        self._documents = documents
        self._channel = channel
        self._seconds = seconds
        self._path = _path(documents)
        self._name = f"{_PREFIX}{channel}"
        self._lost = threading.Event()
        self._abandoned = threading.Event()
        self._safe_until = 0.0
        self._seen: tuple[str, float] = ("", 0.0)

    @contextmanager
    def held(self, purpose: str, wait: float) -> Iterator[ChannelLock]:
        """Hold the lock for the block; waits at most ``wait`` seconds. Raises ChannelLocked with the holder's name."""
        holder = f"{purpose} on {socket.gethostname()} pid {os.getpid()} {uuid.uuid4().hex[:8]}"
        self._acquire(holder, wait)
        stop = threading.Event()
        renewer = threading.Thread(target=self._keep, args=(holder, stop), name="channel-lock", daemon=True)
        renewer.start()
        try:
            yield self
        finally:
            stop.set()
            renewer.join(timeout=self._seconds)
            self._release(holder)

    def abandon(self) -> None:
        """Nothing further may be written under this lock: whoever holds it was told to stop."""
        self._abandoned.set()

    def check(self) -> None:
        """Raise RaceLost when the lock was lost meanwhile, or abandoned: called before each step that writes."""
        if self._abandoned.is_set():
            raise RaceLost(f"the work on channel {self._channel} was stopped; nothing further was done")
        if self._lost.is_set() or time.monotonic() > self._safe_until:
            raise RaceLost(f"the lock of channel {self._channel} was lost; nothing further was done")

    def _acquire(self, holder: str, wait: float) -> None:
        deadline = time.monotonic() + wait
        while True:
            sent = time.monotonic()
            current = self._take(holder)
            if current is None:
                self._safe_until = sent + self._seconds * _SAFE
                return
            if time.monotonic() >= deadline:
                raise ChannelLocked(
                    f"channel {self._channel} is locked by {current}",
                    hint=f"wait for it to end; the lock of a dead process expires after {self._seconds} s",
                )
            time.sleep(_POLL)

    def _take(self, holder: str) -> str | None:
        """Try once; None when the lock is ours, else who holds it."""
        answer = self._connection.get(f"{self._path}/{self._name}")
        if answer.status == 404:
            self._documents.ensure_namespace()
            made = self._connection.send("POST", self._path, None, self._lease(holder))
            return None if self._won(made) else "another process"
        spec = self._documents.checked(answer, self._name).body.get("spec") or {}
        current = spec.get("holderIdentity")
        if current and not self._expired(spec):
            return str(current)
        version = answer.body["metadata"]["resourceVersion"]
        taken = self._connection.send("PUT", f"{self._path}/{self._name}", None, self._lease(holder, version))
        return None if self._won(taken) else "another process"

    def _expired(self, spec: dict[str, Any]) -> bool:
        """Unchanged under our eyes for its duration, or older than any plausible difference of clocks."""
        renewed = str(spec.get("renewTime") or "")
        if not renewed:
            return True
        duration = float(spec.get("leaseDurationSeconds") or self._seconds)
        if self._seen[0] != renewed:
            self._seen = (renewed, time.monotonic())
        age = _now() - datetime.fromisoformat(renewed.replace("Z", "+00:00"))
        return time.monotonic() - self._seen[1] > duration or age > timedelta(seconds=duration + _CLOCK_SKEW)

    def _won(self, answer: Answer) -> bool:
        if answer.status == 409:
            return False
        self._documents.checked(answer, self._name)
        return True

    def _keep(self, holder: str, stop: threading.Event) -> None:
        """Renew until stopped. One that fails for whatever reason is tried again: time tells when it is too late."""
        while not stop.wait(self._seconds / _RENEWALS):
            sent = time.monotonic()
            with suppress(Exception):
                if not self._renew(holder):
                    self._lost.set()
                    return
                self._safe_until = sent + self._seconds * _SAFE

    def _renew(self, holder: str) -> bool:
        answer = self._connection.get(f"{self._path}/{self._name}")
        if answer.status == 404 or (answer.body.get("spec") or {}).get("holderIdentity") != holder:
            return False
        version = answer.body["metadata"]["resourceVersion"]
        return self._won(self._connection.send("PUT", f"{self._path}/{self._name}", None, self._lease(holder, version)))

    def _release(self, holder: str) -> None:
        """Give the lock back at once; if that fails it expires by itself."""
        try:
            answer = self._connection.get(f"{self._path}/{self._name}")
            if answer.ok and (answer.body.get("spec") or {}).get("holderIdentity") == holder:
                version = answer.body["metadata"]["resourceVersion"]
                self._connection.send("PUT", f"{self._path}/{self._name}", None, self._lease("", version))
        except DeployError:
            return

    def _lease(self, holder: str, version: str | None = None) -> dict[str, Any]:
        metadata = {"name": self._name} | ({"resourceVersion": version} if version else {})
        spec: dict[str, Any] = {"leaseDurationSeconds": self._seconds}
        if holder:
            spec |= {"holderIdentity": holder, "renewTime": _now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def _now() -> datetime:
    return datetime.now(timezone.utc)
