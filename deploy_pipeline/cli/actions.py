"""The core's actions as a command calls them: here in this process, or as a run of Dagster.

A run does the same by the same function, and stands in the run history with its log. It is the default, so that what
somebody did from a shell is found where everything else is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from deploy_pipeline.cli.output import progress
from deploy_pipeline.errors import SettingsError

if TYPE_CHECKING:  # these bring Dagster and the Kubernetes client along
    from dagster import DagsterInstance

    from deploy_pipeline.changes import ChangeSet
    from deploy_pipeline.changes.drift import DriftResult
    from deploy_pipeline.deploy_secrets import SecretResult
    from deploy_pipeline.deployer import Deployer
    from deploy_pipeline.execution import AppResult
    from deploy_pipeline.promotion import Promotion
    from deploy_pipeline.release import ReleaseResult
    from deploy_pipeline.rendering import RenderResult

TRIGGER = "cli"


@dataclass(frozen=True)
class Accepted:
    """The change set of a release that somebody accepts although it would be refused, by its digest."""

    change_set: str
    approved_by: str


class Actions(Protocol):
    """What a command can have done. Everything raises subclasses of DeployError."""

    def render(self, branch: str) -> RenderResult:
        """Make, refresh or remove the candidate of a source branch."""
        ...

    def diff(self, channel: str, candidate: str, apps: Sequence[str]) -> ChangeSet:
        """What releasing a candidate to the channel would do now."""
        ...

    def promote(self, channel: str, candidate: str, approved_by: str, expected_digest: str) -> Promotion:
        """Approve a candidate's change set, and put it on the channel's release branch."""
        ...

    def release(
        self, channel: str, commit: str, apps: Sequence[str], drivers: Sequence[str], accepted: Accepted | None
    ) -> ReleaseResult:
        """Make the channel's cluster match its release branch; ``accepted`` lets through what would be refused."""
        ...

    def secrets(self, channel: str, apps: Sequence[str], secret: str) -> tuple[SecretResult, ...]:
        """Put the Secrets of a released channel in place anew."""
        ...

    def drift(self, channel: str, apps: Sequence[str], heal: bool | None) -> DriftResult:
        """Compare the channel's cluster with its last release; put that back if ``heal``, None: if the channel does."""
        ...


@contextmanager
def actions(deployer: Deployer, *, local: bool) -> Iterator[Actions]:
    """The actions, in this process if ``local``, else as runs; raises SettingsError without an instance for those."""
    if local:
        yield _Here(deployer)
        return
    with _open_instance() as instance:
        yield _Runs(instance)


def _open_instance() -> DagsterInstance:
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        raise SettingsError(
            "DAGSTER_HOME is not set, so there is no run history that this could stand in",
            hint="set DAGSTER_HOME to the folder of the instance, or add --local to run without Dagster",
        )
    from dagster import DagsterError, DagsterInstance

    try:
        return DagsterInstance.get()
    except DagsterError as error:  # its text may quote what the environment says about a database
        raise SettingsError(
            f"the Dagster instance in {home} cannot be opened ({type(error).__name__})",
            hint="`dagster instance info` says why; --local runs without it",
        ) from error


