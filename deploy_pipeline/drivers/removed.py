"""An app that left the channel: everything it owned goes, unless its kind is never pruned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from deploy_pipeline.changes import AppChanges, ObjectChange, Operation
from deploy_pipeline.cluster.inventory import Inventory, Member
from deploy_pipeline.cluster.objects import helm_release_of
from deploy_pipeline.drivers import helm_tool
from deploy_pipeline.drivers.plan import AppPlan, Target, plan_leaving, prune_objects


def plan(target: Target, owned: Inventory) -> AppPlan:
    """What removing the app would delete. ``target.app`` stands for the app that is no longer described."""
    ours = plan_leaving(replace(target, owned=replace(owned, members=_not_of_helm(target, owned))), ())
    by_helm = [
        member.ref for member in owned.members if member not in _not_of_helm(target, owned) and _is_live(target, member)
    ]
    objects = (*ours.changes, *(ObjectChange(ref, Operation.PRUNE) for ref in by_helm))
    return AppPlan(
        target,
        AppChanges(
            app=owned.app,
            driver=owned.driver,
            objects=objects,
            warnings=ours.warnings,
            removed=True,
            reapply="the Helm release is uninstalled" if owned.helm_release else "",
        ),
        steps=(),
        prunes=ours.prunes,
        kept=ours.kept,
        helm_release=owned.helm_release,
    )


def prune(plan: AppPlan, before_write: Callable[[], None]) -> None:
    """Uninstall the Helm release, if there is one, and delete what else the app owned."""
    if plan.helm_release:
        before_write()
        helm_tool.uninstall(plan.target, plan.helm_release)
    prune_objects(plan.target, plan.prunes, before_write)


def _not_of_helm(target: Target, owned: Inventory) -> tuple[Member, ...]:
    if not owned.helm_release:
        return owned.members
    return tuple(member for member in owned.members if not _of_release(target, member, owned.helm_release))


def _of_release(target: Target, member: Member, release: tuple[str, str]) -> bool:
    live = target.cluster.objects.live(member.stub())
    return live is not None and helm_release_of(live) == release


def _is_live(target: Target, member: Member) -> bool:
    return target.cluster.objects.live(member.stub()) is not None
