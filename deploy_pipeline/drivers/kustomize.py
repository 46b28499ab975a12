"""The kustomize driver: what lies in ``rendered/`` is applied, object by object, by server-side apply."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from deploy_pipeline.changes import AppChanges, field_changes
from deploy_pipeline.channels import Driver
from deploy_pipeline.cluster.objects import Manifest, ObjectRef
from deploy_pipeline.drivers.applying import apply_steps
from deploy_pipeline.drivers.leaving import Leaving, plan_leaving, prune_objects
from deploy_pipeline.drivers.locating import located
from deploy_pipeline.drivers.plan import AppPlan, Step, Target, check_release, secret_manifests
from deploy_pipeline.drivers.restarting import with_fingerprints
from deploy_pipeline.drivers.steps import plan_objects
from deploy_pipeline.redaction import Redactor


def plan(target: Target) -> AppPlan:
    """What a release would do for the app. Reads and tries only."""
    check_release(target, None)
    rendered = located(target, target.rendered, target.definitions)
    secrets = secret_manifests(target).values()
    manifests = (*secrets, *with_fingerprints(target, rendered, secrets))
    steps = plan_objects(target, manifests)
    warnings: tuple[str, ...] = ()
    leaving = Leaving()
    if rendered:
        leaving = plan_leaving(target, manifests)
    elif target.owned and target.owned.members:
        warnings = ("the app renders to nothing: none of its objects are pruned",)
    changes = AppChanges(
        app=target.app.name,
        driver=Driver.KUSTOMIZE.value,
        objects=tuple(step.change for step in steps) + leaving.changes,
        warnings=(*warnings, *_taken_over(steps), *leaving.warnings),
        ignored=tuple(_ignored(steps, target.redactor)),
    )
    kept = leaving.kept if rendered else target.owned.members if target.owned else ()
    return AppPlan(target, changes, steps, prunes=leaving.prunes, kept=kept)


def _taken_over(steps: Sequence[Step]) -> tuple[str, ...]:
    return tuple(f"{step.change.ref} is taken over from {step.taken_from}" for step in steps if step.taken_from)


def _ignored(steps: Sequence[Step], redactor: Redactor) -> Iterator[str]:
    """The fields of live objects that are not what the manifest says, and are let be so by an ignore rule."""
    for step in steps:
        left = field_changes(step.manifest, step.desired, redactor) if step.manifest != step.desired else ()
        if left:
            yield f"{step.change.ref}: {', '.join(change.path for change in left)}"


def apply(plan: AppPlan, before_write: Callable[[], None]) -> dict[ObjectRef, Manifest]:
    """Apply the objects that change, in order; returns them as they are then."""
    return apply_steps(plan.target, plan.rest, before_write)


def prune(plan: AppPlan, before_write: Callable[[], None]) -> None:
    """Delete what left the app."""
    prune_objects(plan.target, plan.prunes, before_write)
