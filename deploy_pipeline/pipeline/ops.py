"""One op for each step of the flow. Each calls one function of the core and tells Dagster what came of it.

Ops return what the core returned, which stays in memory: the command line runs the same jobs and prints it.
The core's actions bring the Kubernetes client along (0.4 s). They are imported with the code location: a process that
carries out a run loads it before the run begins, and a release holds its place in the queue no longer than it works.
"""

from collections.abc import Collection
from typing import Any

import dagster as dg

from deploy_pipeline import promotion
from deploy_pipeline.approval import Acceptance
from deploy_pipeline.changes import ChangeSet
from deploy_pipeline.deploy_secrets import deploy_secrets
from deploy_pipeline.drift import check_ready
from deploy_pipeline.errors import FailedError, RefusedError, ReleaseFailed
from deploy_pipeline.execution import AppResult
from deploy_pipeline.forge import PullRequest
from deploy_pipeline.healing import keep_released
from deploy_pipeline.pipeline import events, tags
from deploy_pipeline.pipeline.config import (
    DiffConfig,
    DriftConfig,
    PromoteConfig,
    ReleaseConfig,
    RenderConfig,
    ReviewConfig,
    SecretsConfig,
)
from deploy_pipeline.pipeline.stage import DeployerParam, ObserverParam, Stage, stage
from deploy_pipeline.release import ReleaseRequest
from deploy_pipeline.rendering import RenderResult
from deploy_pipeline.repository import release_branch
from deploy_pipeline.reviewing import open_promotion, release_and_report, review_promotion


@dg.op(description="Make the candidate of a source branch, or remove it where the branch is gone.")
def render(
    context: dg.OpExecutionContext, config: RenderConfig, deployer: DeployerParam, observer: ObserverParam
) -> Any:
    """Returns a RenderResult."""
    with stage(context, deployer, observer) as step:
        step.tag(branch=config.branch)
        result = promotion.render(step.deployer, config.branch, progress=step.progress)
        step.know_channels(*result.channels)
        step.record(*events.rendered(result, step.repository))
        if step.deployer.forge.gives_reviews:
            _open_promotions(step, result)
        return result


@dg.op(description="Compute the change set of a candidate against the live cluster. Writes nothing.")
def diff(context: dg.OpExecutionContext, config: DiffConfig, deployer: DeployerParam, observer: ObserverParam) -> Any:
    """Returns a ChangeSet."""
    with stage(context, deployer, observer) as step:
        # A sensor asks for a commit, and says in a tag whose commit it is.
        candidate = context.run.tags.get(tags.BRANCH, config.candidate)
        step.tag(branch=candidate)
        found = promotion.diff_promotion(
            step.deployer, step.channel, config.candidate, apps=config.apps, progress=step.progress
        )
        step.record(events.compared(found, candidate, only=config.apps))
        return found


@dg.op(description="Show an open pull request what its merge would change in the cluster, and keep what was shown.")
def review(
    context: dg.OpExecutionContext, config: ReviewConfig, deployer: DeployerParam, observer: ObserverParam
) -> Any:
    """Returns a ReviewedPromotion; None if the pull request is no longer open at this head."""
    with stage(context, deployer, observer) as step:
        step.tag(pull_request=str(config.pull_request))
        pull = _open_pull_request(step, config)
        if pull is None:
            return None
        step.tag(branch=pull.head_branch, commit=pull.head)
        shown = review_promotion(step.deployer, pull, run_url=step.run_url, progress=step.progress)
        if shown.change_set:
            step.record(events.compared(shown.change_set, pull.head_branch, shown_on=pull.url))
        return shown


@dg.op(description="Record the approval of a change set, and move the release branch to the candidate.")
def approve(
    context: dg.OpExecutionContext, config: PromoteConfig, deployer: DeployerParam, observer: ObserverParam
) -> Any:
    """Returns a Promotion."""
    with stage(context, deployer, observer) as step:
        step.tag(branch=config.candidate)
        result = promotion.promote(
            step.deployer,
            step.channel,
            config.candidate,
            approved_by=config.approved_by,
            expected_digest=config.expected_digest,
            run_id=context.run_id,
            progress=step.progress,
        )
        step.tag(commit=result.commit)
        step.know_channels(step.channel)
        step.record(*events.promoted(result, step.repository))
        return result


