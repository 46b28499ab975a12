"""What is judged: the objects that a release would write for one app, taken from its plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from deploy_pipeline.changes import Operation
from deploy_pipeline.cluster.objects import Manifest, ObjectRef
from deploy_pipeline.drivers.plan import AppPlan
from deploy_pipeline.rendering import rendered_path


@dataclass(frozen=True)
class Subject:
    """One app as it is judged: its objects with namespaces settled, and what of them lies in git.

    ``namespaces`` are its own: the one that the channel file gives it and those it has objects in already; empty if the
    file gives it none. ``release`` is namespace and name of its Helm release. ``written`` are the objects that a
    release would send as they are rendered, hooks included; ``rendered`` is what git has of them. ``tried`` are those
    that the server has taken in a dry run: it knows better than any schema what is wrong with an object.
    """

    app: str
    file: str
    namespaces: frozenset[str] = frozenset()
    release: tuple[str, str] | None = None
    written: tuple[Manifest, ...] = field(default=(), repr=False)
    tried: frozenset[ObjectRef] = frozenset()
    rendered: tuple[Manifest, ...] = field(default=(), repr=False)


def subject_of(plan: AppPlan, is_namespaced: Callable[[Manifest], bool]) -> Subject | None:
    """What is judged of an app; None if a release would write nothing for it."""
    if plan.changes.is_empty or plan.changes.removed:
        return None
    target = plan.target
    namespace = target.app.namespace
    written = tuple(_settled(manifest, is_namespaced(manifest), namespace) for manifest in _written(plan))
    refs = {ObjectRef.of(manifest) for manifest in written}
    file = rendered_path(target.channel, target.app.name)
    # Helm releases a chart whether or not the pipeline rendered it.
    found = target.rendered if target.tree.has(file) else ()
    return Subject(
        app=target.app.name,
        file=file,
        namespaces=frozenset({namespace, *_inhabited(plan)}) if namespace else frozenset(),
        release=plan.helm_release,
        written=written,
        tried=frozenset(step.change.ref for step in plan.steps if step.tried),
        rendered=tuple(manifest for manifest in found if _located(manifest, namespace) in refs),
    )


def _written(plan: AppPlan) -> Iterator[Manifest]:
    changed = {change.ref for change in plan.changes.changed}
    for step in plan.steps:
        if step.owned and step.change.operation is not Operation.NONE:
            yield step.desired
    yield from (manifest for manifest in plan.watched if ObjectRef.of(manifest) in changed)
    yield from plan.hooks


def _inhabited(plan: AppPlan) -> Iterator[str]:
    """The namespaces of the objects that earlier releases of the app made."""
    owned = plan.target.owned
    yield from (ref.namespace for ref in (owned.refs if owned else ()) if ref.namespace)


def _settled(manifest: Manifest, namespaced: bool, namespace: str | None) -> Manifest:
    """With the namespace that the object will have: the server ignores the one of a cluster-wide kind."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "namespace"}
    if namespaced:
        metadata["namespace"] = manifest["metadata"].get("namespace") or namespace or "default"
    return {**manifest, "metadata": metadata}


def _located(manifest: Manifest, namespace: str | None) -> ObjectRef:
    ref = ObjectRef.of(manifest)
    return ObjectRef(ref.group, ref.kind, ref.namespace or namespace or "default", ref.name)
