"""Rendering: from a source branch to its candidate, with the final manifests in ``rendered/``.

Branch content is untrusted until its release is approved, so rendering it can neither read, run, reach nor print
anything: files come out of git checked, tools run isolated, addresses must be allowed by the deployer.
"""

from deploy_pipeline.rendering.apps import KUBE_VERSION
from deploy_pipeline.rendering.candidate import RenderResult, render_candidate, render_commit
from deploy_pipeline.rendering.manifests import RENDERED, parse_manifests, read_rendered, rendered_path
from deploy_pipeline.rendering.schemas import PLACEHOLDER, schema_faults

__all__ = [
    "KUBE_VERSION",
    "PLACEHOLDER",
    "RENDERED",
    "RenderResult",
    "parse_manifests",
    "read_rendered",
    "render_candidate",
    "render_commit",
    "rendered_path",
    "schema_faults",
]
