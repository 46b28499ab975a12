"""What will be done for one app, object by object: the common ground of the drivers.

A plan is made once, by reading and trying only. The change set shown to people and the release that follows come from
the same plan: there is no second computation that could decide otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from deploy_pipeline.changes import (
    AppChanges,
    FieldChange,
    ObjectChange,
    Operation,
    field_changes,
    without_server_choices,
)
from deploy_pipeline.channels import App
from deploy_pipeline.cluster.cluster import Cluster
from deploy_pipeline.cluster.inventory import Inventory, Member
from deploy_pipeline.cluster.objects import (
    APP_LABEL,
    CHANNEL_LABEL,
    FIELD_MANAGER,
    Manifest,
    ObjectRef,
    helm_release_of,
    owner_of,
)
from deploy_pipeline.errors import ApprovalError, OwnedByAnother
from deploy_pipeline.redaction import Redactor
from deploy_pipeline.repository import GitTree
from deploy_pipeline.secret_stores import SecretStore, secret_manifest, secret_values

Progress = Callable[[str], None]

_TRIES = 5

# Pruning one of these takes everything in it or of it along: that is never a consequence of a changed file.
NEVER_PRUNED = frozenset(
    (("", "Namespace"), ("", "PersistentVolumeClaim"), ("apiextensions.k8s.io", "CustomResourceDefinition"))
)


@dataclass(frozen=True)
class Target:
    """One app of one channel on one cluster: what a driver is given.

    ``redactor`` masks change sets. It is made for one plan and knows every secret value of it from the start: what is
    masked, and so the digest, must not depend on which app was planned first or on what else the process has seen.
    """

    channel: str
    app: App
    tree: GitTree
    cluster: Cluster
    store: SecretStore
    owned: Inventory | None
    redactor: Redactor
    progress: Progress


@dataclass(frozen=True)
class Step:
    """One object, and what happens to it. The manifest may hold secret values.

    ``seen`` is the resource version of the live object that the change was computed from, empty if there was none.
    ``owned``: the object becomes the app's; a namespace made only because it is missing belongs to nobody.
    """

    manifest: Manifest = field(repr=False)
    change: ObjectChange
    seen: str = ""
    owned: bool = True


@dataclass(frozen=True)
class AppPlan:
    """What will be done for one app.

    ``steps`` are applied by us, ``watched`` are further objects to wait for (those Helm applies), ``prunes`` are live
    objects to delete, ``kept`` members that left the app and stay, ``helm_release`` namespace and name of the app's
    Helm release, ``values`` the secret values files for it.
    """

    target: Target
    changes: AppChanges
    steps: tuple[Step, ...]
    watched: tuple[Manifest, ...] = field(default=(), repr=False)
    prunes: tuple[Manifest, ...] = field(default=(), repr=False)
    kept: tuple[Member, ...] = ()
    helm_release: tuple[str, str] | None = None
    values: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def foundation(self) -> tuple[Step, ...]:
        """The steps other apps may stand on."""
        return tuple(step for step in self.steps if step.change.ref.is_foundation)

    @property
    def rest(self) -> tuple[Step, ...]:
        """The steps only the app itself stands on."""
        return tuple(step for step in self.steps if not step.change.ref.is_foundation)

    @property
    def inventory(self) -> Inventory:
        """What the app owns once it is released and pruned, in a stable order."""
        found = [Member.of(step.manifest) for step in self.steps if step.owned]
        found += [*(Member.of(manifest) for manifest in self.watched), *self.kept]
        by_ref = {member.ref: member for member in found}
        members = tuple(by_ref[ref] for ref in sorted(by_ref))
        return Inventory(self.changes.app, self.changes.driver, members, self.helm_release)

    @property
    def wanted(self) -> tuple[Manifest, ...]:
        """Every object that must be there and ready in the end."""
        return tuple(step.manifest for step in self.steps) + self.watched


def plan_objects(target: Target, manifests: Sequence[Manifest]) -> tuple[Step, ...]:
    """One step per manifest, in the order of application, missing namespaces first.

    Raises ManifestRejected, OwnedByAnother.
    """
    namespaces = [replace(plan_step(target, m), owned=False) for m in _missing_namespaces(target, manifests)]
    steps = [*namespaces, *(plan_step(target, manifest) for manifest in manifests)]
    return tuple(sorted(steps, key=lambda step: (step.change.ref.rank, step.change.ref)))


def plan_step(target: Target, manifest: Manifest, manager: str = FIELD_MANAGER) -> Step:
    """What applying one located manifest would change. Raises ManifestRejected, OwnedByAnother."""
    objects, redactor = target.cluster.objects, target.redactor
    ref, live = ObjectRef.of(manifest), objects.live(manifest)
    if live is None:
        return Step(manifest, ObjectChange(ref, Operation.CREATE, _fields_of_new(target, manifest, manager)))
    if manager == FIELD_MANAGER:
        _check_owner(target, live)
    fields = field_changes(live, objects.dry_run(manifest, manager) or manifest, redactor)
    operation = Operation.UPDATE if fields else Operation.NONE
    return Step(manifest, ObjectChange(ref, operation, fields), live["metadata"]["resourceVersion"])


def _fields_of_new(target: Target, manifest: Manifest, manager: str) -> tuple[FieldChange, ...]:
    """The fields of an object that is not there yet, as far as they are no chance.

    The server makes up some of them (addresses, ports, the selector of a Job): what differs between two tries is made
    up.
    """
    objects, redactor = target.cluster.objects, target.redactor
    tries = [objects.dry_run(manifest, manager) for _ in range(2)]
    first, second = (
        field_changes(None, without_server_choices(tried, manifest) if tried else manifest, redactor) for tried in tries
    )
    return tuple(change for change in first if change in second)


def _check_owner(target: Target, live: Mapping[str, Any]) -> None:
    """Raise OwnedByAnother when the live object belongs to another app, channel or Helm release."""
    owner, helm = owner_of(live), helm_release_of(live)
    if helm is not None:
        raise OwnedByAnother(f"{ObjectRef.of(live)} belongs to the Helm release {helm[0]}/{helm[1]}")
    if owner is not None and owner != (target.channel, target.app.name):
        raise OwnedByAnother(
            f"{ObjectRef.of(live)} belongs to app {owner[1]} of channel {owner[0]}",
            hint="let one app have it: rename it here, or remove it there and release that first",
        )


def check_release(target: Target, release: tuple[str, str] | None) -> None:
    """Raise OwnedByAnother when the app is another Helm release in the cluster: that one would run on, forgotten."""
    old = target.owned.helm_release if target.owned else None
    if old is not None and old != release:
        now = f"{release[0]}/{release[1]}" if release else "none"
        raise OwnedByAnother(
            f"app {target.app.name} is the Helm release {old[0]}/{old[1]} in the cluster, "
            f"the channel file now says {now}",
            hint="remove the app from the channel file and release that, then add it again",
        )


def labelled(manifest: Manifest, channel: str, app: str) -> Manifest:
    """The manifest with its owner's labels."""
    metadata = dict(manifest["metadata"])
    metadata["labels"] = {**(metadata.get("labels") or {}), CHANNEL_LABEL: channel, APP_LABEL: app}
    return {**manifest, "metadata": metadata}


