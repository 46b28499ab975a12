"""An approval made of reviews: what people said on the merged pull request about the diff that it showed them.

Everything is decided from facts: git says what the merge made, the cluster what was shown and since when, the forge who
said what about which commit. What is asked for comes from what was released last. A refusal names every reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from deploy_pipeline.approval.provenance import claimed_source, known_commit, released_source
from deploy_pipeline.changes import ChangeSet, differences
from deploy_pipeline.cluster.records import Approval, Records, ReviewedDiff, now
from deploy_pipeline.deployer import Deployer, Progress
from deploy_pipeline.errors import ApprovalError
from deploy_pipeline.forge import (
    Forge,
    MergedPullRequest,
    ReviewPolicy,
    Shown,
    SourceRange,
    approvers,
    reasons_against,
)
from deploy_pipeline.repository import Mirror, release_branch

_EVER = datetime.min.replace(tzinfo=timezone.utc)
_MOST_PATHS = 10


def approval_by_reviews(
    deployer: Deployer, commit: str, change_set: ChangeSet, *, run_id: str, progress: Progress
) -> Approval:
    """The approval that the reviews of a merge on a release branch amount to. Writes nothing.

    Raises ApprovalError with every reason against it, ForgeUnreachable and ForgeRefused when the forge does not tell.
    """
    channel = change_set.channel
    records = deployer.cluster(channel).records(channel)
    merge = _Merge(deployer.mirror, records, deployer.forge_for(channel), commit, change_set)
    pull, diff = merge.explanation()
    if pull is None:
        raise ApprovalError(
            f"commit {commit[:12]} was pushed past review: no merged pull request put it on {release_branch(channel)}",
            hint=f"promote a candidate to {channel} by a pull request; nothing was changed in the cluster",
        )
    rules = deployer.released_channel(channel).promotion
    policy = ReviewPolicy(rules.reviews, rules.code_owners, rules.signed_commits)
    reasons = tuple(merge.reasons_against(pull, diff, policy))
    if reasons or diff is None:
        raise ApprovalError(
            f"#{pull.number} does not approve the release of {commit[:12]} to {channel}",
            details=reasons,
            hint=f"reviews of the merged commit count also now: complete them on #{pull.number} and run the release "
            "again, or promote anew; nothing was changed in the cluster",
        )
    names = ", ".join(approvers(pull, _shown(pull, diff))) or f"{pull.merged_by} by merging"
    progress(f"{channel}: #{pull.number} approves this release: {names}")
    return Approval(
        channel=channel,
        commit=commit,
        tree=diff.tree,
        digest=diff.digest,
        approved_by=f"{names} (#{pull.number})",
        approved_at=now(),
        candidate=diff.candidate,
        run_id=run_id,
        change_set=diff.change_set,
        pull_request=pull.number,
        source=diff.source,
    )


@dataclass(frozen=True)
class _Merge:
    """The head of a release branch, and what a release of it would do today."""

    mirror: Mirror
    records: Records
    forge: Forge
    commit: str
    change_set: ChangeSet

    def explanation(self) -> tuple[MergedPullRequest | None, ReviewedDiff | None]:
        """The pull request that was merged, and what it showed of what was merged; None where there is none."""
        since = released_source(self.mirror, self.records)
        for diff in self._diffs():
            pull = self._read(SourceRange(diff.source, since))
            if pull is None or pull.number == diff.pull_request:
                return pull, diff
        claimed = (claimed_source(self.mirror.commit(sha)) for sha in (*self._parents[1:], self.commit))
        return self._read(SourceRange(next(filter(None, claimed), self.commit), since)), None

    def reasons_against(
        self, pull: MergedPullRequest, diff: ReviewedDiff | None, policy: ReviewPolicy
    ) -> Iterator[str]:
        """Why the pull request is no approval of this release."""
        if diff is None:
            yield f"#{pull.number} never showed the diff of what was merged, or it was withdrawn"
        elif diff.candidate != pull.head:
            yield f"merged was {pull.head[:12]}, but the diff was that of {diff.candidate[:12]}"
        if diff and diff.tree != self.change_set.tree:
            yield f"the merge brings what was not reviewed: {self._paths(diff.tree, self.commit)}"
        paths = [file.path for file in self.mirror.changed_files(self._before, self.commit)]
        yield from reasons_against(pull, policy, _shown(pull, diff), changed_paths=paths)
        if diff and diff.tree == self.change_set.tree and diff.digest != self.change_set.digest:
            yield f"the release would not do what was shown ({diff.digest[:19]}… then, {self.change_set.digest[:19]}…)"
            yield from differences(ChangeSet.from_json(diff.change_set), self.change_set)

    def _diffs(self) -> Sequence[ReviewedDiff]:
        """The diffs that may be of this merge: of the commits it merged, then of others with the same tree."""
        merged = (self.commit, *self._parents)
        found = [d for d in self.records.reviews() if d.candidate in merged or d.tree == self.change_set.tree]
        return sorted(found, key=lambda diff: diff.candidate not in merged)

    def _read(self, source: SourceRange) -> MergedPullRequest | None:
        branch = release_branch(self.change_set.channel)
        return self.forge.merged_pull_request(self.commit, branch=branch, before=self._before, source=source)

    @property
    def _parents(self) -> tuple[str, ...]:
        return self.mirror.commit(self.commit).parents

    @property
    def _before(self) -> str:
        """What the release branch was: what was released last, since a commit can be given any parents."""
        last = self.records.last_released()
        released = known_commit(self.mirror, last.commit) if last else None
        return released.sha if released else next(iter(self._parents), self.commit)

    def _paths(self, older: str, newer: str) -> str:
        paths = [file.path for file in self.mirror.changed_files(older, newer)]
        return ", ".join(paths[:_MOST_PATHS]) + (f" and {len(paths) - _MOST_PATHS} more" * (len(paths) > _MOST_PATHS))


def _shown(pull: MergedPullRequest, diff: ReviewedDiff | None) -> Shown:
    """What the merged head showed; earlier heads only count with it."""
    if diff is None:
        return Shown(_EVER, frozenset())
    return Shown(_time(diff.published_at), frozenset(diff.refreshed) if diff.candidate == pull.head else frozenset())


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
