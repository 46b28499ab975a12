"""The change set: what a release would do to the live cluster, as a value with a digest.

It is what people review and what an approval is bound to. Everything in it is already masked, so it can be shown,
logged and stored. Two change sets with the same digest do the same to the same cluster.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from enum import Enum
from functools import cached_property
from typing import Any

from deploy_pipeline.cluster.objects import ObjectRef


class Operation(str, Enum):
    """What a release does to one object."""

    CREATE = "create"
    UPDATE = "update"
    RECREATE = "recreate"
    PRUNE = "prune"
    NONE = "none"


@dataclass(frozen=True)
class FieldChange:
    """One field before and after: canonical JSON text, masked where secret; None where the field is absent."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class ObjectChange:
    """What happens to one object, field by field."""

    ref: ObjectRef
    operation: Operation
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True)
class AppChanges:
    """What happens to the objects of one app.

    ``removed``: the app left the channel. ``reapply``: why the driver runs although no object changes, else empty.
    ``ignored``: fields that differ from the manifest and are left as they are, by object. ``rendering`` is a keyed
    fingerprint of all that the app's chart gives; empty where the git tree holds what is applied.
    """

    app: str
    driver: str
    objects: tuple[ObjectChange, ...]
    hooks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    removed: bool = False
    reapply: str = ""
    ignored: tuple[str, ...] = ()
    rendering: str = ""

    @property
    def changed(self) -> tuple[ObjectChange, ...]:
        """The objects that something happens to."""
        return tuple(change for change in self.objects if change.operation is not Operation.NONE)

    @property
    def is_empty(self) -> bool:
        """Nothing happens: no object changes, and the driver has no reason of its own to run (``reapply``)."""
        return not self.changed and not self.reapply

    @property
    def counts(self) -> dict[str, int]:
        """Number of objects by operation, all keys always present."""
        return _counts(self.objects)


@dataclass(frozen=True, order=True)
class SecretVersion:
    """A stored secret as it was read: its keyed fingerprint, which cannot be guessed, and what its store numbers it."""

    name: str
    fingerprint: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name} version {self.version}" if self.version else self.name


@dataclass(frozen=True)
class ChangeSet:
    """The exact object changes between desired manifests and a live cluster.

    ``cluster`` is the uid of the ``kube-system`` namespace, ``tree`` the git tree of the candidate, ``secrets`` every
    stored secret that takes part.
    """

    channel: str
    cluster: str
    tree: str
    apps: tuple[AppChanges, ...]
    secrets: tuple[SecretVersion, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Nothing would happen to the cluster."""
        return all(app.is_empty for app in self.apps)

    @property
    def counts(self) -> dict[str, int]:
        """Number of objects by operation over all apps."""
        return _counts(change for app in self.apps for change in app.objects)

    @cached_property
    def digest(self) -> str:
        """``sha256:…`` over cluster, tree, secrets and every intended change; the same in every process."""
        text = json.dumps(self._intent(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def app(self, name: str) -> AppChanges | None:
        """The changes of one app, or None."""
        return next((app for app in self.apps if app.app == name), None)

    def to_json(self) -> dict[str, Any]:
        """A JSON value that :meth:`from_json` reads back to an equal change set; unchanged objects are counted only."""
        return {**self._intent(), "digest": self.digest, "unchanged": {a.app: a.counts["none"] for a in self.apps}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ChangeSet:
        """Read :meth:`to_json` back. Unchanged objects are not restored: no digest depends on them."""
        return cls(
            channel=value["channel"],
            cluster=value["cluster"],
            tree=value["tree"],
            apps=tuple(_app_from_json(app) for app in value["apps"]),
            secrets=tuple(SecretVersion(*secret) for secret in value["secrets"]),
        )

    def _intent(self) -> dict[str, Any]:
        return {
            "channel": self.channel,
            "cluster": self.cluster,
            "tree": self.tree,
            "secrets": [[*filter(None, astuple(secret))] for secret in sorted(self.secrets)],
            "apps": [_app_to_json(app) for app in sorted(self.apps, key=lambda app: app.app)],
        }


def _counts(changes: Iterable[ObjectChange]) -> dict[str, int]:
    found = Counter(change.operation.value for change in changes)
    return {operation.value: found[operation.value] for operation in Operation}


def _app_to_json(app: AppChanges) -> dict[str, Any]:
    return {
        "app": app.app,
        "driver": app.driver,
        "removed": app.removed,
        "reapply": app.reapply,
        "hooks": sorted(app.hooks),
        **({"rendering": app.rendering} if app.rendering else {}),
        "objects": [
            {
                "ref": [change.ref.group, change.ref.kind, change.ref.namespace, change.ref.name],
                "operation": change.operation.value,
                "fields": [[field.path, field.before, field.after] for field in change.fields],
            }
            for change in sorted(app.changed, key=lambda change: change.ref)
        ],
    }


def _app_from_json(value: Mapping[str, Any]) -> AppChanges:
    return AppChanges(
        app=value["app"],
        driver=value["driver"],
        removed=value["removed"],
        reapply=value["reapply"],
        hooks=tuple(value["hooks"]),
        rendering=value.get("rendering", ""),
        objects=tuple(
            ObjectChange(
                ref=ObjectRef(*change["ref"]),
                operation=Operation(change["operation"]),
                fields=tuple(FieldChange(*field) for field in change["fields"]),
            )
            for change in value["objects"]
        ),
    )
