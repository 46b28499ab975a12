"""No forge: nothing is shown to anybody, and no approval comes from there."""

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


class NoForge(Forge):
    """What a deployer without a forge is given. Promotions are launched by people, in the UI or a shell."""

    gives_reviews = False

    def open_promotions(self, cursor: str = "") -> OpenPromotions:
        """None, ever."""
        return OpenPromotions((), "")

    def open_promotion(self, head_branch: str, base_branch: str, title: str, body: str) -> PullRequest | None:
        """Nowhere to open one."""
        return None

    def publish_comment(self, number: int, kind: str, body: str) -> datetime | None:
        """Nobody to tell."""
        return None

    def publish_status(self, status: CommitStatus) -> None:
        """Nobody to tell."""

    def publish_deployment(self, report: DeploymentReport) -> None:
        """Nobody to tell."""

    def merged_pull_request(
        self, commit: str, *, branch: str, before: str, source: SourceRange
    ) -> MergedPullRequest | None:
        """Nothing explains a commit: only the approvals in the cluster count."""
        return None

    def git_config(self) -> GitConfig:
        """Git is let in by what stands in the repository's own address."""
        return ()

    def secrets(self) -> tuple[str, ...]:
        """There are none."""
        return ()
