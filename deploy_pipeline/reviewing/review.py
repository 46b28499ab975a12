"""The diff of a promotion where it is reviewed: as a comment on the pull request and as a status of its head.

What is shown is kept in the cluster: the release holds approvals against it. The comment comes first and the record
second, so that nobody can have approved what was not there to be seen; the status, which lets a merge through, last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from deploy_pipeline.changes import ChangeSet, differences, summary
from deploy_pipeline.channels import load_channel, load_channels
from deploy_pipeline.cluster.records import Records, ReleaseState, ReviewedDiff, now
from deploy_pipeline.deployer import Deployer, Progress
from deploy_pipeline.errors import DeployError, RefusedError, RetryableError
from deploy_pipeline.forge import CommitStatus, Forge, PullRequest, StatusState
from deploy_pipeline.forge.comment import DiffContext, diff_comment
from deploy_pipeline.forge.texts import refused_diff_comment
from deploy_pipeline.planning import plan_channel
from deploy_pipeline.rendering import RENDERED
from deploy_pipeline.repository import channel_of
from deploy_pipeline.reviewing.verifying import VerifiedCandidate, verified_candidate

COMMENT = "diff"
"""The kind of the comment that shows the diff."""


@dataclass(frozen=True)
class ReviewedPromotion:
    """What a pull request shows now. ``unchanged``: it showed that before, and what was approved stays approved.

    ``superseded``: its head has moved on, nothing was computed; then there is no ``diff`` and no ``change_set``.
    """

    channel: str
    pull_request: PullRequest
    diff: ReviewedDiff | None
    change_set: ChangeSet | None
    unchanged: bool = False
    superseded: bool = False


def review_promotion(
    deployer: Deployer, pull_request: PullRequest, *, run_url: str = "", progress: Progress
) -> ReviewedPromotion:
    """Compute the change set of an open pull request into a release branch, and show it there.

    A diff that cannot be computed is shown as a failure: in the status of the head and, unless the same may succeed
    later, in the comment; what was shown before holds no more then. Raises that error, ForgeUnreachable, ForgeRefused.
    """
    channel = channel_of(pull_request.base_branch)
    if not channel:
        raise RefusedError(f"#{pull_request.number} does not merge into a release branch")
    deployer = deployer.observing()
    deployer.mirror.fetch()
    head = deployer.mirror.heads().get(pull_request.head_branch)
    if head != pull_request.head and not pull_request.from_fork:
        progress(f"#{pull_request.number}: {pull_request.head_branch} is no longer at {pull_request.head[:12]}")
        return ReviewedPromotion(channel, pull_request, None, None, superseded=True)
    records = deployer.cluster(channel).records(channel)
    review = _Review(deployer, deployer.forge_for(channel), records, channel, pull_request, run_url, progress)
    review.say(StatusState.PENDING, "computing the change set")
    try:
        return review.carry_out()
    except RetryableError as error:
        review.say(StatusState.ERROR, f"not computed yet: {error.message}")
        raise
    except DeployError as error:
        review.fail(error)
        raise


@dataclass(frozen=True)
class _Review:
    """One review under way."""

    deployer: Deployer
    forge: Forge
    records: Records
    channel: str
    pull: PullRequest
    run_url: str
    progress: Progress

    def carry_out(self) -> ReviewedPromotion:
        """Verify, compute, show, remember, and only then let the merge through."""
        if self.pull.from_fork:
            raise RefusedError(
                f"#{self.pull.number} comes from a fork, whose branches the pipeline does not make",
                hint="merge the source into a branch of this repository: its candidate can be promoted",
            )
        candidate = verified_candidate(self.deployer, self.pull.head_branch, self.pull.head, progress=self.progress)
        tree = self.deployer.mirror.tree(candidate.commit.sha)
        channel = load_channel(tree, self.channel)
        change_set = plan_channel(self.deployer, channel, tree, progress=self.progress).change_set
        before = self.records.review(self.pull.number)
        unchanged = before is not None and before.digest == change_set.digest
        diff = self._show(candidate, change_set, before, unchanged=unchanged)
        self.records.remember_review(diff)
        self.say(StatusState.SUCCESS, summary(change_set))
        self.progress(f"#{self.pull.number}: {self.channel}: {summary(change_set)}; digest {change_set.digest}")
        return ReviewedPromotion(self.channel, self.pull, diff, change_set, unchanged=unchanged)

    def _show(
        self, candidate: VerifiedCandidate, change_set: ChangeSet, before: ReviewedDiff | None, *, unchanged: bool
    ) -> ReviewedDiff:
        """Publish the comment; what it is news to stays so until something else is shown."""
        diff = ReviewedDiff(
            channel=self.channel,
            pull_request=self.pull.number,
            candidate=self.pull.head,
            source=candidate.source,
            tree=change_set.tree,
            digest=change_set.digest,
            published_at="",
            computed_at=now(),
            change_set=change_set.to_json(),
            news=_news(before, change_set),
            refreshed=_refreshed(before, self.pull.head) if before and unchanged else (),
        )
        context = DiffContext(
            candidate=self.pull.head,
            branch=candidate.branch,
            source=candidate.source,
            computed_at=diff.computed_at,
            run_url=self.run_url,
            rendered=self._rendered(),
            warnings=(*candidate.warnings, *self._untested(change_set.tree)),
            news=diff.news,
            notes=("this pull request is a draft",) if self.pull.draft else (),
        )
        shown = self.forge.publish_comment(self.pull.number, COMMENT, diff_comment(change_set, context))
        since = before.published_at if before and unchanged else _written(shown) or diff.computed_at
        return replace(diff, published_at=since)

    def _rendered(self) -> str:
        """How the rendered files of the channel differ from those on the release branch, in counts."""
        base = self.deployer.mirror.heads().get(self.pull.base_branch)
        if base is None:
            return ""
        files = self.deployer.mirror.changed_files(base, self.pull.head)
        own = [file for file in files if file.path.startswith(f"{RENDERED}/{self.channel}/")]
        return f"{len(own)} files, {sum(f.added for f in own)} lines added, {sum(f.removed for f in own)} removed"

    def _untested(self, tree: str) -> tuple[str, ...]:
        """A warning if other channels are there, and none of them has released this tree."""
        others = [name for name in load_channels(self.deployer.mirror.tree(tree)) if name != self.channel]
        if not others or any(self._has_released(name, tree) for name in others):
            return ()
        return (f"nothing tested yet: {' and '.join(others)} did not release it",)

    def _has_released(self, channel: str, tree: str) -> bool:
        try:
            releases = self.deployer.cluster(channel).records(channel).releases()
        except DeployError:
            return False  # nobody can tell, which is no reason not to show the diff
        return any(release.tree == tree and release.state is ReleaseState.RELEASED for release in releases)

    def say(self, state: StatusState, description: str) -> None:
        """Set the status of the head."""
        text = self._redacted(description)
        self.forge.publish_status(CommitStatus(self.pull.head, self.channel, state, text, self.run_url))

    def fail(self, error: DeployError) -> None:
        """Say that there is no diff, and let nothing that was shown before count."""
        self.records.withdraw_review(self.pull.number)
        self.say(StatusState.FAILURE, error.message)
        lines = tuple(map(self._redacted, (error.message, *error.details)))
        text = refused_diff_comment(self.channel, self.pull.head, lines, self._redacted(error.hint), self.run_url)
        self.forge.publish_comment(self.pull.number, COMMENT, text)

    def _redacted(self, text: str) -> str:
        return self.deployer.cluster(self.channel).redactor.redact(text)


def _news(before: ReviewedDiff | None, change_set: ChangeSet) -> tuple[str, ...]:
    if before is None:
        return ()
    if before.digest == change_set.digest:
        return before.news
    return differences(ChangeSet.from_json(before.change_set), change_set)


def _refreshed(before: ReviewedDiff, head: str) -> tuple[str, ...]:
    """The heads that showed the same digest, but for this one."""
    return tuple(sorted({*before.refreshed, before.candidate} - {head}))


def _written(time: datetime | None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time else ""
