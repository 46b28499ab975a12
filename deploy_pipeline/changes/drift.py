"""Drift as a value: each object that is not as it was released, field by field, with who changed it and when.

Like a change set it is masked already, so it can be shown, logged and stored.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum

from deploy_pipeline.changes.change_set import ChangeSet
from deploy_pipeline.cluster.objects import ObjectRef


class Deviation(str, Enum):
    """How an object is not as it was released."""

    CHANGED = "changed"
    MISSING = "missing"
    EXTRA = "extra"


@dataclass(frozen=True)
class Writer:
    """A field manager, and when it last wrote: RFC 3339 in UTC. Both as the API server noted them, or empty."""

    manager: str
    time: str


@dataclass(frozen=True)
class FieldDrift:
    """One field as it ``is`` and as it was ``released``: canonical JSON text, masked; None where it is absent.

    ``writer`` is None where the server cannot tell: nobody owns a field that was removed.
    """

    path: str
    live: str | None
    released: str | None
    writer: Writer | None


@dataclass(frozen=True)
class ObjectDrift:
    """One object that is not as it was released. ``writer`` is who made an extra one."""

    ref: ObjectRef
    deviation: Deviation
    fields: tuple[FieldDrift, ...] = ()
    writer: Writer | None = None


@dataclass(frozen=True)
class AppDrift:
    """How the objects of one app differ from its release.

    ``as_released`` counts those that do not. ``healed``: what was changed or missing has been put back. ``not_healed``:
    why that was not done although it was wanted, or how it failed.
    """

    app: str
    driver: str
    objects: tuple[ObjectDrift, ...] = ()
    as_released: int = 0
    healed: bool = False
    not_healed: tuple[str, ...] = ()

    @property
    def restorable(self) -> tuple[ObjectDrift, ...]:
        """What putting back the release would touch: an extra object is none of its objects."""
        return tuple(item for item in self.objects if item.deviation is not Deviation.EXTRA)

    @property
    def drifted(self) -> bool:
        """Whether the app is not as it was released now, after what was healed."""
        return any(item.deviation is Deviation.EXTRA or not self.healed for item in self.objects)

    @property
    def counts(self) -> dict[str, int]:
        """Number of objects by deviation, all keys always present."""
        found = Counter(item.deviation for item in self.objects)
        return {deviation.value: found[deviation] for deviation in Deviation}


@dataclass(frozen=True)
class DriftResult:
    """The drift of a channel from the release of ``commit``; empty if nothing was ever released.

    ``change_set`` is what would bring the cluster back, None if nothing was released. ``unseen`` names the kinds in
    which no extra objects could be looked for, with the reason. ``not_healed``: why nothing was put back although that
    was wanted.
    """

    channel: str
    commit: str = ""
    change_set: ChangeSet | None = None
    apps: tuple[AppDrift, ...] = ()
    unseen: tuple[str, ...] = ()
    not_healed: tuple[str, ...] = ()

    @property
    def released(self) -> bool:
        """Whether anything was ever released to the channel."""
        return self.change_set is not None

    @property
    def drifted(self) -> bool:
        """Whether the cluster is not what was released, after what was healed."""
        return any(app.drifted for app in self.apps)

    @property
    def restorable(self) -> bool:
        """Whether putting back the release would change anything."""
        return any(app.restorable for app in self.apps)
