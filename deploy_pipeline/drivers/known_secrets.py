"""Every secret value that a plan may meet: those in the store now, and those the cluster still has from before.

After a rotation the old value is as live as the new one, and it shows wherever a chart wrote it into something that
is no Secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy_pipeline.channels import Driver
from deploy_pipeline.drivers.helm_storage import revisions
from deploy_pipeline.drivers.plan import Target
from deploy_pipeline.redaction import leaves
from deploy_pipeline.secret_stores import helm_values, secret_manifest, secret_values


def known_secret_values(target: Target) -> list[str]:
    """The values of one app's secrets. Raises SecretFault for what is missing or malformed."""
    found: list[str] = []
    for name in target.app.secrets:
        manifest = secret_manifest(target.store.read(name), target.app.namespace)
        found += secret_values(manifest)
        live = target.cluster.objects.live(manifest)
        if live is not None:
            found += secret_values(live)
    shapes = [helm_values(target.store.read(name)) for name in target.app.secret_helm_values]
    found += leaves(shapes)
    if shapes and target.app.driver is Driver.HELM:
        release = (str(target.app.namespace), str(target.app.helm_name))
        for revision in revisions(target.cluster.connection, release):
            found += leaves([_at_paths_of(values, revision.values) for values in shapes])
    return found


def _at_paths_of(shape: Any, values: Any) -> Any:
    """The part of ``values`` that lies where ``shape`` has values."""
    if isinstance(shape, Mapping) and isinstance(values, Mapping):
        return {key: _at_paths_of(inner, values[key]) for key, inner in shape.items() if key in values}
    return None if isinstance(shape, Mapping) else values
