"""Single objects: what applying one would change.

A step is planned by reading and trying: the live object, then a server-side dry run of the apply to just that one. An
object that proves itself to be as it is wanted is not tried. What cannot be tried in one request is put together of
several: fields that ``kubectl apply`` once set and that left the manifest (they become ours, and so go), and objects
that have to be deleted and made anew because a field of theirs cannot change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from deploy_pipeline.changes import (
    FieldChange,
    ObjectChange,
    Operation,
    field_changes,
    with_marked_choices,
    without_server_choices,
)
from deploy_pipeline.cluster.applied import is_applied
from deploy_pipeline.cluster.managed_fields import without_handed_over
from deploy_pipeline.cluster.objects import FIELD_MANAGER, Manifest, ObjectRef, resource_version
from deploy_pipeline.cluster.ownership import foreign_owner
from deploy_pipeline.drivers.emptied import with_emptied
from deploy_pipeline.drivers.ignoring import without_ignored
from deploy_pipeline.drivers.plan import Step, Target, held_kind
from deploy_pipeline.errors import InvalidObject, ManifestRejected, OwnedByAnother, RaceLost

CLIENT_SIDE = frozenset(("kubectl-client-side-apply",))
"""Managers whose updates are the traces of ``kubectl apply`` without ``--server-side``."""

Attempt = Callable[[Manifest, "Manifest | None"], "Manifest | None"]
"""What an object would be after it is written; given what is sent and the live one. None: the server cannot say yet."""

_TRIES = 5


def plan_objects(target: Target, manifests: Sequence[Manifest]) -> tuple[Step, ...]:
    """One step per manifest, in the order of application, missing namespaces first.

    Raises ManifestRejected, OwnedByAnother.
    """
    namespaces = [replace(plan_step(target, m), owned=False) for m in _missing_namespaces(target, manifests)]
    steps = [*namespaces, *target.cluster.side_by_side.each(lambda manifest: plan_step(target, manifest), manifests)]
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
    objects, ref = target.cluster.objects, ObjectRef.of(manifest)
    writing = _Writing(target, manager, givers, attempt)
    listed = target.read_ahead.take(manifest) if attempt is None else None
    may_be_new = attempt is None and listed is None and (target.owned is None or ref not in target.owned.refs)
    if may_be_new and (made := objects.dry_run_if_new(manifest, manager)):
        return _new(writing, manifest, made)
    said: tuple[str, ...] = ()
    for _ in range(_TRIES):
        live, listed = listed or objects.live(manifest), None
        owner = check_owner(target, live) if live is not None and manager == FIELD_MANAGER else ""
        try:
            step = _new(writing, manifest) if live is None else _changed(writing, manifest, live)
        except RaceLost as lost:
            step, said = None, (lost.message,)
        if step is not None:
            return replace(step, taken_from=owner)
    raise ManifestRejected(f"{ref} is being written all the time: it cannot be compared", details=said)


@dataclass(frozen=True)
class _Writing:
    """How objects are written: as which manager, whose fields become that manager's before, and in which way."""

    target: Target
    manager: str
    givers: Collection[str]
    attempt: Attempt | None

    @property
    def is_ours(self) -> bool:
        """Whether the deployer writes, not Helm."""
        return self.attempt is None and self.manager == FIELD_MANAGER

    def would_make(self, sent: Manifest, live: Manifest | None) -> Manifest | None:
        """What an object would be after it is written. Raises RaceLost when it is no longer the live one."""
        if self.attempt is not None:
            return self.attempt(sent, live)
        return self.target.cluster.objects.dry_run(sent, self.manager, seen=resource_version(live))

    def is_done(self, sent: Manifest, live: Manifest) -> bool:
        """Whether the live object proves that nothing would be written.

        Helm writes all objects of a chart as soon as one changes; webhooks may make something else of each by then.
        """
        return (
            self.manager == FIELD_MANAGER
            and is_applied(sent, live, self.manager)
            and without_handed_over(live, live, self.givers) is None
        )


def _missing_namespaces(target: Target, manifests: Sequence[Manifest]) -> tuple[Manifest, ...]:
    """Manifests for namespaces the app needs, that neither it brings nor the cluster has. Nobody owns them."""
    brought = {ref.name for ref in map(ObjectRef.of, manifests) if ref.kind == "Namespace"}
    needed = {ObjectRef.of(manifest).namespace for manifest in manifests} | {target.app.namespace or ""}
    return tuple(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for name in sorted(needed - brought - {""})
        if not target.read_ahead.has_namespace(name)
    )


