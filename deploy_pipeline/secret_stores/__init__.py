"""Where secrets come from, and what they must be."""

from deploy_pipeline.secret_stores.opening import secret_store_from
from deploy_pipeline.secret_stores.payloads import helm_values, secret_data, secret_manifest, secret_values, shape
from deploy_pipeline.secret_stores.store import ReadOnce, SecretStore, StoredSecret

__all__ = [
    "ReadOnce",
    "SecretStore",
    "StoredSecret",
    "helm_values",
    "secret_data",
    "secret_manifest",
    "secret_store_from",
    "secret_values",
    "shape",
]
