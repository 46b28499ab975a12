"""What lies in the ``crds/`` folders of a chart and its subcharts.

Helm would install it at the first installation, show it in no dry run, and never touch it again. So it is told not to
(``--skip-crds``), and these objects are planned and applied by us, before any app, and never pruned. One that belongs
to another app is left alone, as Helm leaves what is there already.
"""

from __future__ import annotations

from collections.abc import Sequence

from deploy_pipeline.cluster.objects import Manifest, ObjectRef, owner_of
from deploy_pipeline.drivers.helm_tool import Helm
from deploy_pipeline.drivers.plan import Target, labelled


def chart_crds(helm: Helm) -> tuple[Manifest, ...]:
    """The objects of the chart's ``crds/`` folders, labelled."""
    target = helm.target
    return tuple(labelled(manifest, target.channel, target.app.name) for manifest in helm.objects(helm.crds()))


def without_foreign(target: Target, crds: Sequence[Manifest]) -> tuple[tuple[Manifest, ...], tuple[str, ...]]:
    """Those that are for this app to apply, and a warning for each that another app has."""
    ours, warnings = [], []
    for manifest in crds:
        live = target.cluster.objects.live(manifest)
        owner = owner_of(live) if live is not None else None
        if owner is None or owner == (target.channel, target.app.name):
            ours.append(manifest)
        else:
            warnings.append(f"{ObjectRef.of(manifest)} is left as app {owner[1]} of channel {owner[0]} has it")
    return tuple(ours), tuple(warnings)