@dg.op(description="Make the cluster match the release branch, and wait until every app is ready.")
def release(
    context: dg.OpExecutionContext, config: ReleaseConfig, deployer: DeployerParam, observer: ObserverParam
) -> Any:
    """Returns a ReleaseResult."""
    with stage(context, deployer, observer) as step:
        commit = config.commit or step.deployer.mirror.remote_heads().get(release_branch(step.channel), "")
        step.tag(commit=commit)

        def on_app(result: AppResult) -> None:
            step.record(*events.app_released(step.channel, commit, result, step.repository))

        try:
            result = release_and_report(
                step.deployer,
                ReleaseRequest(
                    step.channel,
                    step.trigger.value,
                    commit,
                    config.apps,
                    config.drivers,
                    context.run_id,
                    only_if_new=_is_first_run_of_sensor(step),
                    acceptance=_acceptance(config),
                ),
                log_url=step.run_url,
                progress=step.progress,
                on_app=on_app,
            )
        except ReleaseFailed as failure:
            if failure.result:
                step.record(events.release_failed(failure.result, step.repository))
            raise
        if result.change_set and _is_whole(
            result.change_set, result.apps, narrowed=bool(config.apps or config.drivers)
        ):
            step.record(events.released(result, result.change_set, step.repository))
        return result


@dg.op(description="Write the secrets of a channel's apps to the cluster.")
def write_secrets(
    context: dg.OpExecutionContext, config: SecretsConfig, deployer: DeployerParam, observer: ObserverParam
) -> Any:
    """Returns a tuple of SecretResult."""
    with stage(context, deployer, observer) as step:
        results = deploy_secrets(
            step.deployer, step.channel, apps=config.apps, secret=config.secret, progress=step.progress
        )
        step.record(*events.secrets_written(step.channel, results))
        return results


@dg.op(description="Compare the cluster with what was last released; put that back where the channel says so.")
def compare(
    context: dg.OpExecutionContext, config: DriftConfig, deployer: DeployerParam, observer: ObserverParam
) -> Any:
    """Returns a DriftResult."""
    with stage(context, deployer, observer) as step:
        found = keep_released(
            step.deployer,
            step.channel,
            apps=config.apps,
            heal=config.heal,
            run_id=context.run_id,
            progress=step.progress,
        )
        step.record(*events.drift_found(found))
        if found.released:
            step.tag(commit=found.commit)
            ready = check_ready(step.deployer, step.channel, apps=config.apps, progress=step.progress)
            step.record(*(events.readiness(step.channel, app) for app in ready))
        return found


def _open_promotions(step: Stage, result: RenderResult) -> None:
    """Open the pull requests of the channels that want that of this branch, by the policy that was released last."""
    for channel in result.channels:
        if step.deployer.observing().released_channel(channel).promotion.opens_by_itself(result.branch):
            open_promotion(step.deployer, channel, result.branch, progress=step.progress)


def _open_pull_request(step: Stage, config: ReviewConfig) -> PullRequest | None:
    """The pull request to review; None if it was merged or closed, or pushed to since the run was asked for."""
    number, base = config.pull_request, release_branch(step.channel)
    if not step.deployer.forge.gives_reviews:
        raise RefusedError("no forge is configured", hint="set DEPLOY_GITHUB_REPOSITORY to where people review")
    pulls = step.deployer.forge.open_promotions().pull_requests
    pull = next((pull for pull in pulls if pull.number == number), None)
    if pull is None:
        step.progress(f"#{number} is not an open promotion: nothing to review")
        return None
    if pull.base_branch != base:
        raise RefusedError(f"#{number} merges into {pull.base_branch}, not into {base}")
    if config.head and pull.head != config.head:
        step.progress(f"#{number} is at {pull.head[:12]} by now: nothing to review at {config.head[:12]}")
        return None
    return pull


def _is_whole(planned: ChangeSet, results: Collection[AppResult], *, narrowed: bool) -> bool:
    """Whether every app of the plan was released. One that is missing although nobody left it out is a failure."""
    missing = {app.app for app in planned.apps} - {result.app for result in results}
    if missing and not narrowed:
        raise FailedError(f"planned but not released: {', '.join(sorted(missing))}", hint="run the release again")
    return not missing


def _acceptance(config: ReleaseConfig) -> Acceptance | None:
    return Acceptance(config.accept_change_set, config.approved_by) if config.accept_change_set else None


def _is_first_run_of_sensor(step: Stage) -> bool:
    """Whether nobody asked for this release but the sensor, which may have forgotten that it did so before.

    Somebody who re-executes the sensor's run wants a release.
    """
    return step.trigger is tags.Trigger.SENSOR and step.context.run.parent_run_id is None
