"""What Helm will send for a chart, if the chart alone decides it.

A template can read the live cluster (``lookup``), any Secret of it, and can put it wherever it likes: into an object,
the name of one, the message of ``fail``. So a chart that may do so is first rendered without the cluster, and only
what is the same with it is shown, planned or released. What differs is named as it is without the cluster; its content,
and Helm's own words about it, stay here. That also finds charts that give another result each time (``randAlphaNum``,
``now``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from deploy_pipeline.cluster.connection import Connection
from deploy_pipeline.cluster.objects import Manifest
from deploy_pipeline.drivers.helm_functions import is_reproducible
from deploy_pipeline.drivers.helm_rendering import Rendering
from deploy_pipeline.drivers.helm_storage import StoredRelease
from deploy_pipeline.drivers.helm_tool import Helm
from deploy_pipeline.errors import ClusterUnreachable, ManifestRejected

_HINT = "give the chart what it needs as values: stored secrets come through secret_helm_values"


def predict(helm: Helm, stored: StoredRelease | None, crds: Sequence[Manifest]) -> Rendering:
    """What a release would send, and its hooks. Raises ManifestRejected.

    While kinds are missing that ``crds`` will bring, Helm cannot try it; then the plan that is made again right before
    Helm runs does.
    """
    return (_once if is_reproducible(helm.chart) else _twice)(helm, stored, crds)


def _once(helm: Helm, stored: StoredRelease | None, crds: Sequence[Manifest]) -> Rendering:
    with ThreadPoolExecutor(max_workers=1) as pool:
        if stored:  # read ahead: most often the chart gives the same again
            pool.submit(helm.objects, stored.last.manifest)
        live = helm.dry_run()
    if isinstance(live, Rendering):
        return live
    alone = alone_rendering(helm, stored, crds)
    if _wants_missing_kinds(helm, alone, crds):
        return alone
    raise helm.refusal(live)


def _twice(helm: Helm, stored: StoredRelease | None, crds: Sequence[Manifest]) -> Rendering:
    with ThreadPoolExecutor(max_workers=1) as pool:
        trying = pool.submit(helm.dry_run)  # meanwhile: most of a release that does nothing is waiting for Helm
        alone = alone_rendering(helm, stored, crds)
    if _wants_missing_kinds(helm, alone, crds):
        return alone
    live = trying.result()
    if isinstance(live, Rendering):
        _check_same(helm, alone, live)
        return alone
    # Refused. Why may be said only if the chart is surely innocent: without Helm's own checks it must render the same.
    again = helm.dry_run("--disable-openapi-validation")
    if isinstance(again, Rendering):
        _check_same(helm, alone, again)
        raise helm.refusal(live)
    if "cluster unreachable" in live.stderr.lower():
        raise ClusterUnreachable(f"app {helm.target.app.name}: Helm does not reach the cluster")
    raise _refusal(helm, "Helm refuses it with the cluster, and not without (its words may quote the cluster)")


def alone_rendering(helm: Helm, stored: StoredRelease | None, crds: Sequence[Manifest]) -> Rendering:
    """What the chart gives without a look at the cluster's objects."""
    installed = stored is not None and stored.is_installed
    capabilities = () if installed else tuple(_capabilities(helm.target.cluster.connection, crds))
    return helm.rendered(installed=installed, capabilities=capabilities)


def _wants_missing_kinds(helm: Helm, alone: Rendering, crds: Sequence[Manifest]) -> bool:
    """Whether the chart has kinds that ``crds`` bring and the cluster lacks. Raises ManifestRejected for others."""
    resources = helm.target.cluster.resources
    brought = {kind for crd in crds for kind in _kinds(crd)}
    missing = False
    for manifest in helm.objects(alone.manifest):
        if resources.find(manifest["apiVersion"], manifest["kind"]) is None:
            missing = True
            if (manifest["apiVersion"], manifest["kind"]) not in brought:
                resources.of(manifest)
    return missing


def _check_same(helm: Helm, alone: Rendering, live: Rendering) -> None:
    if alone.documents != live.documents:
        differing = [document for document in alone.documents if document not in live.documents]
        named = [f"{m['kind']} {m['metadata']['name']}" for m in helm.objects("\n---\n".join(differing))]
        raise _refusal(helm, *(named or ["there are objects that only the live cluster brings about"]))


def _refusal(helm: Helm, *details: str) -> ManifestRejected:
    return ManifestRejected(
        f"app {helm.target.app.name}: the chart reads the live cluster (lookup) or gives another result each time "
        "(random values, times): what it would apply cannot be approved",
        details=details,
        hint=_HINT,
    )


def _kinds(crd: Manifest) -> Iterator[tuple[str, str]]:
    """API version and kind of what a CustomResourceDefinition brings."""
    if crd["kind"] == "CustomResourceDefinition":
        spec = crd["spec"]
        yield from ((f"{spec['group']}/{version['name']}", spec["names"]["kind"]) for version in spec["versions"])


def _capabilities(connection: Connection, crds: Sequence[Manifest]) -> Iterator[str]:
    """Options that tell Helm of the cluster's version, and of each API version and kind it serves or will serve."""
    yield from ("--kube-version", str(connection.get("/version").body["gitVersion"]))
    groups = connection.get("/apis").body.get("groups") or ()
    served = {version["groupVersion"]: f"/apis/{version['groupVersion']}" for g in groups for version in g["versions"]}
    served |= {version: f"/api/{version}" for version in connection.get("/api").body.get("versions") or ()}
    for version, path in served.items():
        yield from ("--api-versions", version)
        kinds = sorted({entry["kind"] for entry in connection.get(path).body.get("resources") or ()})
        yield from (option for kind in kinds for option in ("--api-versions", f"{version}/{kind}"))
    for version, kind in (pair for crd in crds for pair in _kinds(crd)):
        yield from ("--api-versions", version, "--api-versions", f"{version}/{kind}")
