"""Secret stores: where the payloads come from that ``secrets`` and ``secret_helm_values`` of an app name.

A store only reads, and says which version it read. What is read is known to the caller's redactor before anything else
happens to it. No error of a store quotes what a server answered: it might quote the payload or a token.
"""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from deploy_pipeline.errors import SecretFault, SecretStoreUnreachable, SettingsError

LARGEST = 1 << 20
"""Bytes of a payload: what a Kubernetes Secret can hold."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_WAITS = (0.3, 1.2)  # seconds between tries; a step that fails nevertheless is tried again as a whole


@dataclass(frozen=True)
class StoredSecret:
    """One payload. Its content never shows in a representation.

    ``version`` is what the store calls it, a number; empty where the store keeps one version only.
    """

    name: str
    content: bytes = field(repr=False)
    version: str = ""


class SecretStore(Protocol):
    """Reads payloads by name."""

    def read(self, name: str) -> StoredSecret:
        """The payload; raises SecretFault when there is none, SecretStoreUnreachable when nobody can tell."""


class ReadOnce:
    """Another store, each name read once: what is compared, fingerprinted and applied is one and the same reading.

    So "the latest version" is the same one for a whole plan. Names are read side by side.
    """

    def __init__(self, store: SecretStore) -> None:
        self._store = store
        self._read: dict[str, Future[StoredSecret]] = {}
        self._lock = threading.Lock()

    def read(self, name: str) -> StoredSecret:
        """The payload as it was at the first reading, or the error that this raised."""
        with self._lock:
            first = name not in self._read
            reading = self._read.setdefault(name, Future())
        if first:
            try:
                reading.set_result(self._store.read(name))
            except BaseException as error:  # noqa: BLE001 (others wait for this reading: they get whatever came of it)
                reading.set_exception(error)
        return reading.result()


class Patient:
    """Another store, asked up to three times: a server that restarts or is busy must not fail a release."""

    def __init__(self, store: SecretStore) -> None:
        self._store = store

    def read(self, name: str) -> StoredSecret:
        """The payload; SecretStoreUnreachable if no try succeeds."""
        for wait in _WAITS:
            try:
                return self._store.read(name)
            except SecretStoreUnreachable:  # noqa: PERF203 (it waits longer than that)
                time.sleep(wait)
        return self._store.read(name)


class NoStore:
    """Stands where no store is configured: reading anything says so."""

    def read(self, name: str) -> StoredSecret:
        """Always raises SettingsError."""
        raise SettingsError(
            f"the secret {name} is wanted, but no secret store is configured",
            hint="set DEPLOY_SECRET_STORE, or DEPLOY_SECRETS_DIR to a directory with one file a secret",
        )


def check_name(name: str) -> None:
    """Raise SecretFault for what is no name: it becomes part of a path or an address."""
    if not _NAME.fullmatch(name):
        raise SecretFault(f"{name!r} is not the name of a secret")


def check_size(name: str, size: int) -> None:
    """Raise SecretFault for more bytes than a Kubernetes Secret can hold."""
    if size > LARGEST:
        raise SecretFault(f"the secret {name} is larger than {LARGEST} bytes")
