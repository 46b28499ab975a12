"""Single objects: what applying one would change, and applying exactly that.

A step is planned by reading and trying: GET, then a server-side dry run. What cannot be tried in one request is put
together of several: fields that ``kubectl apply`` once set and that left the manifest (they become ours, and so go),
and objects that have to be deleted and made anew because a field of theirs cannot change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from deploy_pipeline.changes import FieldChange, ObjectChange, Operation, field_changes, is_same, without_server_choices
from deploy_pipeline.cluster.managed_fields import handed_over, is_written_by_others, without_handed_over
from deploy_pipeline.cluster.objects import FIELD_MANAGER, Manifest, ObjectRef
from deploy_pipeline.cluster.ownership import foreign_owner
from deploy_pipeline.drivers.ignoring import without_ignored
from deploy_pipeline.drivers.plan import Step, Target, held_kind
from deploy_pipeline.errors import (
    ApprovalError,
    ClusterUnreachable,
    InvalidObject,
    ManifestRejected,
    OwnedByAnother,
    ReleaseFailed,
)

CLIENT_SIDE = frozenset(("kubectl-client-side-apply",))
"""Managers whose updates are the traces of ``kubectl apply`` without ``--server-side``."""

Attempt = Callable[[Manifest, "Manifest | None"], "Manifest | None"]
"""What an object would be after it is written; given what is sent and the live one. None: the server cannot say yet."""

_COMES_BY_ITSELF = frozenset((("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")))
"""What Kubernetes makes in each new namespace, so also in one that the release has just made."""

_TRIES = 5
_POLL = 0.5


def plan_objects(target: Target, manifests: Sequence[Manifest]) -> tuple[Step, ...]:
    """One step per manifest, in the order of application, missing namespaces first.

    Raises ManifestRejected, OwnedByAnother.
    """
    namespaces = [replace(plan_step(target, m), owned=False) for m in _missing_namespaces(target, manifests)]
    steps = [*namespaces, *target.cluster.side_by_side(lambda manifest: plan_step(target, manifest), manifests)]
    return tuple(sorted(steps, key=lambda step: (step.change.ref.rank, step.change.ref)))


def plan_step(
    target: Target,
    manifest: Manifest,
    manager: str = FIELD_MANAGER,
    *,
    givers: Collection[str] = CLIENT_SIDE,
    attempt: Attempt | None = None,
) -> Step:
    """What applying one located manifest as ``manager`` would change, once the givers' fields are that manager's.

    ``attempt`` stands for another way of writing than server-side apply. Raises ManifestRejected, OwnedByAnother.
    """
    objects, known = target.cluster.objects, target.owned.refs if target.owned else frozenset()
    tried: Attempt = attempt or (lambda sent, _: objects.dry_run(sent, manager))
    if attempt is None and ObjectRef.of(manifest) not in known and (made := objects.dry_run_if_new(manifest, manager)):
        return _new(target, manifest, tried, made)
    for _ in range(_TRIES):
        live = objects.live(manifest)
        owner = check_owner(target, live) if live is not None and manager == FIELD_MANAGER else ""
        step = _new(target, manifest, tried) if live is None else _changed(target, manifest, live, givers, tried)
        if step is not None:
            return replace(step, taken_from=owner)
    raise ManifestRejected(f"{ObjectRef.of(manifest)} is being written all the time: it cannot be compared")


def _missing_namespaces(target: Target, manifests: Sequence[Manifest]) -> tuple[Manifest, ...]:
    """Manifests for namespaces the app needs, that neither it brings nor the cluster has. Nobody owns them."""
    brought = {ref.name for ref in map(ObjectRef.of, manifests) if ref.kind == "Namespace"}
    needed = {ObjectRef.of(manifest).namespace for manifest in manifests} | {target.app.namespace or ""}
    candidates: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for name in sorted(needed - brought - {""})
    ]
    return tuple(manifest for manifest in candidates if target.cluster.objects.live(manifest) is None)


def _new(target: Target, manifest: Manifest, attempt: Attempt, made: Manifest | None = None) -> Step:
    """The step for an object that is not there; ``made`` is what a first try gave."""
    tries = iter([made] if made else ())
    fields = _certain(target, None, manifest, lambda: next(tries, None) or attempt(manifest, None))
    return Step(manifest, ObjectChange(ObjectRef.of(manifest), Operation.CREATE, fields), desired=manifest)


def _changed(
    target: Target, manifest: Manifest, live: Manifest, givers: Collection[str], attempt: Attempt
) -> Step | None:
    """The step for an object that is there; None when it was written while we tried."""
    sent = without_ignored(manifest, live, target.app.ignore, givers)
    try:
        tried = _try(target, sent, live, givers, attempt)
    except InvalidObject as refused:
        return _recreated(target, manifest, live, refused)
    if tried is None:
        return None
    fields = field_changes(live, tried.result, target.redactor)
    operation = Operation.UPDATE if fields else Operation.NONE
    if _may_be_chance(fields, sent, target):
        again = _try(target, sent, live, givers, attempt)
        if again is None:
            return None
        others = field_changes(live, again.result, target.redactor)
        fields = tuple(change for change in fields if change in others)
    change = ObjectChange(ObjectRef.of(manifest), operation, fields)
    return Step(sent, change, desired=manifest, live=live, takes_over=bool(fields) and tried.takes_over)


@dataclass(frozen=True)
class _Tried:
    """What an apply would make of a live object, and whether fields have to become ours before."""

    result: Manifest
    takes_over: bool


def _try(target: Target, sent: Manifest, live: Manifest, givers: Collection[str], attempt: Attempt) -> _Tried | None:
    """Try the apply of a manifest to a live object; None when that was written meanwhile."""
    applied = attempt(sent, live) or sent
    left = without_handed_over(applied, live, givers)
    if left is None:
        return _Tried(applied, takes_over=False)
    left["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
    replaced = target.cluster.objects.dry_run_replace(left)
    return _Tried(replaced, takes_over=True) if replaced is not None else None


def _may_be_chance(fields: Sequence[FieldChange], sent: Manifest, target: Target) -> bool:
    """Whether a field comes that the manifest does not name: the server may choose another value at each try."""
    coming = {change.path for change in fields if change.before is None}
    return bool(coming) and not coming <= {change.path for change in field_changes(None, sent, target.redactor)}


def _recreated(target: Target, manifest: Manifest, live: Manifest, refused: InvalidObject) -> Step:
    """The step for an object that cannot become what is wanted in place. Raises ManifestRejected unless allowed."""
    objects, ref = target.cluster.objects, ObjectRef.of(manifest)
    try:
        objects.dry_run_as_new(manifest)
    except ManifestRejected:
        raise refused from None  # it could not be made anew either: what is wrong with it is something else
    if not target.app.recreate:
        raise ManifestRejected(
            f"{ref} cannot be changed in place",
            details=refused.details or (refused.message,),
            hint="`recreate: true` for the app lets a release delete it and make it anew; or give it another name",
        )
    held = held_kind(live)
    if held and held not in target.prune.kinds:
        raise ManifestRejected(
            f"{ref} cannot be changed in place, and to delete it would delete what it holds",
            details=refused.details or (refused.message,),
            hint=f"give it another name; or let the channel's prune_kinds name {held}, released before this change",
        )
    fields = _certain(target, live, manifest, lambda: objects.dry_run_as_new(manifest))
    return Step(manifest, ObjectChange(ref, Operation.RECREATE, fields), desired=manifest, live=live)


def _certain(
    target: Target, before: Manifest | None, manifest: Manifest, attempt: Callable[[], Manifest | None]
) -> tuple[FieldChange, ...]:
    """What an object that is made will differ in from what was before, as far as it is no chance.

    The server makes up some fields (addresses, ports, the selector of a Job): what differs between two tries is made
    up. An object to which the server adds nothing is tried once.
    """
    first = _made(manifest, attempt())
    changes = field_changes(before, first, target.redactor)
    if is_same(first, manifest) or is_same(first, second := _made(manifest, attempt())):
        return changes
    others = field_changes(before, second, target.redactor)
    return tuple(change for change in changes if change in others)


def _made(manifest: Manifest, tried: Manifest | None) -> Manifest:
    """What a try made of a manifest, as far as the server may make the same again; the manifest if it could not try."""
    return without_server_choices(tried, manifest) if tried else manifest


def check_owner(target: Target, live: Manifest) -> str:
    """Whom a live object is taken over from, empty if nobody else has it; OwnedByAnother unless the app adopts."""
    owner = foreign_owner(live, target.channel, target.app.name)
    if owner and not target.app.adopt:
        raise OwnedByAnother(
            f"{ObjectRef.of(live)} belongs to {owner}",
            hint="let one have it: rename it here, or remove it there first; `adopt: true` for the app takes it over",
        )
    return owner


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
    return dict(pair for _, group in ranks for pair in target.cluster.side_by_side(apply, list(group)))


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
    applied = objects.apply(located, seen=step.seen)
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
