"""Which path of the API serves which kind: discovery, one request a group version, cached.

A group version that is not there is asked for again at the next look, since a CustomResourceDefinition of the same
release may bring it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from deploy_pipeline.cluster.connection import Connection
from deploy_pipeline.errors import ClusterUnreachable, ManifestRejected, RefusedError


@dataclass(frozen=True)
class Resource:
    """How one kind is served."""

    base: str
    plural: str
    kind: str
    namespaced: bool

    def path(self, namespace: str, name: str) -> str:
        """Path of one object; parts are percent-encoded, so no name can point elsewhere."""
        return f"{self.collection(namespace)}/{quote(name, safe=':')}"

    def collection(self, namespace: str) -> str:
        """Path of all objects of the kind, in this namespace if they have one."""
        middle = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced else ""
        return f"{self.base}{middle}/{self.plural}"


class Resources:
    """The kinds one cluster serves."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._versions: dict[str, dict[str, Resource]] = {}
        self._lock = threading.Lock()

    def find(self, api_version: str, kind: str) -> Resource | None:
        """The resource of a kind, or None when the cluster does not serve it (yet)."""
        found = self._versions.get(api_version, {}).get(kind)
        if found:
            return found
        with self._lock:
            known = self._versions.get(api_version)
            if known is None or kind not in known:
                known = self._read(api_version)
                self._versions[api_version] = known
            return known.get(kind)

    def served_version(self, api_version: str, kind: str) -> str | None:
        """An API version in which the kind is served now: the given one, else another of its group; or None."""
        if self.find(api_version, kind):
            return api_version
        group = api_version.rpartition("/")[0]
        answer = self._connection.get(f"/apis/{quote(group)}") if group else None
        versions = answer.body.get("versions") or () if answer and answer.ok else ()
        return next((v["groupVersion"] for v in versions if self.find(v["groupVersion"], kind)), None)

    def of(self, manifest: Mapping[str, Any]) -> Resource:
        """The resource of a manifest; raises ManifestRejected when the cluster does not serve its kind."""
        resource = self.find(manifest["apiVersion"], manifest["kind"])
        if resource is None:
            raise ManifestRejected(
                f"the cluster does not serve {manifest['kind']} of {manifest['apiVersion']}",
                hint="install its CustomResourceDefinition first, or correct apiVersion and kind",
            )
        return resource

    def _read(self, api_version: str) -> dict[str, Resource]:
        group, _, _ = api_version.rpartition("/")
        base = f"/apis/{quote(api_version)}" if group else f"/api/{quote(api_version, safe='')}"
        answer = self._connection.get(base)
        if answer.status == 403:
            raise RefusedError(
                f"the cluster does not let the deployer see what {api_version} is: {answer.reason}",
                hint="check the account in its kubeconfig; the role system:discovery is enough for this",
            )
        if not answer.ok and answer.status != 404:
            raise ClusterUnreachable(f"the cluster did not say what {api_version} is: HTTP {answer.status}")
        return {
            entry["kind"]: Resource(base, entry["name"], entry["kind"], bool(entry["namespaced"]))
            for entry in answer.body.get("resources") or ()
            if "/" not in entry["name"]
        }
