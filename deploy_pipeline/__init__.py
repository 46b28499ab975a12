"""GitOps delivery for Kubernetes: what was approved is what is applied."""

__version__ = "0.1.0"