@dataclass(frozen=True)
class _Here:
    """The actions in this process."""

    deployer: Deployer

    def render(self, branch: str) -> RenderResult:
        from deploy_pipeline import promotion

        return promotion.render(self.deployer, branch, progress=progress)

    def diff(self, channel: str, candidate: str, apps: Sequence[str]) -> ChangeSet:
        from deploy_pipeline import promotion

        return promotion.diff_promotion(self.deployer, channel, candidate, apps=apps, progress=progress)

    def promote(self, channel: str, candidate: str, approved_by: str, expected_digest: str) -> Promotion:
        from deploy_pipeline import promotion

        return promotion.promote(
            self.deployer,
            channel,
            candidate,
            approved_by=approved_by,
            expected_digest=expected_digest,
            progress=progress,
        )

    def release(
        self, channel: str, commit: str, apps: Sequence[str], drivers: Sequence[str], accepted: Accepted | None
    ) -> ReleaseResult:
        from deploy_pipeline.approval import Acceptance
        from deploy_pipeline.release import ReleaseRequest
        from deploy_pipeline.reviewing import release_and_report

        acceptance = Acceptance(accepted.change_set, accepted.approved_by) if accepted else None
        request = ReleaseRequest(channel, TRIGGER, commit, apps, drivers, acceptance=acceptance)
        return release_and_report(self.deployer, request, progress=progress, on_app=_nothing_more)

    def secrets(self, channel: str, apps: Sequence[str], secret: str) -> tuple[SecretResult, ...]:
        from deploy_pipeline.deploy_secrets import deploy_secrets

        return deploy_secrets(self.deployer, channel, apps=apps, secret=secret, progress=progress)

    def drift(self, channel: str, apps: Sequence[str], heal: bool | None) -> DriftResult:
        from deploy_pipeline.healing import keep_released

        return keep_released(self.deployer, channel, apps=apps, heal=heal, progress=progress)


def _nothing_more(_: AppResult) -> None:
    """Progress has said already how the app ended."""


@dataclass(frozen=True)
class _Runs:
    """The actions as runs of the jobs of the same meaning."""

    instance: DagsterInstance

    def render(self, branch: str) -> RenderResult:
        result: RenderResult = self._run("render_candidate", None, {"branch": branch})
        return result

    def diff(self, channel: str, candidate: str, apps: Sequence[str]) -> ChangeSet:
        result: ChangeSet = self._run("diff_promotion", channel, {"candidate": candidate, "apps": list(apps)})
        return result

    def promote(self, channel: str, candidate: str, approved_by: str, expected_digest: str) -> Promotion:
        config = {"candidate": candidate, "approved_by": approved_by, "expected_digest": expected_digest}
        result: Promotion = self._run("promote", channel, config)
        return result

    def release(
        self, channel: str, commit: str, apps: Sequence[str], drivers: Sequence[str], accepted: Accepted | None
    ) -> ReleaseResult:
        config: dict[str, Any] = {"commit": commit, "apps": list(apps), "drivers": list(drivers)}
        if accepted:
            config |= {"accept_change_set": accepted.change_set, "approved_by": accepted.approved_by}
        result: ReleaseResult = self._run("release_channel", channel, config)
        return result

    def secrets(self, channel: str, apps: Sequence[str], secret: str) -> tuple[SecretResult, ...]:
        config = {"apps": list(apps), "secret": secret}
        result: tuple[SecretResult, ...] = self._run("deploy_secrets", channel, config)
        return result

    def drift(self, channel: str, apps: Sequence[str], heal: bool | None) -> DriftResult:
        result: DriftResult = self._run("check_drift", channel, {"apps": list(apps), "heal": heal})
        return result

    def _run(self, job: str, channel: str | None, config: Mapping[str, Any]) -> Any:
        """What the job's action returned; raises the error that it failed with."""
        from deploy_pipeline.pipeline.launch import run_job

        run = run_job(job, partition=channel, config=config, instance=self.instance, progress=progress)
        progress(f"run {run.run_id} of {job}")
        if run.error:
            if self._was_interrupted(run.run_id):
                raise KeyboardInterrupt
            raise run.error
        return run.value

    def _was_interrupted(self, run_id: str) -> bool:
        """Whether somebody pressed Ctrl-C: Dagster takes the signal, and fails the run by an exception of its own."""
        from dagster import DagsterEventType

        failures = self.instance.all_logs(run_id, of_type=DagsterEventType.STEP_FAILURE)
        errors = (event.get_dagster_event().step_failure_data.error for event in failures)
        return any(error and error.cls_name == "DagsterExecutionInterruptedError" for error in errors)
