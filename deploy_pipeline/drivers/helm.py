"""The helm driver: real Helm releases, planned against live objects.

``helm upgrade --install --dry-run=server`` says exactly what Helm would send; each object of it is compared with the
live one by the same server-side dry run that Helm's own server-side apply amounts to. Helm itself compares with its
stored release only, and would not see what changed in the cluster since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from deploy_pipeline.changes import AppChanges, ObjectChange, Operation
from deploy_pipeline.channels import Driver
from deploy_pipeline.cluster.objects import Manifest, ObjectRef
from deploy_pipeline.drivers import helm_tool
from deploy_pipeline.drivers.helm_crds import chart_crds, without_foreign
from deploy_pipeline.drivers.helm_leaving import plan_upgrade, prune_left
from deploy_pipeline.drivers.helm_prediction import predict
from deploy_pipeline.drivers.helm_storage import StoredRelease
from deploy_pipeline.drivers.locating import located
from deploy_pipeline.drivers.plan import AppPlan, Target, check_release, secret_manifests
from deploy_pipeline.drivers.steps import apply_steps, plan_objects, plan_step
from deploy_pipeline.errors import ApprovalError, OwnedByAnother
from deploy_pipeline.redaction import leaves
from deploy_pipeline.secret_stores import helm_values

_MANAGER = "helm"  # the field manager of Helm 4's server-side apply


def plan(target: Target) -> AppPlan:
    """What a release would do for the app. Reads and tries only."""
    release = (str(target.app.namespace), str(target.app.helm_name))
    check_release(target, release)
    values = _secret_values(target)
    with helm_tool.workspace(target, values) as helm:
        stored = helm.stored()
        _check_pending(target, stored)
        brought = chart_crds(helm)
        rendering = predict(helm, stored, brought)
        manifest = rendering.manifest
        wanted = helm.objects(manifest)
        same = stored is not None and (stored.last.manifest == manifest or helm.objects(stored.last.manifest) == wanted)
        base = (
            helm.objects(stored.base.manifest)
            if stored and stored.is_installed and stored.base.manifest != manifest
            else ()
        )
    objects = tuple(_as_applied(target, manifest) for manifest in located(target, wanted, brought))
    crds, left_alone = without_foreign(target, brought)
    steps = plan_objects(target, (*secret_manifests(target).values(), *crds))
    changes = [plan_step(target, manifest, _MANAGER).change for manifest in objects]
    leaving = plan_upgrade(
        target,
        release,
        located(target, base),
        {ObjectRef.of(manifest) for manifest in (*objects, *(step.manifest for step in steps))},
    )
    chart = (*changes, *leaving.changes)
    return AppPlan(
        target,
        AppChanges(
            app=target.app.name,
            driver=Driver.HELM.value,
            objects=(*(step.change for step in steps), *chart),
            hooks=tuple(sorted(hook.label for hook in rendering.hooks)),
            warnings=(*left_alone, *leaving.warnings),
            reapply="" if any(c.operation is not Operation.NONE for c in chart) else _reason_to_run(stored, same=same),
        ),
        steps,
        watched=objects,
        prunes=leaving.prunes,
        kept=leaving.kept,
        helm_release=release,
        values=values,
    )


def apply(plan: AppPlan, before_write: Callable[[], None]) -> None:
    """Secrets first, then ``helm upgrade --install``, unless Helm has nothing to do."""
    target = plan.target
    apply_steps(target, plan.rest, before_write)
    if plan.changes.reapply or _of_chart(plan):
        _check_unchanged(plan)
        before_write()
        with helm_tool.workspace(target, plan.values) as helm:
            revision = helm.upgrade(before_write)
        target.progress(f"{target.app.name}: Helm release {target.app.helm_name} is at revision {revision}")


def _of_chart(plan: AppPlan) -> dict[ObjectRef, ObjectChange]:
    """What changes of the chart's own objects; a creation without its fields, of which the server can tell more now."""
    ours = {step.change.ref for step in plan.steps}
    return {
        change.ref: replace(change, fields=()) if change.operation is Operation.CREATE else change
        for change in plan.changes.changed
        if change.ref not in ours
    }


def _check_unchanged(planned: AppPlan) -> None:
    """Raise ApprovalError when Helm would now do something else than planned. Helm itself has no such guard."""
    if _of_chart(plan(planned.target)) != _of_chart(planned):
        raise ApprovalError(
            f"objects of app {planned.target.app.name} were changed by somebody else while it was being released",
            hint="look at the change set and launch `promote` again to approve it",
        )


def prune(plan: AppPlan, before_write: Callable[[], None]) -> None:
    """Delete what left the app and is still there: Secrets, and what a failed revision of the chart made."""
    prune_left(plan.target, plan.prunes, before_write)


def _secret_values(target: Target) -> tuple[bytes, ...]:
    found = []
    for name in target.app.secret_helm_values:
        stored = target.store.read(name)
        target.cluster.redactor.learn(leaves(helm_values(stored)))
        found.append(stored.content)
    return tuple(found)


def _as_applied(target: Target, manifest: Manifest) -> Manifest:
    """A located manifest as Helm sends it: with the release's label and annotations."""
    metadata = dict(manifest["metadata"])
    metadata["labels"] = {**(metadata.get("labels") or {}), "app.kubernetes.io/managed-by": "Helm"}
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        "meta.helm.sh/release-name": target.app.helm_name,
        "meta.helm.sh/release-namespace": target.app.namespace,
    }
    return {**manifest, "metadata": metadata}


def _reason_to_run(stored: StoredRelease | None, *, same: bool) -> str:
    """Why Helm must run even if no object changes; empty if it need not."""
    if stored is None:
        return "the Helm release is not installed yet"
    if stored.status != "deployed":
        return f"the last Helm operation did not succeed (status {stored.status})"
    return "" if same else "the manifest that Helm has stored is another one"


def _check_pending(target: Target, stored: StoredRelease | None) -> None:
    if stored is not None and stored.status.startswith("pending"):
        name = f"{target.app.namespace}/{target.app.helm_name}"
        raise OwnedByAnother(
            f"the Helm release {name} is in status {stored.status}: another Helm operation is running or was killed",
            hint=f"wait for it; if nobody runs it: helm -n {target.app.namespace} rollback {target.app.helm_name}",
        )
