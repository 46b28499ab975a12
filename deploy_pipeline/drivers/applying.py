"""Doing exactly what the steps of a plan say: applying, deleting, making anew.

Each write names what it was planned from, so that nothing is written over what nobody has looked at: an object that
moved on is planned again, and what would become of it must be what was approved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import groupby

from deploy_pipeline.changes import Operation
from deploy_pipeline.cluster.managed_fields import handed_over, is_written_by_others
from deploy_pipeline.cluster.objects import FIELD_MANAGER, Manifest, ObjectRef, resource_version
from deploy_pipeline.drivers.emptied import with_emptied
from deploy_pipeline.drivers.plan import Step, Target
from deploy_pipeline.drivers.steps import CLIENT_SIDE, plan_step
from deploy_pipeline.errors import ApprovalError, ClusterUnreachable, ReleaseFailed

_COMES_BY_ITSELF = frozenset((("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")))
"""What Kubernetes makes in each new namespace, so also in one that the release has just made."""

_TRIES = 5
_POLL = 0.5


def apply_steps(target: Target, steps: Iterable[Step], before_write: Callable[[], None]) -> dict[ObjectRef, Manifest]:
    """Apply what changes: kind after kind, the objects of a kind side by side; returns the objects as they are then.

    ``before_write`` is called before each write and may raise.
    """

    def apply(step: Step) -> tuple[ObjectRef, Manifest]:
        applied = _apply(target, step, before_write)
        target.progress(f"{target.app.name}: {step.change.ref} {step.change.operation.value}d")
        return step.change.ref, applied

    changing = (step for step in steps if step.change.operation is not Operation.NONE)
    ranks = groupby(changing, key=lambda step: step.change.ref.rank)
    return dict(pair for _, group in ranks for pair in target.cluster.side_by_side.each(apply, list(group)))


def _apply(target: Target, step: Step, before_write: Callable[[], None]) -> Manifest:
    """Apply one object, unless it is no longer what the change was computed from; returns it as it is then.

    Controllers write to objects all the time. A write that leaves the change the same is none of our business; one that
    makes it another change was approved by nobody. Raises ApprovalError.
    """
    planned = step.change
    for _ in range(_TRIES):
        before_write()
        applied = _carry_out(target, step, before_write)
        if applied is not None:
            return applied
        step = plan_step(target, step.desired)
        if step.change.operation is Operation.NONE and step.live is not None:
            return step.live  # our own write, whose answer was lost
        if step.change != planned:
            break
    raise changed_meanwhile(planned.ref)


def _carry_out(target: Target, step: Step, before_write: Callable[[], None]) -> Manifest | None:
    """Do what the step says; None when the object has to be looked at again first."""
    objects = target.cluster.objects
    if step.live is not None and step.takes_over:
        # The apply that follows is planned again: that it does what was approved is seen, not computed.
        objects.set_managed_fields(step.live, handed_over(step.live, CLIENT_SIDE, FIELD_MANAGER) or ())
        return None
    if step.live is not None and step.change.operation is Operation.RECREATE:
        return _recreate(target, step, step.live, before_write)
    located = objects.locate(step.manifest, target.app.namespace)
    if step.live is None:
        return _make(target, step, located, before_write)
    applied = objects.apply(located, seen=resource_version(step.live))
    if applied and with_emptied(applied.object, located, step.live) != applied.object:
        before_write()
        applied = objects.apply(located, seen=resource_version(applied.object))
    return applied.object if applied else None


def _recreate(target: Target, step: Step, live: Manifest, before_write: Callable[[], None]) -> Manifest | None:
    if not delete_and_wait(target, live, before_write):
        return None
    before_write()
    return _make(target, step, step.manifest, before_write)


def _make(target: Target, step: Step, manifest: Manifest, before_write: Callable[[], None]) -> Manifest | None:
    """Make an object that is not there; None when one is, by now: perhaps our own, whose making went unanswered.

    All channels write as the same manager, so that only the answer to a request tells whose object it was. Raises
    ApprovalError when somebody else's was written to.
    """
    objects, tries = target.cluster.objects, 0
    while True:
        try:
            applied = objects.apply(manifest)
            break
        except ClusterUnreachable:
            tries += 1
            if objects.live(manifest) is not None:
                return None
            if tries == _TRIES:
                raise
        time.sleep(_POLL)
        before_write()
    if applied and not applied.made and step.owned and _was_anothers(applied.object):
        raise written_meanwhile(step.change.ref)
    return applied.object if applied else None


def _was_anothers(found: Manifest) -> bool:
    """Whether an object that was found where none should be may have been somebody's; we have written to it already."""
    ref = ObjectRef.of(found)
    return (ref.kind, ref.name) not in _COMES_BY_ITSELF or is_written_by_others(found, FIELD_MANAGER)


def delete_and_wait(target: Target, live: Manifest, before_write: Callable[[], None]) -> bool:
    """Delete an object and wait until it is gone; False when it was written since it was read.

    Raises ReleaseFailed when it is still there after the app's time limit.
    """
    objects, ref = target.cluster.objects, ObjectRef.of(live)
    if not objects.delete(live, foreground=True):
        return False
    deadline = time.monotonic() + target.app.timeout_seconds
    target.progress(f"{target.app.name}: {ref} is being deleted to be made anew")
    while (now := objects.live(live)) is not None and now["metadata"]["uid"] == live["metadata"]["uid"]:
        if time.monotonic() > deadline:
            finalizers = ", ".join(now["metadata"].get("finalizers") or ()) or "none"
            raise ReleaseFailed(f"{ref} is still being deleted; its finalizers: {finalizers}")
        time.sleep(_POLL)
        before_write()
    return True


def written_meanwhile(ref: ObjectRef) -> ApprovalError:
    """The error for an object that somebody made after the change was computed, and that our write went to."""
    return ApprovalError(
        f"{ref} was made by somebody else while it was being released",
        details=["what the release was to make was written to it; fields and marks that it had may be overwritten"],
        hint="compare it with what made it, another channel perhaps; then launch `promote` again",
    )


def changed_meanwhile(ref: ObjectRef) -> ApprovalError:
    """The error for an object that is no longer what its change was computed from."""
    return ApprovalError(
        f"{ref} was changed by somebody else while it was being released",
        hint="look at the change set and launch `promote` again to approve it",
    )
