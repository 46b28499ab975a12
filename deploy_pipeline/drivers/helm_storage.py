"""What Helm has stored of a release, read from where Helm keeps it.

Each revision is a Secret labelled ``owner=helm``; its key ``release`` is base64 of gzipped JSON (Helm 3 and 4:
``pkg/storage/driver/secrets.go`` and ``util.go``). One request for all revisions takes milliseconds, where a start of
Helm takes a tenth of a second, for each of its commands.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy_pipeline.cluster.connection import Connection
from deploy_pipeline.errors import RefusedError

_GZIP = b"\x1f\x8b\x08"
_UNREADABLE = (LookupError, TypeError, ValueError, OSError, EOFError, zlib.error, binascii.Error)


@dataclass(frozen=True)
class Revision:
    """One revision of a release. The manifest is text; it and ``values`` (those given by users) may hold secrets."""

    number: int
    status: str
    manifest: str = field(repr=False)
    values: Mapping[str, Any] = field(repr=False)
    apply_method: str = ""
    hooks: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class StoredRelease:
    """A release as the next upgrade finds it: its ``last`` revision, and ``base``, which Helm compares with."""

    last: Revision
    base: Revision

    @property
    def status(self) -> str:
        """Status of the last revision, such as ``deployed`` or ``pending-upgrade``."""
        return self.last.status

    @property
    def is_installed(self) -> bool:
        """Whether the next upgrade is an upgrade: of a release that was uninstalled only history is left."""
        return self.last.status != "uninstalled"


def revisions(connection: Connection, release: tuple[str, str]) -> tuple[Revision, ...]:
    """All revisions of the release (its namespace and name) that Helm can read, in their order.

    Raises RefusedError when the cluster does not show them.
    """
    namespace, name = release
    query = {"labelSelector": f"owner=helm,name={name}"}
    answer = connection.get(f"/api/v1/namespaces/{namespace}/secrets", query)
    if not answer.ok:
        raise RefusedError(
            f"what Helm has stored of release {namespace}/{name} cannot be read: {answer.message}",
            hint=f"let the deployer list Secrets in namespace {namespace}, as Helm itself has to",
        )
    found = [revision for item in answer.body.get("items") or () if (revision := _revision(item))]
    return tuple(sorted(found, key=lambda revision: revision.number))


def stored_release(connection: Connection, release: tuple[str, str]) -> StoredRelease | None:
    """The release, or None. ``base`` is the last revision that is deployed, else the last one (Helm's upgrade.go)."""
    found = revisions(connection, release)
    if not found:
        return None
    deployed = [revision for revision in found if revision.status == "deployed"]
    return StoredRelease(found[-1], (deployed or found)[-1])


def _revision(secret: Mapping[str, Any]) -> Revision | None:
    """None for what Helm cannot read either, and passes over."""
    try:
        packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
        record = json.loads(gzip.decompress(packed) if packed.startswith(_GZIP) else packed)
        return Revision(
            number=int(record["version"]),
            status=str(record["info"]["status"]),
            manifest=str(record.get("manifest") or ""),
            values=record.get("config") or {},
            apply_method=str(record.get("apply_method") or ""),
            hooks=tuple(record.get("hooks") or ()),
        )
    except _UNREADABLE:
        return None
