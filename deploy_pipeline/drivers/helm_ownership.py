"""Objects of a chart that are in the cluster already, and whose they are.

Helm takes over an object that its stored release does not have if it bears the marks of that very release; any object,
when it is told to (``--take-ownership``; Helm: ``pkg/action/validate.go``). Here the same is decided before Helm runs,
for all objects at once. Marks that Helm knows nothing of count as well: those of other deployers, and of our own apps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from deploy_pipeline.cluster.objects import ObjectRef, helm_release_of
from deploy_pipeline.cluster.ownership import foreign_owner
from deploy_pipeline.drivers.plan import Step, Target
from deploy_pipeline.errors import OwnedByAnother


def taken_over(
    target: Target, release: tuple[str, str], steps: Sequence[Step], known: Collection[ObjectRef]
) -> tuple[str, ...]:
    """A line for each object that Helm takes over; ``known`` are those that it has stored as the release's.

    Raises OwnedByAnother unless the app says ``adopt``.
    """
    found = []
    for step in steps:
        stranger = _stranger(target, step.live, release, is_known=step.change.ref in known) if step.live else ""
        if stranger:
            found.append(f"{step.change.ref} {stranger}")
    if found and not target.app.adopt:
        raise OwnedByAnother(
            f"app {target.app.name}: {len(found)} object(s) of the chart are not of its Helm release and there already",
            details=found,
            hint="let one have them: rename them here, or remove them there; `adopt: true` for the app takes them over",
        )
    return tuple(f"{line}: it is taken over" for line in found)


def _stranger(target: Target, live: Mapping[str, Any], release: tuple[str, str], *, is_known: bool) -> str:
    """What is said of an object that is not the release's; empty for one that is."""
    owner = foreign_owner(live, target.channel, target.app.name, release)
    if owner:
        return f"belongs to {owner}"
    return "" if is_known or _bears_marks(live, release) else "does not say whose it is"


def _bears_marks(live: Mapping[str, Any], release: tuple[str, str]) -> bool:
    labels = live["metadata"].get("labels") or {}
    return labels.get("app.kubernetes.io/managed-by") == "Helm" and helm_release_of(live) == release
