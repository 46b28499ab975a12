"""How a strategic merge patch merges the fields of the kinds that the API itself has.

The server publishes it in its OpenAPI documents: ``x-kubernetes-patch-strategy`` and ``x-kubernetes-patch-merge-key``
beside the schema of a field. (kubernetes.io: "Update API Objects in Place Using kubectl patch".)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from deploy_pipeline.cluster.connection import Connection
from deploy_pipeline.errors import ClusterUnreachable


@dataclass(frozen=True)
class PatchSchema:
    """One field, or a whole object. ``merge_key`` is empty for lists of plain values."""

    strategies: frozenset[str] = frozenset()
    merge_key: str = ""
    _node: Mapping[str, Any] = field(default_factory=dict, repr=False)
    _definitions: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def field(self, name: str) -> PatchSchema:
        """The schema of a field, or of the values of a map."""
        properties = self._node.get("properties") or {}
        values = self._node.get("additionalProperties")
        return self._of(properties.get(name) or (values if isinstance(values, Mapping) else {}))

    @property
    def item(self) -> PatchSchema:
        """The schema of a list's elements."""
        return self._of(self._node.get("items") or {})

    def _of(self, raw: Mapping[str, Any]) -> PatchSchema:
        strategies = str(raw.get("x-kubernetes-patch-strategy") or "").split(",")
        merge_key = str(raw.get("x-kubernetes-patch-merge-key") or "")
        return PatchSchema(frozenset(strategies) - {""}, merge_key, self._resolved(raw), self._definitions)

    def _resolved(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        for part in (raw, *(raw.get("allOf") or ())):
            if "$ref" in part:
                definition: Mapping[str, Any] = self._definitions[part["$ref"].rpartition("/")[2]]
                return definition
        return raw


def patch_schema(connection: Connection, api_version: str, kind: str) -> PatchSchema:
    """The schema of a kind that the API itself has. Raises ClusterUnreachable when the server does not publish it."""
    definitions = _definitions(connection, api_version)
    group, _, version = api_version.rpartition("/")
    wanted = {"group": group, "version": version, "kind": kind}
    for definition in definitions.values():
        if wanted in (definition.get("x-kubernetes-group-version-kind") or ()):
            return PatchSchema(_node=definition, _definitions=definitions)
    raise ClusterUnreachable(f"the cluster does not publish how {kind} of {api_version} is patched")


@lru_cache(maxsize=256)
def _definitions(connection: Connection, api_version: str) -> Mapping[str, Any]:
    """The definitions of one group version; those of the API itself do not change while a server runs."""
    path = f"/openapi/v3/{'apis' if '/' in api_version else 'api'}/{api_version}"
    answer = connection.get(path)
    if not answer.ok:
        raise ClusterUnreachable(f"the cluster does not publish its schemas of {api_version}: HTTP {answer.status}")
    found: Mapping[str, Any] = answer.body["components"]["schemas"]
    return found
