"""An app that left the channel: everything it owned goes, unless its kind is never pruned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from deploy_pipeline.changes import AppChanges
from deploy_pipeline.cluster.inventory import Inventory
from deploy_pipeline.cluster.objects import Manifest
from deploy_pipeline.drivers import helm_tool
from deploy_pipeline.drivers.helm_chart import shown
from deploy_pipeline.drivers.helm_leaving import plan_uninstall, prune_left
from deploy_pipeline.drivers.helm_rendering import hook_of
from deploy_pipeline.drivers.leaving import plan_leaving, prune_objects
from deploy_pipeline.drivers.plan import AppPlan, Target

_OF_UNINSTALL = {"pre-delete", "post-delete"}


def plan(target: Target, owned: Inventory) -> AppPlan:
    """What removing the app would delete. ``target.app`` stands for the app that is no longer described."""
    target = replace(target, owned=owned)
    release = owned.helm_release
    last, hooks = _stored(target, release) if release else (None, ())
    leaving = plan_uninstall(target, release, last or ()) if release else plan_leaving(target, ())
    release = release if last is not None else None  # once it is uninstalled, what is kept is all that is left
    return AppPlan(
        target,
        AppChanges(
            app=owned.app,
            driver=owned.driver,
            objects=leaving.changes,
            hooks=hooks,
            warnings=leaving.warnings,
            removed=True,
            reapply="the Helm release is uninstalled" if release else "",
        ),
        steps=(),
        prunes=leaving.prunes,
        kept=leaving.kept,
        helm_release=release,
    )


def prune(plan: AppPlan, before_write: Callable[[], None]) -> None:
    """Uninstall the Helm release, if there is one, and delete what else the app owned."""
    if plan.helm_release:
        before_write()
        helm_tool.uninstall(plan.target, plan.helm_release, before_write)
        prune_left(plan.target, plan.prunes, before_write)
    else:
        prune_objects(plan.target, plan.prunes, before_write)


def _stored(target: Target, release: tuple[str, str]) -> tuple[list[Manifest] | None, tuple[str, ...]]:
    """What the last revision of a release has, None if there is no such release; and the hooks of its removal."""
    with helm_tool.installed(target, release) as helm:
        stored = helm.stored()
        if stored is None:
            return None, ()
        last = helm.objects(stored.last.manifest)
    hooks = (hook_of(hook) for hook in stored.last.hooks if _OF_UNINSTALL & set(hook.get("events") or ()))
    located = [target.cluster.objects.locate(manifest, release[0]) for manifest in last]
    return located, tuple(sorted(shown(target, hook) for hook in hooks))
