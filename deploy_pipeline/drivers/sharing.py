"""What the apps of one channel share: objects, namespaces, kinds and Helm releases, and who of them has what.

Each app is planned alone. Here the plans are held against each other, before anything is shown: what one app brings,
no other may bring, make a bare copy of, prune or uninstall.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from deploy_pipeline.changes import Operation
from deploy_pipeline.cluster.cluster import Cluster
from deploy_pipeline.cluster.objects import Manifest, ObjectRef, defined_kinds
from deploy_pipeline.drivers.plan import AppPlan, held_kind
from deploy_pipeline.errors import ManifestRejected, OwnedByAnother, RefusedError

_HOOK = "helm.sh/hook"
_Owners = dict[ObjectRef, list[str]]


def settled(channel: str, cluster: Cluster, plans: Sequence[AppPlan], *, whole: bool) -> list[AppPlan]:
    """The plans as they can be carried out together. ``whole``: they are of all apps of the channel.

    Raises OwnedByAnother, ManifestRejected, RefusedError.
    """
    brought = _brought(plans)
    _check_shared(channel, brought)
    _check_system_namespace(channel, cluster, plans)
    _check_hooks(channel, plans, brought)
    _check_releases(channel, plans)
    if whole:
        _check_served(channel, cluster, plans)
    return [_with_warnings(_without_bare_namespaces(_without_moved(plan, brought), brought)) for plan in plans]


def _brought(plans: Sequence[AppPlan]) -> _Owners:
    """The apps that bring each object, whether we apply it or Helm does."""
    found: _Owners = {}
    for plan in plans:
        for ref in (*(step.change.ref for step in plan.steps if step.owned), *map(ObjectRef.of, plan.watched)):
            found.setdefault(ref, []).append(plan.changes.app)
    return found


def _check_shared(channel: str, brought: _Owners) -> None:
    """Raise OwnedByAnother when an object is brought more than once: its apps would take it from each other."""
    shared = {ref: apps for ref, apps in brought.items() if len(apps) > 1}
    if shared:
        raise OwnedByAnother(
            f"channel {channel}: {len(shared)} object(s) are brought more than once",
            details=[f"{ref} by {' and '.join(apps)}" for ref, apps in sorted(shared.items())],
            hint="let one app have each of them, once: as a manifest or as a stored secret",
        )


def _check_system_namespace(channel: str, cluster: Cluster, plans: Sequence[AppPlan]) -> None:
    """Raise RefusedError for objects in the deployer's own namespace, hooks and records of Helm included.

    Approvals and records of every channel of the cluster lie there: who may write them can approve anything.
    """
    own = cluster.documents.namespace
    inside = [
        f"app {plan.changes.app}: {ObjectRef.of(manifest)}"
        for plan in plans
        for manifest in (*plan.wanted, *plan.hooks)
        if own in (manifest["metadata"].get("namespace"), _namespace_of(manifest))
    ]
    inside += [f"app {p.changes.app}: its Helm release" for p in plans if p.helm_release and p.helm_release[0] == own]
    if inside:
        raise RefusedError(
            f"channel {channel}: {len(inside)} object(s) would lie in {own}, where the deployer keeps its own records",
            details=sorted(inside),
            hint="give them another namespace",
        )


def _namespace_of(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"]) if manifest["kind"] == "Namespace" else ""


def _check_hooks(channel: str, plans: Sequence[AppPlan], brought: _Owners) -> None:
    """Raise RefusedError for hooks that are more than hooks: Helm deletes what is there before it makes one anew."""
    wrong = [
        f"app {plan.changes.app}: {ObjectRef.of(hook)}: {reason}"
        for plan in plans
        for hook in plan.hooks
        for reason in _objections(plan, hook, brought)
    ]
    if wrong:
        raise RefusedError(
            f"channel {channel}: Helm would delete more than hooks to run its hooks",
            details=sorted(wrong),
            hint="give the hook another name, or make it an ordinary object of the chart",
        )


def _objections(plan: AppPlan, hook: Manifest, brought: _Owners) -> Iterator[str]:
    ref, held = ObjectRef.of(hook), held_kind(hook)
    owned = plan.target.owned.refs if plan.target.owned else frozenset()
    if ref in brought or ref in owned:
        yield "an app has an object of that name"
    live = plan.target.cluster.objects.live(hook)
    if live is not None and _HOOK not in (live["metadata"].get("annotations") or {}):
        yield "it is there, and is no hook"
    if held and held not in plan.target.prune.kinds:
        yield f"each {held} is deleted only if the channel's prune_kinds names it"


def _check_releases(channel: str, plans: Sequence[AppPlan]) -> None:
    """Raise OwnedByAnother when an app that left the channel has the Helm release of one that is in it."""
    present = {plan.helm_release: plan.changes.app for plan in plans if plan.helm_release and not plan.changes.removed}
    renamed = {
        plan.changes.app: present[plan.helm_release]
        for plan in plans
        if plan.changes.removed and plan.helm_release in present
    }
    if renamed:
        raise OwnedByAnother(
            f"channel {channel}: the Helm release of an app that is there would be uninstalled",
            details=[f"it is that of app {old}, which left the channel, and of {new}" for old, new in renamed.items()],
            hint="let the app keep the name under which it was released",
        )


def _check_served(channel: str, cluster: Cluster, plans: Sequence[AppPlan]) -> None:
    """Raise ManifestRejected for objects of kinds that neither the cluster serves nor this release brings."""
    defined = {kind for plan in plans for manifest in plan.wanted for kind in defined_kinds(manifest)}
    missing = [
        f"app {plan.changes.app}: {ObjectRef.of(manifest)}: {manifest['kind']} of {manifest['apiVersion']}"
        for plan in plans
        for manifest in plan.wanted
        if (manifest["apiVersion"], manifest["kind"]) not in defined and not cluster.objects.serves(manifest)
    ]
    if missing:
        raise ManifestRejected(
            f"channel {channel}: the cluster does not serve the kinds of {len(missing)} object(s)",
            details=missing,
            hint="install their CustomResourceDefinitions first, or correct apiVersion and kind",
        )


def _without_moved(plan: AppPlan, brought: _Owners) -> AppPlan:
    """The plan without pruning what another app of the channel takes over by the same release."""
    moved = {ref: brought[ref][0] for ref in map(ObjectRef.of, plan.prunes) if ref in brought}
    if not moved:
        return plan
    if plan.helm_release:
        raise OwnedByAnother(
            f"app {plan.changes.app}: Helm would delete objects that other apps take over",
            details=[f"{ref}: to app {app}" for ref, app in sorted(moved.items())],
            hint="annotate them with helm.sh/resource-policy: keep in the chart and release that first",
        )
    changes = replace(
        plan.changes,
        objects=tuple(change for change in plan.changes.objects if change.ref not in moved),
        warnings=(*plan.changes.warnings, *(f"{ref} goes over to app {app}" for ref, app in sorted(moved.items()))),
    )
    return replace(plan, changes=changes, prunes=tuple(live for live in plan.prunes if ObjectRef.of(live) not in moved))


def _without_bare_namespaces(plan: AppPlan, brought: _Owners) -> AppPlan:
    """The plan without making namespaces that an app of the channel brings: a bare one would undo its labels."""
    bare = {step.change.ref for step in plan.steps if not step.owned and step.change.ref in brought}
    if not bare:
        return plan
    objects = tuple(change for change in plan.changes.objects if change.ref not in bare)
    steps = tuple(step for step in plan.steps if step.change.ref not in bare)
    return replace(plan, changes=replace(plan.changes, objects=objects), steps=steps)


def _with_warnings(plan: AppPlan) -> AppPlan:
    """The plan with what no dry run can show: objects are tried while their definition is still the old one."""
    warnings = tuple(
        f"the schema of {change.ref.name} changes: its objects may get other defaults than shown"
        for change in plan.changes.changed
        if change.ref.kind == "CustomResourceDefinition" and any(".schema." in field.path for field in change.fields)
        if change.operation is Operation.UPDATE
    )
    return (
        replace(plan, changes=replace(plan.changes, warnings=(*plan.changes.warnings, *warnings))) if warnings else plan
    )
