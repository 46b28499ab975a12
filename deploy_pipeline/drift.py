"""Drift: how the cluster differs from what was last released, who did that, and whether what is live is ready."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from deploy_pipeline.changes import FieldOwners, ObjectChange, Operation
from deploy_pipeline.changes.drift import AppDrift, Deviation, DriftResult, FieldDrift, ObjectDrift, Writer
from deploy_pipeline.changes.drift_report import drift_summary
from deploy_pipeline.channels import load_channel
from deploy_pipeline.cluster.labelled import Found
from deploy_pipeline.cluster.managed_fields import Entry, entries
from deploy_pipeline.cluster.objects import APP_LABEL, CHANNEL_LABEL, FIELD_MANAGER, Manifest, ObjectRef, owner_of
from deploy_pipeline.deployer import Deployer, Progress
from deploy_pipeline.drivers.plan import AppPlan
from deploy_pipeline.drivers.waiting import may_be_gone, not_ready
from deploy_pipeline.planning import ChannelPlan, each, plan_channel


@dataclass(frozen=True)
class AppReadiness:
    """Whether the objects an app owns are ready now, and why not."""

    app: str
    ready: bool
    reasons: tuple[str, ...]


def check_drift(deployer: Deployer, channel: str, *, apps: Collection[str] = (), progress: Progress) -> DriftResult:
    """Compare the cluster with the last release of the channel. Writes nothing."""
    deployer = deployer.observing()
    deployer.mirror.fetch()
    last = deployer.cluster(channel).records(channel).last_released()
    if last is None:
        progress(f"nothing was released to {channel} yet")
        return DriftResult(channel)
    tree = deployer.mirror.tree(last.commit)
    plan = plan_channel(deployer, load_channel(tree, channel), tree, apps=apps, released=True, progress=progress)
    return drift_of(deployer, plan, last.commit, apps=apps, progress=progress)


def drift_of(
    deployer: Deployer, plan: ChannelPlan, commit: str, *, apps: Collection[str] = (), progress: Progress
) -> DriftResult:
    """The drift that a plan of the release of ``commit`` shows, and objects that are too many. Writes nothing."""
    plans = [without_finished_jobs(app) for app in plan.apps]
    found = each(deployer, plans, _drift_of_app, lambda app: app.changes.app, f"channel {plan.channel.name}")
    extra = _find_extra(plan, apps)
    by_app = _by_app(extra.objects)
    result = DriftResult(
        channel=plan.channel.name,
        commit=commit,
        change_set=replace(plan.change_set, apps=tuple(app.changes for app in plans)),
        apps=tuple(_with_extra(found, by_app)),
        unseen=extra.unseen,
    )
    progress(f"{result.channel}: {drift_summary(result)}")
    return result


def without_finished_jobs(app: AppPlan) -> AppPlan:
    """The plan without Jobs that are gone because they did their work, and a time to live removed them then."""
    owned = {member.ref for member in app.target.owned.members} if app.target.owned else set()
    done = {ref for manifest in app.wanted if may_be_gone(manifest) and (ref := ObjectRef.of(manifest)) in owned}

    def settled(change: ObjectChange) -> ObjectChange:
        finished = change.operation is Operation.CREATE and change.ref in done
        return replace(change, operation=Operation.NONE, fields=()) if finished else change

    return replace(
        app,
        changes=replace(app.changes, objects=tuple(map(settled, app.changes.objects))),
        steps=tuple(replace(step, change=settled(step.change)) for step in app.steps),
    )


def _drift_of_app(app: AppPlan) -> AppDrift:
    return AppDrift(
        app=app.changes.app,
        driver=app.changes.driver,
        objects=tuple(_drift_of_object(app, change) for change in app.changes.changed),
        as_released=app.changes.counts[Operation.NONE.value],
    )


def _drift_of_object(app: AppPlan, change: ObjectChange) -> ObjectDrift:
    if change.operation is Operation.CREATE:
        return ObjectDrift(change.ref, Deviation.MISSING)
    if change.operation is Operation.PRUNE:
        return ObjectDrift(change.ref, Deviation.EXTRA)
    live = _live(app, change.ref)
    owners = FieldOwners(live) if live else None
    fields = (
        FieldDrift(f.path, f.before, f.after, _writer(owners.of(f.path)) if owners and f.before is not None else None)
        for f in change.fields
    )
    return ObjectDrift(change.ref, Deviation.CHANGED, tuple(fields))


def _live(app: AppPlan, ref: ObjectRef) -> Manifest | None:
    """The object that the change was computed from; of those that Helm applies, the object as it is now."""
    seen = next((step.live for step in app.steps if step.change.ref == ref), None)
    wanted = next((manifest for manifest in app.watched if ObjectRef.of(manifest) == ref), None)
    return app.target.cluster.objects.live(wanted) if seen is None and wanted is not None else seen


def _writer(owners: Iterable[Entry]) -> Writer | None:
    """The latest of a field's owners but us: what we last wrote was what is released."""
    return next((Writer(entry.manager, entry.time) for entry in owners if entry.manager != FIELD_MANAGER), None)