def secret_manifests(target: Target) -> dict[str, Manifest]:
    """The Secrets the app names, from the store, labelled; their values are known to the redactor from here on."""
    found = {}
    for name in target.app.secrets:
        manifest = secret_manifest(target.store.read(name), target.app.namespace)
        target.cluster.redactor.learn(secret_values(manifest))
        found[name] = labelled(manifest, target.channel, target.app.name)
    return found


def _missing_namespaces(target: Target, manifests: Sequence[Manifest]) -> tuple[Manifest, ...]:
    """Manifests for namespaces the app needs, that neither it brings nor the cluster has. Nobody owns them."""
    brought = {ref.name for ref in map(ObjectRef.of, manifests) if ref.kind == "Namespace"}
    needed = {ObjectRef.of(manifest).namespace for manifest in manifests} | {target.app.namespace or ""}
    candidates: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for name in sorted(needed - brought - {""})
    ]
    return tuple(manifest for manifest in candidates if target.cluster.objects.live(manifest) is None)


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
        live = target.cluster.objects.live(member.stub()) if member.ref not in refs else None
        if live is not None:
            result = leave(target, member, live, result)
    return result.in_order


def leave(target: Target, member: Member, live: Manifest, result: Leaving) -> Leaving:
    """``result``, and what happens to one live member that left the app."""
    if (member.ref.group, member.ref.kind) in NEVER_PRUNED:
        warning = f"{member.ref} left the app and stays: objects of its kind are not pruned"
        return replace(result, kept=(*result.kept, member), warnings=(*result.warnings, warning))
    if owner_of(live) != (target.channel, target.app.name):
        warning = f"{member.ref} left the app and stays: it no longer carries the app's labels"
        return replace(result, warnings=(*result.warnings, warning))
    return replace(result, prunes=(*result.prunes, live))


def apply_steps(target: Target, steps: Iterable[Step], before_write: Callable[[], None]) -> None:
    """Apply what changes, in order; ``before_write`` is called before each write and may raise."""
    for step in steps:
        if step.change.operation is not Operation.NONE:
            _apply(target, step, before_write)
            target.progress(f"{target.app.name}: {step.change.ref} {step.change.operation.value}d")


def _apply(target: Target, step: Step, before_write: Callable[[], None]) -> None:
    """Apply one object, unless it is no longer what the change was computed from.

    Controllers write to objects all the time. A write that leaves the change the same is none of our business; one that
    makes it another change was approved by nobody. Raises ApprovalError.
    """
    seen = step.seen
    for _ in range(_TRIES):
        before_write()
        located = target.cluster.objects.locate(step.manifest, target.app.namespace)
        if target.cluster.objects.apply(located, seen=seen) is not None:
            return
        again = plan_step(target, step.manifest)
        if again.change.operation is Operation.NONE:
            return  # our own write, whose answer was lost
        if again.change != step.change:
            break
        seen = again.seen
    raise ApprovalError(
        f"{step.change.ref} was changed by somebody else while it was being released",
        hint="look at the change set and launch `promote` again to approve it",
    )


def prune_objects(target: Target, prunes: Iterable[Manifest], before_write: Callable[[], None]) -> None:
    """Delete live objects that were planned to be pruned, in order."""
    for live in prunes:
        before_write()
        target.cluster.objects.delete(live)
        target.progress(f"{target.app.name}: {ObjectRef.of(live)} pruned")
