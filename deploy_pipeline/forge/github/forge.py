"""GitHub behind the one interface of a forge: each method is one module's business."""

from __future__ import annotations

from datetime import datetime

from deploy_pipeline.forge.forge import (
    CommitStatus,
    DeploymentReport,
    Forge,
    GitConfig,
    MergedPullRequest,
    OpenPromotions,
    PullRequest,
    SourceRange,
)
from deploy_pipeline.forge.github import merged, polling, publishing
from deploy_pipeline.forge.github.connection import Connection


class GitHubForge(Forge):
    """A repository on GitHub or on a GitHub Enterprise server."""

    gives_reviews = True

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open_promotions(self, cursor: str = "") -> OpenPromotions:
        """One conditional request for each hundred open pull requests."""
        return polling.open_promotions(self._connection, cursor)

    def open_promotion(self, head_branch: str, base_branch: str, title: str, body: str) -> PullRequest | None:
        """A pull request that somebody else opened keeps their title and body."""
        return publishing.open_promotion(self._connection, head_branch, base_branch, title, body)

    def publish_comment(self, number: int, kind: str, body: str) -> datetime | None:
        """The comment is told by a hidden marker and our own login: a stranger's with our marker is not ours."""
        return publishing.publish_comment(self._connection, number, kind, body)

    def publish_status(self, status: CommitStatus) -> None:
        """A status that a branch protection can require."""
        publishing.publish_status(self._connection, status)

    def publish_deployment(self, report: DeploymentReport) -> None:
        """A deployment to the environment that is called like the channel."""
        publishing.publish_deployment(self._connection, report)

    def merged_pull_request(
        self, commit: str, *, branch: str, before: str, source: SourceRange
    ) -> MergedPullRequest | None:
        """What GitHub says about the merge, its reviews, and who took part."""
        return merged.merged_pull_request(self._connection, commit, branch=branch, before=before, source=source)

    def git_config(self) -> GitConfig:
        """The same token as a header that goes to this server only."""
        connection = self._connection
        header = connection.patiently(connection.credentials.git_header)
        return ((f"http.{connection.web_url}/.extraHeader", header),)

    def secrets(self) -> tuple[str, ...]:
        """The token, and the form git sends it in."""
        return self._connection.patiently(self._connection.credentials.secrets)
