"""GitHub and GitHub Enterprise as forge."""

from deploy_pipeline.forge.github.forge import GitHubForge

__all__ = ["GitHubForge"]
