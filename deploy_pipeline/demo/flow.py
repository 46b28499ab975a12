"""The steps of the flow as somebody sees them who only pushes, clicks and looks: each waits until Dagster has done it.

Nothing in here does what the deployer does. What does not come is reported with the words of the run that failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy_pipeline.demo.dagster_api import DagsterApi, Run, RunLog
from deploy_pipeline.demo.world import World
from deploy_pipeline.errors import FailedError

_OPS = {"promote": "approve", "release_channel": "release", "check_drift": "compare"}
_LOG_TAIL = 15


@dataclass(frozen=True)
class ChangeSetSeen:
    """A change set as the asset's page shows it: the digest to approve, the differences, counts by operation."""

    digest: str
    markdown: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Flow:
    """The flow of one world."""

    world: World

    @property
    def _dagster(self) -> DagsterApi:
        return self.world.dagster

    def candidate(self, branch: str, source: str) -> str:
        """The candidate that the sensor has made of this commit of a source branch."""

        def made() -> str | None:
            for run in self._dagster.runs("render_candidate", branch=branch, commit=source):
                if run.ended:
                    self.succeeded(run)
            head = self.world.repository.heads().get(f"candidates/{branch}")
            return head if head and self.world.repository.trailer(head, "Source-commit") == source else None

        return self.world.waiting.until(f"a candidate of {branch} at {source[:12]}", made)

    def gone(self, branch: str) -> None:
        """The candidate of a deleted branch is deleted, too."""
        candidate = f"candidates/{branch}"
        self.world.waiting.until(f"{candidate} goes", lambda: candidate not in self.world.repository.heads())

    def change_set(self, channel: str, branch: str) -> ChangeSetSeen:
        """The change set that the sensor has computed for the candidate as it is now.

        A candidate whose release branch moved is another commit with the same tree, and is not compared anew.
        """
        candidate = f"candidates/{branch}"

        def computed() -> Run | None:
            now = self.world.repository.tree(candidate)
            runs = self._dagster.runs("diff_promotion", branch=candidate, channel=channel)
            found = (run for run in runs if run.ended and self.world.repository.tree(run.tags["deploy/commit"]) == now)
            return next(found, None)

        run = self.succeeded(self.world.waiting.until(f"the change set of {candidate} for {channel}", computed))
        return _change_set(self._dagster.log(run.id).metadata["change_set",])

    def promote(self, *channels: str, branch: str, digest: str = "") -> list[str]:
        """Launch promotions as the UI does and let them succeed; returns the new head of each release branch."""
        config = {"candidate": branch, "approved_by": "demo@example.invalid", "expected_digest": digest}
        runs = [self._launch("promote", channel, config) for channel in channels]
        return [self.succeeded(self._ended(run)).tags["deploy/commit"] for run in runs]

    def released(self, channel: str, commit: str) -> Run:
        """The run by which the sensor released a commit, once it is over, one way or the other."""

        def over() -> Run | None:
            runs = self._dagster.runs("release_channel", channel=channel, commit=commit, trigger="sensor")
            return next((run for run in runs if run.ended), None)

        return self.world.waiting.until(f"a release of {commit[:12]} to {channel}", over)

    def launch(self, job: str, channel: str) -> Run:
        """Launch a job for a channel as the UI does, with nothing filled in; returns the run once it succeeded."""
        return self.succeeded(self._ended(self._launch(job, channel, {})))

    def _launch(self, job: str, channel: str, config: Mapping[str, Any]) -> str:
        return self._dagster.launch(job, _OPS[job], channel, config)

    def _ended(self, run_id: str) -> Run:
        def over() -> Run | None:
            run = self._dagster.run(run_id)
            return run if run.ended else None

        return self.world.waiting.until(f"the end of the run {run_id}", over)

    def log(self, run: Run) -> RunLog:
        """What a run said."""
        return self._dagster.log(run.id)

    def succeeded(self, run: Run) -> Run:
        """The run itself; raises FailedError with what it said if it did not succeed."""
        if run.status == "SUCCESS":
            return run
        log = self.log(run)
        raise FailedError(
            f"expected: {run.job} succeeds; it ended with {run.status}",
            details=[*log.failure.splitlines(), "the last lines of the run:", *log.lines[-_LOG_TAIL:]],
            hint=f"see {self._dagster.url}/runs/{run.id} while the demo runs",
        )


def _change_set(metadata: Mapping[str, Any]) -> ChangeSetSeen:
    prefix = "objects: "
    counts = {label.removeprefix(prefix): number for label, number in metadata.items() if label.startswith(prefix)}
    return ChangeSetSeen(metadata["digest"], metadata["changes"], counts)
