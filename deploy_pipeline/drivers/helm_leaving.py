"""What happens to objects of a Helm release that are no longer wanted.

``helm upgrade`` compares with the last *deployed* revision, or with the last one if none is; it deletes what left and
is not annotated ``helm.sh/resource-policy: keep`` in the cluster. ``helm uninstall`` deletes what is in the last
revision and not so annotated *there*. (Helm 4: ``pkg/action/upgrade.go``, ``pkg/kube/client.go``,
``pkg/action/resource_policy.go``.) What a failed revision made may be in neither; the inventory still knows it, and it
is for us to delete.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from deploy_pipeline.cluster.inventory import Member
from deploy_pipeline.cluster.objects import Manifest, ObjectRef, helm_release_of
from deploy_pipeline.drivers.leaving import Leaving, leave, prune_objects, why_kept
from deploy_pipeline.drivers.plan import Target
from deploy_pipeline.errors import RefusedError


def plan_upgrade(
    target: Target, release: tuple[str, str], base: Sequence[Manifest], wanted: Collection[ObjectRef]
) -> Leaving:
    """What an upgrade that compares with the objects of ``base`` leaves behind or deletes."""
    deleted = {ObjectRef.of(manifest) for manifest in base}
    return _plan(target, release, base, wanted, lambda ref, live: ref in deleted and not has_keep_policy(live))


def plan_uninstall(target: Target, release: tuple[str, str], last: Sequence[Manifest]) -> Leaving:
    """What the removal of the release leaves behind or deletes; ``last`` is what its last revision has."""
    deleted = {ObjectRef.of(manifest) for manifest in last if not has_keep_policy(manifest)}
    return _plan(target, release, last, (), lambda ref, _: ref in deleted)


def prune_left(target: Target, prunes: Sequence[Manifest], before_write: Callable[[], None]) -> None:
    """Delete what was planned to be pruned and what Helm has not deleted itself."""
    for planned in prunes:
        live = target.cluster.objects.live(planned)
        same = live is not None and live["metadata"]["uid"] == planned["metadata"]["uid"]
        if live is not None and same and not has_keep_policy(live):
            prune_objects(target, [planned], before_write)


def has_keep_policy(manifest: Mapping[str, Any]) -> bool:
    """Whether the object is annotated to outlive its release."""
    annotations = manifest["metadata"].get("annotations") or {}
    return str(annotations.get("helm.sh/resource-policy", "")).strip().lower() == "keep"


def _plan(
    target: Target,
    release: tuple[str, str],
    known: Sequence[Manifest],
    wanted: Collection[ObjectRef],
    deletes: Callable[[ObjectRef, Manifest], bool],
) -> Leaving:
    members = {
        member.ref: member for member in (*(target.owned.members if target.owned else ()), *map(Member.of, known))
    }
    result, refused = Leaving(), []
    for ref in sorted(members.keys() - set(wanted)):
        live = target.cluster.objects.find(members[ref].stub())
        if live is None:
            continue
        by_helm, forever = deletes(ref, live), has_keep_policy(live) or bool(why_kept(target, live))
        if by_helm and forever:
            refused.append(str(ref))
        elif by_helm or (helm_release_of(live) == release and not forever):
            result = replace(result, prunes=(*result.prunes, live))
        elif helm_release_of(live) == release:
            warning = f"{ref} left the app and stays: Helm is told to keep it, or objects of its kind are not pruned"
            result = replace(result, warnings=(*result.warnings, warning))
        else:
            result = leave(target, members[ref], live, result)
    if refused:
        raise RefusedError(
            f"app {target.app.name}: Helm would delete objects that must never be a consequence of a changed file",
            details=refused,
            hint="let the chart annotate them with helm.sh/resource-policy: keep and release that, then remove them",
        )
    return result.in_order
