"""What happens to the members of an app that are no longer wanted: pruned, or kept for a reason that is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from deploy_pipeline.changes import ObjectChange, Operation
from deploy_pipeline.cluster.inventory import Member
from deploy_pipeline.cluster.objects import Manifest, ObjectRef, owner_of
from deploy_pipeline.cluster.ownership import is_kept
from deploy_pipeline.drivers.applying import changed_meanwhile
from deploy_pipeline.drivers.plan import AppPlan, Target, held_kind
from deploy_pipeline.errors import PruneLimitExceeded

_TRIES = 5


@dataclass(frozen=True)
class Leaving:
    """What happens to the members that are no longer wanted."""

    prunes: tuple[Manifest, ...] = ()
    kept: tuple[Member, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def in_order(self) -> Leaving:
        """With the prunes in the order of deletion."""
        return replace(self, prunes=tuple(sorted(self.prunes, key=lambda m: (-ObjectRef.of(m).rank, ObjectRef.of(m)))))

    @property
    def changes(self) -> tuple[ObjectChange, ...]:
        """The prunes as changes."""
        return tuple(ObjectChange(ObjectRef.of(live), Operation.PRUNE) for live in self.prunes)


def plan_leaving(target: Target, wanted: Iterable[Manifest]) -> Leaving:
    """Members of the inventory that left the app: pruned if they are still there and still ours."""
    refs = {ObjectRef.of(manifest) for manifest in wanted}
    members = target.owned.members if target.owned else ()
    result = Leaving()
    for member in members:
        live = target.cluster.objects.find(member.stub()) if member.ref not in refs else None
        if live is not None:
            result = leave(target, member, live, result)
    return result.in_order


def leave(target: Target, member: Member, live: Manifest, result: Leaving) -> Leaving:
    """``result``, and what happens to one live member that left the app."""
    if owner_of(live) != (target.channel, target.app.name):
        warning = f"{member.ref} left the app and stays: it no longer carries the app's labels"
        return replace(result, warnings=(*result.warnings, warning))
    reason = why_kept(target, live)
    if reason:
        warning = f"{member.ref} left the app and stays: {reason}"
        return replace(result, kept=(*result.kept, member), warnings=(*result.warnings, warning))
    return replace(result, prunes=(*result.prunes, live))


def why_kept(target: Target, live: Manifest) -> str:
    """Why an object that left its app is not deleted; empty if it is."""
    held = held_kind(live)
    if held and held not in target.prune.kinds:
        return f"each {held} is deleted only if the channel's prune_kinds names it"
    if is_kept(live):
        return "it is annotated deploy-pipeline.io/prune: disabled"
    return "it is being deleted already" if live["metadata"].get("deletionTimestamp") else ""


def check_limit(plan: AppPlan) -> None:
    """Raise PruneLimitExceeded when more objects of the app would go than the channel allows."""
    there = sum(change.operation is not Operation.CREATE for change in plan.changes.objects)
    pruned = [str(c.ref) for c in plan.changes.objects if c.operation is Operation.PRUNE]
    limit = plan.target.prune.limit
    if len(pruned) > limit.of(there):
        raise PruneLimitExceeded(
            f"{len(pruned)} of {there} objects would be deleted; the limit is {limit}, here {limit.of(there)}",
            details=pruned,
            hint="if that is meant, raise the channel's prune_limit and release that first",
        )


def prune_objects(target: Target, prunes: Iterable[Manifest], before_write: Callable[[], None]) -> None:
    """Delete live objects that were planned to be pruned, in order."""
    for planned in prunes:
        _prune(target, planned, before_write)
        target.progress(f"{target.app.name}: {ObjectRef.of(planned)} pruned")


def still_there(plan: AppPlan) -> tuple[Member, ...]:
    """What was pruned and is not gone yet, since finalizers hold it: the app still owns it."""
    objects = plan.target.cluster.objects
    return tuple(Member.of(live) for live in plan.prunes if objects.live(live) is not None)


def _prune(target: Target, planned: Manifest, before_write: Callable[[], None]) -> None:
    """Delete one object if it is still the one that was to be deleted. Raises ApprovalError."""
    for _ in range(_TRIES):
        before_write()
        live = target.cluster.objects.live(planned)
        if live is None:
            return
        same = live["metadata"]["uid"] == planned["metadata"]["uid"] and owner_of(live) == owner_of(planned)
        if not same or why_kept(target, live):
            break
        if target.cluster.objects.delete(live):
            return
    raise changed_meanwhile(ObjectRef.of(planned))