def _find_extra(plan: ChannelPlan, apps: Collection[str]) -> Found:
    """Objects that carry the channel's labels, but were released by none of its apps."""
    selector = f"{CHANNEL_LABEL}={plan.channel.name},{APP_LABEL}"
    found = plan.cluster.labelled.find(f"{selector} in ({','.join(sorted(apps))})" if apps else selector)
    known = {ref for app in plan.apps for ref in map(ObjectRef.of, app.wanted)}
    for inventory in plan.cluster.inventories(plan.channel.name).all().values():
        known |= {member.ref for member in inventory.members}
    return replace(found, objects=tuple(item for item in found.objects if ObjectRef.of(item) not in known))


def _by_app(objects: Iterable[Manifest]) -> dict[str, list[ObjectDrift]]:
    by_app: dict[str, list[ObjectDrift]] = {}
    for live in objects:
        if owner := owner_of(live):
            by_app.setdefault(owner[1], []).append(
                ObjectDrift(ObjectRef.of(live), Deviation.EXTRA, writer=_maker(live))
            )
    return by_app


def _maker(live: Manifest) -> Writer:
    """Who made an object: the manager that wrote to it first, as far as it is still known."""
    first = min(entries(live), key=lambda entry: entry.time, default=None)
    return Writer(first.manager if first else "", str(live["metadata"].get("creationTimestamp") or ""))


def _with_extra(found: Iterable[AppDrift], extra: Mapping[str, list[ObjectDrift]]) -> Iterator[AppDrift]:
    """The drift of every app with its extra objects; labels may also name an app that the channel does not have."""
    found = list(found)
    for app in found:
        yield replace(app, objects=(*app.objects, *sorted(extra.get(app.app, ()), key=lambda item: item.ref)))
    for name in sorted(extra.keys() - {app.app for app in found}):
        yield AppDrift(name, "", tuple(sorted(extra[name], key=lambda item: item.ref)))


def check_ready(
    deployer: Deployer, channel: str, *, apps: Collection[str] = (), progress: Progress
) -> tuple[AppReadiness, ...]:
    """Judge every object the channel's apps own, by their inventories. Writes nothing."""
    cluster = deployer.observing().cluster(channel)
    owned = [inventory for name, inventory in cluster.inventories(channel).all().items() if not apps or name in apps]
    waiting = each(
        deployer,
        owned,
        lambda inventory: not_ready(cluster, [member.stub() for member in inventory.members]),
        lambda inventory: inventory.app,
        f"channel {channel}",
    )
    results = []
    for inventory, states in zip(owned, waiting, strict=True):
        reasons = tuple(f"{ref}: {state.reason}" for ref, state in states.items())
        results.append(AppReadiness(inventory.app, not reasons, reasons))
        progress(f"{inventory.app}: {'not ready' if reasons else 'ready'}")
    return tuple(results)
