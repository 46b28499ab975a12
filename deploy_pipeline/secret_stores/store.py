"""Secret stores: where the payloads come from that ``secrets`` and ``secret_helm_values`` of an app name.

A store only reads. What is read is known to the caller's redactor before anything else happens to it.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from deploy_pipeline.errors import SecretFault, SecretStoreUnreachable, SettingsError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LARGEST = 1 << 20  # what a Kubernetes Secret can hold


@dataclass(frozen=True)
class StoredSecret:
    """One payload. Its content never shows in a representation."""

    name: str
    content: bytes = field(repr=False)


class SecretStore(Protocol):
    """Reads payloads by name."""

    def read(self, name: str) -> StoredSecret:
        """The payload; raises SecretFault when there is none, SecretStoreUnreachable when nobody can tell."""


class DirectoryStore:
    """One file a name: ``<name>``, ``<name>.yaml`` or ``<name>.yml``, as a mounted Kubernetes Secret offers them."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> StoredSecret:
        """The file's content; links are followed inside the directory only."""
        if not _NAME.fullmatch(name):
            raise SecretFault(f"{name!r} is not the name of a secret")
        root = self._root.resolve()
        for candidate in (root / name, root / f"{name}.yaml", root / f"{name}.yml"):
            if candidate.is_file():
                return StoredSecret(name, self._content(candidate, name, root))
        if not root.is_dir():
            raise SecretStoreUnreachable(
                f"the secret directory {self._root} is not there", hint="check DEPLOY_SECRETS_DIR"
            )
        raise SecretFault(f"there is no secret {name} in {self._root}", hint=f"add the file {name}.yaml there")

    def _content(self, path: Path, name: str, root: Path) -> bytes:
        if not path.resolve().is_relative_to(root):
            raise SecretFault(f"the secret {name} is a link that leaves {self._root}")
        try:
            if path.stat().st_size > _LARGEST:
                raise SecretFault(f"the secret {name} is larger than {_LARGEST} bytes")
            return path.read_bytes()
        except OSError as error:
            raise SecretStoreUnreachable(f"the secret {name} cannot be read: {error.strerror}") from None


class ReadOnce:
    """Another store, each name read once: what is compared, fingerprinted and applied is one and the same reading."""

    def __init__(self, store: SecretStore) -> None:
        self._store = store
        self._read: dict[str, StoredSecret] = {}
        self._lock = threading.Lock()

    def read(self, name: str) -> StoredSecret:
        """The payload as it was at the first reading."""
        with self._lock:
            if name not in self._read:
                self._read[name] = self._store.read(name)
            return self._read[name]


class NoStore:
    """Stands where no store is configured: reading anything says so."""

    def read(self, name: str) -> StoredSecret:
        """Always raises SettingsError."""
        raise SettingsError(
            f"the secret {name} is wanted, but no secret store is configured",
            hint="set DEPLOY_SECRETS_DIR to a directory with one file a secret",
        )
