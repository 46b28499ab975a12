"""Where secrets come from, and what they must be."""

from deploy_pipeline.secret_stores.payloads import helm_values, secret_manifest, secret_values, shape
from deploy_pipeline.secret_stores.store import DirectoryStore, NoStore, ReadOnce, SecretStore, StoredSecret

__all__ = [
    "DirectoryStore",
    "NoStore",
    "ReadOnce",
    "SecretStore",
    "StoredSecret",
    "helm_values",
    "secret_manifest",
    "secret_values",
    "shape",
]