def _new(writing: _Writing, manifest: Manifest, made: Manifest | None = None) -> Step:
    """The step for an object that is not there; ``made`` is what a first try gave."""
    first = made or writing.would_make(manifest, None)
    fields = _certain(writing.target, None, manifest, first, lambda: writing.would_make(manifest, None))
    change = ObjectChange(ObjectRef.of(manifest), Operation.CREATE, fields)
    return Step(manifest, change, desired=manifest, tried=first is not None)


def _changed(writing: _Writing, manifest: Manifest, live: Manifest) -> Step | None:
    """The step for an object that is there; None when it was written while we tried."""
    target, ref = writing.target, ObjectRef.of(manifest)
    sent = without_ignored(manifest, live, target.app.ignore, writing.givers)
    if writing.is_done(sent, live):
        return Step(sent, ObjectChange(ref, Operation.NONE), desired=manifest, live=live, tried=False)
    try:
        tried = _try(writing, sent, live)
        if tried is None:
            return None
        fields = tried.fields(sent, live, target)
        if _may_be_chance(fields, sent, target):
            again = _try(writing, sent, live)
            if again is None:
                return None
            others = again.fields(sent, live, target)
            fields = tuple(change for change in fields if change in others)
    except InvalidObject as refused:
        return _recreated(target, manifest, live, refused)
    operation = Operation.UPDATE if fields else Operation.NONE
    change = ObjectChange(ref, operation, fields)
    return Step(sent, change, desired=manifest, live=live, takes_over=bool(fields) and tried.takes_over)


@dataclass(frozen=True)
class _Tried:
    """What an apply would make of a live object, and whether fields have to become ours before."""

    result: Manifest
    takes_over: bool

    def fields(self, sent: Manifest, live: Manifest, target: Target) -> tuple[FieldChange, ...]:
        """What would change."""
        return field_changes(live, with_marked_choices(self.result, sent, live), target.redactor)


def _try(writing: _Writing, sent: Manifest, live: Manifest) -> _Tried | None:
    """Try the apply of a manifest to a live object; None when that was written meanwhile."""
    applied = writing.would_make(sent, live) or sent
    left = without_handed_over(applied, live, writing.givers)
    if left is None:
        return _Tried(with_emptied(applied, sent, live) if writing.is_ours else applied, takes_over=False)
    left["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
    replaced = writing.target.cluster.objects.dry_run_replace(left)
    return _Tried(replaced, takes_over=True) if replaced is not None else None


def _may_be_chance(fields: Sequence[FieldChange], sent: Manifest, target: Target) -> bool:
    """Whether a field comes that the manifest does not name: the server may choose another value at each try."""
    coming = {change.path for change in fields if change.before is None}
    return bool(coming) and not coming <= {change.path for change in field_changes(None, sent, target.redactor)}


def _recreated(target: Target, manifest: Manifest, live: Manifest, refused: InvalidObject) -> Step:
    """The step for an object that cannot become what is wanted in place. Raises ManifestRejected unless allowed."""
    objects, ref = target.cluster.objects, ObjectRef.of(manifest)
    try:
        first = objects.dry_run_as_new(manifest)
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
    fields = _certain(target, live, manifest, first, lambda: objects.dry_run_as_new(manifest))
    return Step(manifest, ObjectChange(ref, Operation.RECREATE, fields), desired=manifest, live=live)


def _certain(
    target: Target,
    before: Manifest | None,
    manifest: Manifest,
    first: Manifest | None,
    again: Callable[[], Manifest | None],
) -> tuple[FieldChange, ...]:
    """What an object that is made will differ in from what was before, as far as it is no chance.

    The server makes up some fields (addresses, ports, the selector of a Job): what differs between two tries is made
    up. An object to which the server adds nothing, or only what it adds to all of its kind, is tried once.
    """
    made = _made(manifest, first, before)
    changes = field_changes(before, made, target.redactor)
    if target.defaults.explain(manifest, made):
        return changes
    others = field_changes(before, _made(manifest, again(), before), target.redactor)
    if changes == others:
        target.defaults.learn(manifest, made)
    return tuple(change for change in changes if change in others)


def _made(manifest: Manifest, tried: Manifest | None, before: Manifest | None) -> Manifest:
    """What a try made of a manifest, as far as that is certain; the manifest if it could not be tried."""
    if tried is None:
        return manifest
    return with_marked_choices(tried, manifest, None) if before else without_server_choices(tried, manifest)


def check_owner(target: Target, live: Manifest) -> str:
    """Whom a live object is taken over from, empty if nobody else has it; OwnedByAnother unless the app adopts."""
    owner = foreign_owner(live, target.channel, target.app.name)
    if owner and not target.app.adopt:
        raise OwnedByAnother(
            f"{ObjectRef.of(live)} belongs to {owner}",
            hint="let one have it: rename it here, or remove it there first; `adopt: true` for the app takes it over",
        )
    return owner
