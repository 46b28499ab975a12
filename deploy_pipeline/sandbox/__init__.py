"""A simulated Kubernetes cluster in one process, for demos and tests on machines without one.

It answers as kube-apiserver does (see README.md), so the real kubectl, helm and client libraries work
against it, but it runs no containers: controllers only move statuses along.
"""

from deploy_pipeline.sandbox.errors import SandboxError
from deploy_pipeline.sandbox.server import SandboxCluster, serve

__all__ = ["SandboxCluster", "SandboxError", "serve"]
