"""Release: making the cluster match the head of a release branch, exactly as approved.

Everything is planned and verified before the first write (`execution` has how it is carried out). A release that was
killed is finished by running it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from deploy_pipeline.approval import Acceptance, authorize
from deploy_pipeline.changes import ChangeSet, summary
from deploy_pipeline.channels import load_channel
from deploy_pipeline.cluster.records import ReleaseRecord, ReleaseState
from deploy_pipeline.deployer import Deployer, Progress
from deploy_pipeline.drivers.plan import AppPlan
from deploy_pipeline.drivers.recovery import free_interrupted
from deploy_pipeline.errors import (
    ForgeUnreachable,
    RefusedError,
    ReleaseFailed,
    RepositoryUnreachable,
)
from deploy_pipeline.execution import AppResult, Execution, reasons
from deploy_pipeline.planning import ChannelPlan, plan_channel
from deploy_pipeline.repository import release_branch


@dataclass(frozen=True)
class ReleaseResult:
    """How a release ended. ``skipped``: there was nothing to begin. ``last_good``: what was released before it."""

    channel: str
    commit: str
    tree: str
    change_set: ChangeSet | None
    apps: tuple[AppResult, ...]
    last_good: str
    seconds: float
    skipped: bool = False


@dataclass(frozen=True)
class ReleaseRequest:
    """Which release is asked for: of the head of the channel's release branch, which ``commit`` names if it is given.

    ``apps`` and ``drivers`` narrow it down. ``only_if_new`` skips a commit that the cluster says is released, and one
    that is no longer the head. An ``acceptance`` lets through what is not approved, where the channel allows that.
    """

    channel: str
    trigger: str
    commit: str = ""
    apps: Collection[str] = ()
    drivers: Collection[str] = ()
    run_id: str = ""
    only_if_new: bool = False
    acceptance: Acceptance | None = None


def release_channel(
    deployer: Deployer,
    request: ReleaseRequest,
    *,
    progress: Progress,
    on_begin: Callable[[ReleaseRecord], None] = lambda _: None,
    on_app: Callable[[AppResult], None],
) -> ReleaseResult:
    """Release what is asked for.

    ``on_begin`` is told when the release may write, ``on_app`` of each app as it ends. Raises ApprovalError before the
    first write, ForgeUnreachable when reviews cannot be read, ReleaseFailed after all apps were tried.
    """
    started = time.monotonic()
    channel, commit = request.channel, request.commit
    cluster = deployer.cluster(channel)
    with cluster.lock(channel).held(f"release of {channel}", deployer.settings.lock_wait) as lock:
        # Not before: another release may have gone by while we waited.
        head = _head(deployer, channel, commit, progress)
        records = cluster.records(channel)
        history = records.releases()
        last = next((record for record in history if record.state is ReleaseState.RELEASED), None)
        result = ReleaseResult(channel, head, "", None, (), last.commit if last else "", 0.0)
        superseded = bool(commit) and commit != head
        if request.only_if_new and (superseded or (history and history[0].commit == head and last is history[0])):
            progress(f"nothing to do: {channel} {'is at a newer commit' if superseded else 'runs this commit already'}")
            return replace(result, skipped=True, seconds=time.monotonic() - started)
        if superseded:
            raise RefusedError(f"{commit[:12]} is not the head of {release_branch(channel)}, which is {head[:12]}")
        free_interrupted(cluster, channel, progress)
        plan = _plan(deployer, channel, head, progress)
        approval = authorize(
            deployer,
            head,
            plan.change_set,
            history=history,
            acceptance=request.acceptance,
            run_id=request.run_id,
            progress=progress,
        )
        execution = Execution(deployer, plan, records, lock, progress, on_app)
        record = execution.begin(head, approval, request.trigger, request.run_id)
        on_begin(record)
        outcome = execution.carry_out(_chosen(plan, request), record)
    result = replace(
        result,
        tree=plan.change_set.tree,
        change_set=plan.change_set,
        apps=outcome,
        seconds=time.monotonic() - started,
    )
    if any(app.state == "failed" for app in outcome):
        raise _failure(result, last)
    return result


def history(deployer: Deployer, channel: str) -> tuple[ReleaseRecord, ...]:
    """The channel's releases as its cluster remembers them, newest first."""
    return deployer.observing().cluster(channel).records(channel).releases()


def _head(deployer: Deployer, channel: str, commit: str, progress: Progress) -> str:
    """The head of the release branch.

    While nobody can read it, ``commit`` goes on if it was the head when it was read last and is approved.
    """
    branch = release_branch(channel)
    try:
        heads = deployer.mirror.fetch()
    except (RepositoryUnreachable, ForgeUnreachable) as error:
        heads = deployer.mirror.heads()
        known = bool(commit) and heads.get(branch) == commit
        if not known or deployer.cluster(channel).records(channel).approval(commit) is None:
            raise
        progress(f"{error.message}; {commit[:12]} was read and approved before, so it goes on")
    if branch not in heads:
        raise RefusedError(f"there is no branch {branch}", hint=f"promote a candidate to {channel} first")
    return heads[branch]


def _plan(deployer: Deployer, channel: str, head: str, progress: Progress) -> ChannelPlan:
    tree = deployer.mirror.tree(head)
    plan = plan_channel(deployer, load_channel(tree, channel), tree, progress=progress)
    plan.admission.check_images()
    progress(f"{channel}: {summary(plan.change_set)}; digest {plan.change_set.digest}")
    return plan


def _chosen(plan: ChannelPlan, request: ReleaseRequest) -> tuple[AppPlan, ...]:
    apps, drivers = request.apps, request.drivers
    for name in apps:
        plan.channel.app(name)
    return tuple(
        app
        for app in plan.apps
        if (not apps or app.changes.app in apps) and (not drivers or app.changes.driver in drivers)
    )


def _failure(result: ReleaseResult, last: ReleaseRecord | None) -> ReleaseFailed:
    names = ", ".join(app.app for app in result.apps if app.state == "failed")
    good = f"the last good state is {last.commit[:12]}, released {last.finished}" if last else "nothing ran before"
    error = ReleaseFailed(
        f"the release of {result.commit[:12]} to {result.channel} failed: {names}",
        details=reasons(result.apps),
        hint=f"fix it on the source branch and promote again, or run this again to continue; {good}",
    )
    error.result = result
    return error
