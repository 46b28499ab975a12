"""A chart and its stored release, read: the objects that Helm will send, and those it compares with."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from deploy_pipeline.cluster.objects import Manifest
from deploy_pipeline.drivers import helm_tool
from deploy_pipeline.drivers.helm_crds import chart_crds
from deploy_pipeline.drivers.helm_prediction import alone_rendering, predict
from deploy_pipeline.drivers.helm_rendering import Hook
from deploy_pipeline.drivers.helm_secrecy import hide_secret_parts
from deploy_pipeline.drivers.helm_storage import StoredRelease
from deploy_pipeline.drivers.locating import located
from deploy_pipeline.drivers.plan import Target
from deploy_pipeline.errors import OwnedByAnother


@dataclass(frozen=True)
class Chart:
    """What Helm will send (``objects``), and what it will compare with (``base``); all located.

    ``sends_patches``: Helm does not apply on the server. ``migrates``: it does, and first makes the fields its own that
    it set by updates before, so that those go which left the chart. ``reason_to_run``: why Helm must run even if no
    object changes; empty if it need not. ``rendering`` is a keyed fingerprint of all that the chart gives.
    """

    objects: tuple[Manifest, ...] = field(repr=False)
    base: tuple[Manifest, ...] = field(repr=False)
    crds: tuple[Manifest, ...] = field(repr=False)
    hooks: tuple[str, ...]
    hook_objects: tuple[Manifest, ...] = field(repr=False)
    rendering: str
    sends_patches: bool
    migrates: bool
    reason_to_run: str


def read_chart(target: Target, values: Sequence[bytes]) -> Chart:
    """The app's chart with its values. Raises ManifestRejected, RenderFailed, OwnedByAnother."""
    with helm_tool.workspace(target, values) as helm:
        stored = helm.stored()
        _check_pending(target, stored)
        crds = chart_crds(helm)
        brought = (*crds, *target.definitions)
        other = helm.with_placeholders()
        with ThreadPoolExecutor(max_workers=1) as pool:
            beside = pool.submit(alone_rendering, other, stored, brought) if helm.shapes else None
            rendering = predict(helm, stored, brought)
        if beside:
            redactors = (target.redactor, target.cluster.redactor)
            alone = beside.result()
            hide_secret_parts(
                (rendering, located(target, helm.objects(rendering.manifest), brought)),
                (alone, located(target, other.objects(alone.manifest), brought)),
                target.app.name,
                redactors,
            )
        manifest = rendering.manifest
        wanted = helm.objects(manifest)
        same = stored is not None and (stored.last.manifest == manifest or helm.objects(stored.last.manifest) == wanted)
        hooks = helm.objects("\n---\n".join(hook.text for hook in rendering.hooks)) if rendering.hooks else ()
        base = helm.objects(stored.base.manifest) if stored and stored.is_installed else ()
        sends_patches = helm.sends_patches
    return Chart(
        objects=tuple(_marked(target, manifest) for manifest in located(target, wanted, brought)),
        base=located(target, base),
        crds=crds,
        hooks=tuple(sorted(shown(target, hook) for hook in rendering.hooks)),
        hook_objects=located(target, hooks, brought),
        rendering=target.redactor.fingerprint("\n---\n".join(sorted(rendering.documents.elements())).encode()),
        sends_patches=sends_patches,
        migrates=not sends_patches and _migrates(stored),
        reason_to_run=_reason_to_run(stored, same=same),
    )


def shown(target: Target, hook: Hook) -> str:
    """A hook by name, events and a fingerprint of its content: another content is another hook to approve."""
    return f"{hook.label}, content {target.redactor.fingerprint(hook.text.encode())}"


def _marked(target: Target, manifest: Manifest) -> Manifest:
    """A located manifest as Helm sends it: with the release's label and annotations."""
    metadata = dict(manifest["metadata"])
    metadata["labels"] = {**(metadata.get("labels") or {}), "app.kubernetes.io/managed-by": "Helm"}
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        "meta.helm.sh/release-name": target.app.helm_name,
        "meta.helm.sh/release-namespace": target.app.namespace,
    }
    return {**manifest, "metadata": metadata}


def _migrates(stored: StoredRelease | None) -> bool:
    """Helm does so when the revision it compares with was not applied by the server, and in an installation.

    (Helm 4: ``upgradeClientSideFieldManager`` in ``pkg/action/upgrade.go``; always in ``install.go``.)
    """
    return stored is None or not stored.is_installed or stored.base.apply_method in ("", "csa")


def _reason_to_run(stored: StoredRelease | None, *, same: bool) -> str:
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
