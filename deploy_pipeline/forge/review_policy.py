"""Whether the reviews of a merged pull request are the approval that a channel asks for.

A pure decision: everything it needs was read before, so that each rule can be tried by itself, and a refusal names
every reason at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from deploy_pipeline.forge.code_owners import paths_without_approval
from deploy_pipeline.forge.forge import MergedPullRequest, Review, ReviewState, SourceCommit
from deploy_pipeline.repository import CANDIDATES

_SILENT = (ReviewState.COMMENTED, ReviewState.PENDING)  # these leave what the user said before as it is
_NOT_ALL_KNOWN = (
    "who made what it brings cannot be told: what was released last was rendered from a commit that is gone; "
    "a launch of `promote`, or one that accepts the change set, can approve it"
)


@dataclass(frozen=True)
class ReviewPolicy:
    """What a channel asks for: how many approvals, whether CODEOWNERS has a say, whether unsigned commits count."""

    approvals: int = 1
    code_owners: bool = False
    signed_commits: bool = False


@dataclass(frozen=True)
class Shown:
    """Since when the diff with the approved digest was shown (nobody can have approved it before), and on which heads.

    There are several heads where the pipeline gave the candidate a moved release branch as ancestor: another commit,
    the same tree, the same change set.
    """

    since: datetime
    heads: frozenset[str]


def reasons_against(
    pull: MergedPullRequest, policy: ReviewPolicy, shown: Shown, *, changed_paths: Iterable[str]
) -> tuple[str, ...]:
    """Why this is no approval, one reason a line; empty if it is one.

    ``changed_paths`` are all files that differ between the release branch before and after the merge.
    An approval of the commit that was merged counts whether it was given before the merge or after it.
    """
    return tuple(_reasons(pull, policy, shown, changed_paths))


def approvers(pull: MergedPullRequest, shown: Shown) -> tuple[str, ...]:
    """Whose approvals count."""
    return tuple(user for user, reason in _verdicts(pull, shown).items() if not reason)


def _reasons(
    pull: MergedPullRequest, policy: ReviewPolicy, shown: Shown, changed_paths: Iterable[str]
) -> Iterator[str]:
    if pull.from_fork:
        yield f"#{pull.number} comes from a fork, whose branches the pipeline does not make"
    if not pull.head_branch.startswith(CANDIDATES):
        yield f"#{pull.number} merges `{pull.head_branch}`, which is no candidate"
    for review in _latest(pull.reviews):
        if review.state is ReviewState.CHANGES_REQUESTED and _listed(review.user, pull.writers):
            yield f"{review.user} asks for changes"
    if policy.approvals > 0 or policy.code_owners:
        if pull.source is None:
            yield _NOT_ALL_KNOWN
        unknown = ((commit, _why_unknown(commit, policy)) for commit in pull.source or ())
        yield from (f"commit {commit.sha[:12]} of the source {reason}" for commit, reason in unknown if reason)
    counted = approvers(pull, shown)
    if len(counted) < policy.approvals:
        yield f"{len(counted)} of {policy.approvals} approvals" + (f" ({', '.join(counted)})" if counted else "")
        verdicts = _verdicts(pull, shown)
        yield from (f"the approval of {user} does not count: {reason}" for user, reason in verdicts.items() if reason)
    if policy.code_owners:
        yield from paths_without_approval(pull, counted, changed_paths)


def _why_unknown(commit: SourceCommit, policy: ReviewPolicy) -> str:
    """Why nobody can say who made a commit, and so whether they are among the reviewers; empty if it can be said."""
    if not commit.author or not commit.committer:
        return "is by nobody the forge knows: its maker may be among the reviewers"
    if policy.signed_commits and not commit.verified:
        return "is not signed, so its author may be anybody"
    return ""


def _verdicts(pull: MergedPullRequest, shown: Shown) -> dict[str, str]:
    """Everybody who approves, and why it does not count: empty if it does."""
    return {review.user: _why_not(review, pull, shown) for review in _latest(pull.reviews) if _approves(review)}


def _latest(reviews: Iterable[Review]) -> list[Review]:
    """The review of each user that counts: the last one that says anything."""
    by_user = {review.user: review for review in reviews if review.state not in _SILENT and review.user}
    return list(by_user.values())


def _approves(review: Review) -> bool:
    return review.state is ReviewState.APPROVED


def _why_not(review: Review, pull: MergedPullRequest, shown: Shown) -> str:
    """Why an approval does not count; empty if it does."""
    makers = {login for commit in pull.source or () for login in (commit.author, commit.committer)}
    if review.commit not in shown.heads | {pull.head}:
        return f"it is of {review.commit[:12]}, merged was {pull.head[:12]}"
    if _listed(review.user, {pull.author}):
        return "they opened the pull request"
    if _listed(review.user, makers):
        return "they made a part of what it brings"
    if not _listed(review.user, pull.writers):
        return "they may not write to the repository"
    if review.submitted_at < shown.since:
        return "it is older than the diff it would be an approval of"
    return ""


def _listed(login: str, logins: Iterable[str]) -> bool:
    """Logins are the same whatever their case."""
    return login.lower() in {other.lower() for other in logins}
