"""The deployer's own objects in the cluster: JSON documents in ConfigMaps of one system namespace.

What was approved and released must be known to every deployer of the cluster and must outlive any Dagster, so it lies
where it is true: beside what it describes. Documents are compressed, as a change set can be large and a ConfigMap
holds 1 MiB.
"""

from __future__ import annotations

import base64
import json
import secrets
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deploy_pipeline.cluster.connection import Answer, Connection
from deploy_pipeline.errors import ClusterUnreachable, RaceLost, RefusedError

_LABELS = {"app.kubernetes.io/managed-by": "deploy-pipeline"}
_KIND_LABEL = "deploy-pipeline.io/document"
_TRIES = 10
_KINDS_A_LIST = 50  # the selector is part of a URL
_LARGEST = 900_000
_MASK_KEY = "deploy-pipeline-mask-key"


class SystemDocuments:
    """Named JSON documents in the system namespace, written with optimistic locking."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self._connection = connection
        self.namespace = namespace

    @property
    def base(self) -> str:
        """API path of the system namespace."""
        return f"/api/v1/namespaces/{self.namespace}"

    def read(self, name: str) -> Any:
        """The document, or None when there is none."""
        live = self._live(name)
        return _unpack(live) if live else None

    def list(self, kind: str) -> dict[str, Any]:
        """All documents of one kind, by name."""
        return self.list_each([kind])[kind]

    def list_each(self, kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
        """All documents of some kinds, by kind and name.

        The name of each begins with its kind: an account that may write some names only cannot make a document of
        another kind by its label.
        """
        found: dict[str, dict[str, Any]] = {kind: {} for kind in kinds}
        for start in range(0, len(kinds), _KINDS_A_LIST):
            some = ",".join(kinds[start : start + _KINDS_A_LIST])
            answer = self._connection.get(f"{self.base}/configmaps", {"labelSelector": f"{_KIND_LABEL} in ({some})"})
            for item in self.checked(answer, some).body.get("items") or ():
                kind, name = item["metadata"]["labels"][_KIND_LABEL], item["metadata"]["name"]
                if name.startswith(f"{kind}."):
                    found[kind][name] = _unpack(item)
        return found

    def change(self, kind: str, name: str, change: Callable[[Any], Any], *, missing: bool = False) -> Any:
        """Replace a document by ``change(what it is now)``, atomically; ``change`` may run more than once.

        ``missing`` says that there was none a moment ago, which the write itself finds out. Returns the new document.
        Raises RaceLost when others keep changing it.
        """
        for attempt in range(_TRIES):
            live = None if missing and not attempt else self._live(name)
            document = change(_unpack(live) if live else None)
            written = self._write(kind, name, document, live)
            if written.status != 409:
                self.checked(written, name)
                return document
        raise RaceLost(f"the record {name} in namespace {self.namespace} is being changed by others all the time")

    def delete(self, name: str) -> None:
        """Remove a document; gone is fine."""
        answer = self._connection.send("DELETE", f"{self.base}/configmaps/{name}")
        if answer.status != 404:
            self.checked(answer, name)

    def ensure_namespace(self) -> None:
        """Make the system namespace if it is missing."""
        if self._connection.get(self.base).status != 404:
            return
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": _LABELS}}
        answer = self._connection.send("POST", "/api/v1/namespaces", None, body)
        if answer.status != 409:
            self.checked(answer, self.namespace)

    def mask_key(self) -> bytes:
        """The random key of this cluster's fingerprints, made at first use; the same for every deployer of it."""
        path = f"{self.base}/secrets"
        answer = self._connection.get(f"{path}/{_MASK_KEY}")
        if answer.status == 404:
            self.ensure_namespace()
            key = base64.b64encode(secrets.token_bytes(32)).decode()
            body = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": _MASK_KEY, "labels": _LABELS},
                "data": {"key": key},
            }
            made = self._connection.send("POST", path, None, body)
            if made.status != 409:
                self.checked(made, _MASK_KEY)
            answer = self._connection.get(f"{path}/{_MASK_KEY}")
        return base64.b64decode(self.checked(answer, _MASK_KEY).body["data"]["key"])

    def checked(self, answer: Answer, name: str) -> Answer:
        """The answer, if the request was carried out; else RefusedError with what right may be missing."""
        if answer.ok:
            return answer
        if answer.status == 403:
            raise RefusedError(
                f"no right to use {name} in namespace {self.namespace}: {answer.reason}",
                hint="give the account of this kubeconfig the rights in deploy/rbac; the one for diffs cannot release",
            )
        raise ClusterUnreachable(f"reading or writing {name} in namespace {self.namespace} failed: {answer.reason}")

    def _live(self, name: str) -> Mapping[str, Any] | None:
        answer = self._connection.get(f"{self.base}/configmaps/{name}")
        return None if answer.status == 404 else self.checked(answer, name).body

    def _write(self, kind: str, name: str, document: Any, live: Mapping[str, Any] | None) -> Answer:
        metadata: dict[str, Any] = {"name": name, "labels": {**_LABELS, _KIND_LABEL: kind}}
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "binaryData": {"document": _pack(name, document)},
        }
        if live is None:
            answer = self._connection.send("POST", f"{self.base}/configmaps", None, body)
            if answer.status != 404:
                return answer
            self.ensure_namespace()
            return self._connection.send("POST", f"{self.base}/configmaps", None, body)
        metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
        return self._connection.send("PUT", f"{self.base}/configmaps/{name}", None, body)


def _pack(name: str, document: Any) -> str:
    packed = base64.b64encode(zlib.compress(json.dumps(document, sort_keys=True).encode(), 9)).decode()
    if len(packed) > _LARGEST:
        raise RefusedError(
            f"the record {name} is too large for the cluster ({len(packed)} bytes)", hint="split the channel"
        )
    return packed


def _unpack(config_map: Mapping[str, Any]) -> Any:
    packed = (config_map.get("binaryData") or {}).get("document")
    return json.loads(zlib.decompress(base64.b64decode(packed))) if packed else None
