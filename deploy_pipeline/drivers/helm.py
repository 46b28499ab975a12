"""The helm driver: real Helm releases, planned against live objects.

``helm upgrade --install --dry-run=server`` says exactly what Helm would send; each object of it is compared with the
live one by the same server-side dry run that Helm's own server-side apply amounts to (Helm 3 sends patches:
``helm_patching.py``). Helm itself compares with its stored release only, and would not see what changed in the cluster
since.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from deploy_pipeline.changes import AppChanges, ObjectChange, Operation
from deploy_pipeline.channels import Driver
from deploy_pipeline.cluster.objects import Manifest, ObjectRef
from deploy_pipeline.drivers import helm_tool
from deploy_pipeline.drivers.applying import apply_steps, delete_and_wait
from deploy_pipeline.drivers.helm_chart import Chart, read_chart
from deploy_pipeline.drivers.helm_crds import without_foreign
from deploy_pipeline.drivers.helm_leaving import plan_upgrade, prune_left
from deploy_pipeline.drivers.helm_ownership import taken_over
from deploy_pipeline.drivers.helm_patching import attempt_of_helm_3
from deploy_pipeline.drivers.plan import AppPlan, Step, Target, check_release, secret_manifests
from deploy_pipeline.drivers.steps import plan_objects, plan_step
from deploy_pipeline.errors import ApprovalError
from deploy_pipeline.redaction import leaves
from deploy_pipeline.secret_stores import helm_values

_MANAGER = "helm"  # the field manager of Helm's updates and of its server-side apply
_TRIES = 5


def plan(target: Target) -> AppPlan:
    """What a release would do for the app. Reads and tries only."""
    release = (str(target.app.namespace), str(target.app.helm_name))
    check_release(target, release)
    values = _secret_values(target)
    chart = read_chart(target, values)
    crds, left_alone = without_foreign(target, chart.crds)
    steps = plan_objects(target, (*secret_manifests(target).values(), *crds))
    ours = _plan_chart(target, chart)
    taken = taken_over(target, release, ours, {ObjectRef.of(manifest) for manifest in chart.base})
    wanted = {step.change.ref for step in (*ours, *steps)}
    leaving = plan_upgrade(target, release, chart.base, wanted)
    made = (*(step.change for step in ours), *leaving.changes)
    changes = AppChanges(
        app=target.app.name,
        driver=Driver.HELM.value,
        objects=(*(step.change for step in steps), *made),
        hooks=chart.hooks,
        warnings=(*left_alone, *taken, *leaving.warnings),
        reapply=_reason_to_run(chart, made),
        rendering=chart.rendering,
    )
    return AppPlan(
        target,
        changes,
        steps,
        watched=chart.objects,
        prunes=leaving.prunes,
        kept=leaving.kept,
        helm_release=release,
        values=values,
        recreates=tuple(step.live for step in ours if step.live and step.change.operation is Operation.RECREATE),
        adopts=bool(taken),
        hooks=chart.hook_objects,
    )


def apply(plan: AppPlan, before_write: Callable[[], None]) -> dict[ObjectRef, Manifest]:
    """Secrets first, then ``helm upgrade --install``, unless Helm has nothing to do; returns what we applied."""
    target = plan.target
    applied = apply_steps(target, plan.rest, before_write)
    if plan.changes.reapply or _of_chart(plan):
        fresh = _ready_for_helm(plan, before_write)
        before_write()
        with helm_tool.workspace(target, plan.values) as helm:
            revision = helm.upgrade(before_write, adopt=fresh.adopts, hooks=plan.runs_hooks)
        target.progress(f"{target.app.name}: Helm release {target.app.helm_name} is at revision {revision}")
    return applied


def prune(plan: AppPlan, before_write: Callable[[], None]) -> None:
    """Delete what left the app and is still there: Secrets, and what a failed revision of the chart made."""
    prune_left(plan.target, plan.prunes, before_write)


def _plan_chart(target: Target, chart: Chart) -> Sequence[Step]:
    givers = (_MANAGER,) if chart.migrates else ()
    attempt = attempt_of_helm_3(target, chart.base) if chart.sends_patches else None

    def planned(manifest: Manifest) -> Step:
        return plan_step(target, manifest, _MANAGER, givers=givers, attempt=attempt)

    return target.cluster.side_by_side.each(planned, chart.objects)


def _ready_for_helm(planned: AppPlan, before_write: Callable[[], None]) -> AppPlan:
    """The plan made again, once the objects are gone that Helm cannot change in place: it makes what is missing.

    Planned again after each deletion, since Helm itself has no guard against what others do meanwhile. After a kill the
    next release finds the objects missing, and the rest of what was approved is to create them.
    """
    for _ in range(_TRIES):
        again = plan(planned.target)
        _check_unchanged(planned, again)
        if not again.recreates:
            return again
        for live in again.recreates:
            delete_and_wait(planned.target, live, before_write)
    raise _changed(planned)


def _check_unchanged(planned: AppPlan, again: AppPlan) -> None:
    """Raise ApprovalError when Helm would now do something else than planned."""
    if planned.changes.rendering != again.changes.rendering:
        raise ApprovalError(
            f"the chart of app {planned.target.app.name} gives something else now than when it was planned",
            hint="it may ask for what the cluster serves, which this release changes: give it that as a value",
        )
    then, now = _of_chart(planned), _of_chart(again)
    deleted = {
        ref
        for ref, change in now.items()
        if change.operation is Operation.CREATE and ref in then and then[ref].operation is Operation.RECREATE
    }
    if then.keys() != now.keys() or any(now[ref] != then[ref] for ref in then.keys() - deleted):
        raise _changed(planned)


def _changed(planned: AppPlan) -> ApprovalError:
    return ApprovalError(
        f"objects of app {planned.target.app.name} were changed by somebody else while it was being released",
        hint="look at the change set and launch `promote` again to approve it",
    )


def _of_chart(plan: AppPlan) -> dict[ObjectRef, ObjectChange]:
    """What changes of the chart's own objects; a creation without its fields, of which the server can tell more now."""
    ours = {step.change.ref for step in plan.steps}
    return {
        change.ref: replace(change, fields=()) if change.operation is Operation.CREATE else change
        for change in plan.changes.changed
        if change.ref not in ours
    }


def _secret_values(target: Target) -> tuple[bytes, ...]:
    found = []
    for name in target.app.secret_helm_values:
        stored = target.store.read(name)
        target.cluster.redactor.learn(leaves(helm_values(stored)))
        found.append(stored.content)
    return tuple(found)


def _reason_to_run(chart: Chart, made: tuple[ObjectChange, ...]) -> str:
    """Why Helm must run although no object changes; empty if one does, or if it need not."""
    return "" if any(change.operation is not Operation.NONE for change in made) else chart.reason_to_run
