"""Every value that is read from a store is known to the process's redactor before anybody gets it.

Not left to those who read: whatever they do with a payload, also with one that is malformed, comes after this.
"""

from __future__ import annotations

from deploy_pipeline import process_redaction
from deploy_pipeline.secret_stores.payloads import payload_values
from deploy_pipeline.secret_stores.store import SecretStore, StoredSecret


class Told:
    """Another store, with the process's redactor told of all that comes out of it."""

    def __init__(self, store: SecretStore) -> None:
        self._store = store

    def read(self, name: str) -> StoredSecret:
        """The payload; raises what the store raises."""
        stored = self._store.read(name)
        process_redaction.learn(payload_values(stored.content))
        return stored
