"""Where people review: GitHub or nothing, behind one interface; and what their reviews are worth."""

from deploy_pipeline.forge.connecting import forge_from
from deploy_pipeline.forge.forge import (
    CommitStatus,
    DeploymentReport,
    DeploymentState,
    Forge,
    MergedPullRequest,
    OpenPromotions,
    PullRequest,
    Review,
    ReviewState,
    SourceCommit,
    SourceRange,
    StatusState,
)
from deploy_pipeline.forge.none import NoForge
from deploy_pipeline.forge.review_policy import ReviewPolicy, Shown, approvers, reasons_against

__all__ = [
    "CommitStatus",
    "DeploymentReport",
    "DeploymentState",
    "Forge",
    "MergedPullRequest",
    "NoForge",
    "OpenPromotions",
    "PullRequest",
    "Review",
    "ReviewPolicy",
    "ReviewState",
    "Shown",
    "SourceCommit",
    "SourceRange",
    "StatusState",
    "approvers",
    "forge_from",
    "reasons_against",
]
