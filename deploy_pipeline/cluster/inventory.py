"""Which objects an app owns in the cluster: what makes pruning possible and safe.

The inventory grows before the first write of a release and shrinks after the last prune, so that a release killed in
between leaves no object that nobody remembers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from deploy_pipeline.cluster.objects import Manifest, ObjectRef
from deploy_pipeline.cluster.system import SystemDocuments

_KIND = "inventory"


@dataclass(frozen=True)
class Member:
    """One owned object, with the API version it was last applied in."""

    api_version: str
    ref: ObjectRef

    @classmethod
    def of(cls, manifest: Manifest) -> Member:
        """The member a located manifest is."""
        return cls(manifest["apiVersion"], ObjectRef.of(manifest))

    def stub(self) -> Manifest:
        """The least manifest that names the object."""
        metadata = {"name": self.ref.name} | ({"namespace": self.ref.namespace} if self.ref.namespace else {})
        return {"apiVersion": self.api_version, "kind": self.ref.kind, "metadata": metadata}


@dataclass(frozen=True)
class Inventory:
    """What one app owns. A Helm app owns its release instead of single objects."""

    app: str
    driver: str
    members: tuple[Member, ...] = ()
    helm_release: tuple[str, str] | None = None

    @cached_property
    def refs(self) -> frozenset[ObjectRef]:
        """The objects that the app owns."""
        return frozenset(member.ref for member in self.members)

    def grown_from(self, before: Inventory | None) -> Inventory:
        """The inventory with the members of an earlier one that it lacks."""
        return replace(self, members=_merged(before.members if before else (), self.members))

    def joined(self, more: Iterable[Member]) -> Inventory:
        """The inventory with further members."""
        return replace(self, members=_merged(self.members, more))


def namespaces_of(documents: SystemDocuments, channels: Sequence[str]) -> dict[str, frozenset[str]]:
    """The namespaces that each channel's apps brought, or have objects in."""
    found = documents.list_each([f"{_KIND}.{channel}" for channel in channels])
    return {channel: _namespaces(_by_app(found[f"{_KIND}.{channel}"]).values()) for channel in channels}


def _namespaces(inventories: Iterable[Inventory]) -> frozenset[str]:
    refs = [ref for inventory in inventories for ref in inventory.refs]
    return frozenset(ref.namespace or ref.name for ref in refs if ref.namespace or ref.kind == "Namespace")


def _by_app(documents: Mapping[str, Any]) -> dict[str, Inventory]:
    return {document["app"]: _from_json(document) for document in documents.values() if document}


class Inventories:
    """The inventories of the apps of one channel, in the cluster."""

    def __init__(self, documents: SystemDocuments, channel: str) -> None:
        self._documents = documents
        self._channel = channel

    def all(self) -> dict[str, Inventory]:
        """Every app of the channel that owns something, by name."""
        return _by_app(self._documents.list(f"{_KIND}.{self._channel}"))

    def put(self, inventory: Inventory) -> None:
        """Replace the inventory of one app."""
        self._documents.change(f"{_KIND}.{self._channel}", self._name(inventory.app), lambda _: _to_json(inventory))

    def grow(self, inventory: Inventory, known: Inventory | None = None) -> Inventory:
        """Add to the inventory of one app; nothing leaves it. Returns what it is then.

        ``known`` is what it was when the release was planned, None if there was none.
        """
        grown = self._documents.change(
            f"{_KIND}.{self._channel}",
            self._name(inventory.app),
            lambda live: _to_json(inventory.grown_from(_from_json(live) if live else None)),
            missing=known is None,
        )
        return _from_json(grown)

    def forget(self, app: str) -> None:
        """The app owns nothing any more."""
        self._documents.delete(self._name(app))

    def _name(self, app: str) -> str:
        return f"{_KIND}.{self._channel}.{app}"


def _merged(old: Iterable[Member], new: Iterable[Member]) -> tuple[Member, ...]:
    by_ref = {member.ref: member for member in old} | {member.ref: member for member in new}
    return tuple(by_ref[ref] for ref in sorted(by_ref))


def _to_json(inventory: Inventory) -> dict[str, Any]:
    members = sorted(inventory.members, key=lambda member: member.ref)
    return {
        "app": inventory.app,
        "driver": inventory.driver,
        "helm_release": list(inventory.helm_release) if inventory.helm_release else None,
        "members": [[m.api_version, m.ref.kind, m.ref.namespace, m.ref.name] for m in members],
    }


def _from_json(document: dict[str, Any]) -> Inventory:
    release = document["helm_release"]
    return Inventory(
        app=document["app"],
        driver=document["driver"],
        helm_release=(release[0], release[1]) if release else None,
        members=tuple(
            Member(version, ObjectRef(version.rpartition("/")[0], kind, namespace, name))
            for version, kind, namespace, name in document["members"]
        ),
    )
