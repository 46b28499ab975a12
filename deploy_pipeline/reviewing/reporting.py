"""How a release goes, told on the forge: a deployment, a status of the commit, a comment on the pull request.

The release does not depend on any of it. So nothing here raises what the forge answers, or does not answer: it becomes
a line of progress.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from deploy_pipeline.cluster.records import Records, ReleaseState
from deploy_pipeline.deployer import Deployer, Progress
from deploy_pipeline.errors import DeployError
from deploy_pipeline.forge import CommitStatus, DeploymentReport, DeploymentState, StatusState
from deploy_pipeline.forge.texts import ReleaseOutcome, result_comment

COMMENT = "release"
"""The kind of the comment that says how the release of a pull request went."""


def report_release(
    deployer: Deployer,
    channel: str,
    commit: str,
    state: DeploymentState,
    *,
    attempt: str = "",
    description: str = "",
    outcome: ReleaseOutcome | None = None,
    log_url: str = "",
    progress: Progress,
) -> None:
    """Say on the forge how the release of a commit stands; never raises, and doubles nothing when it is said again.

    ``attempt`` (see :func:`attempt_of`) names the deployment; without one there is none, since nothing was begun.
    ``outcome``, once the release has ended, becomes a status of the commit and a comment on the pull request that
    brought it. It may take as long as the forge is patient.
    """
    report = _Report(deployer, channel, commit, state, attempt, description, outcome, log_url)
    for what, say in (("deployment", report.deploy), ("status", report.set_status), ("comment", report.comment)):
        try:
            say()
        except DeployError as error:  # noqa: PERF203 (three times)
            progress(f"{channel}: the {what} of {commit[:12]} could not be published: {error.message}")


def attempt_of(records: Records, commit: str) -> str:
    """Names the deployment that a release of this commit belongs to, which has to be asked while it goes on.

    All tries until the release is complete are one deployment; releasing the commit again after that is another one.
    """
    done = sum(1 for record in records.releases() if record.commit == commit and record.state is ReleaseState.RELEASED)
    return f"{commit}-{done + 1}"


@dataclass(frozen=True)
class _Report:
    """What is said of one release; each way of saying it by itself, since any of them can fail."""

    deployer: Deployer
    channel: str
    commit: str
    state: DeploymentState
    attempt: str
    description: str
    outcome: ReleaseOutcome | None
    log_url: str

    def deploy(self) -> None:
        """The deployment to the environment that is called like the channel."""
        if self.attempt:
            text = self._redact(self.description)
            report = DeploymentReport(self.channel, self.commit, self.attempt, self.state, text, self.log_url)
            self.deployer.forge_for(self.channel).publish_deployment(report)

    def set_status(self) -> None:
        """The status of the commit on the release branch."""
        if self.outcome:
            state = StatusState.FAILURE if self.outcome.failed else StatusState.SUCCESS
            text = self._redact(self.description)
            status = CommitStatus(self.commit, self.channel, state, text, self.log_url)
            self.deployer.forge_for(self.channel).publish_status(status)

    def comment(self) -> None:
        """The comment on the pull request, if one brought the commit."""
        number = self._pull_request() if self.outcome else 0
        if self.outcome and number:
            shown = replace(
                self.outcome,
                applied=tuple(map(self._redact, self.outcome.applied)),
                failed=tuple(map(self._redact, self.outcome.failed)),
                next_step=self._redact(self.outcome.next_step),
            )
            self.deployer.forge_for(self.channel).publish_comment(number, COMMENT, result_comment(shown))

    def _pull_request(self) -> int:
        """The pull request that brought the commit, as far as the cluster knows; else 0."""
        records = self.deployer.cluster(self.channel).records(self.channel)
        approval = records.approval(self.commit)
        if approval and approval.pull_request:
            return approval.pull_request
        commit, shown = self.deployer.mirror.commit(self.commit), records.reviews()
        merged = [diff for diff in shown if diff.candidate in (commit.sha, *commit.parents)]
        alike = [diff for diff in shown if diff.tree == commit.tree]
        return next((diff.pull_request for diff in (*merged, *alike)), 0)

    @property
    def _redact(self) -> Callable[[str], str]:
        return self.deployer.cluster(self.channel).redactor.redact
