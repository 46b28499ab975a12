"""Healing: putting a channel back to its last approved release where its cluster drifted from it.

What is put back was approved before: this commit, these secrets, on this cluster. That approval is the only one there
is, so whatever differs from it stops the healing, with the reason. It is carried out by the code that releases, under
the same lock, and recorded as a release. Nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from deploy_pipeline.changes import ChangeSet, Operation
from deploy_pipeline.changes.drift import AppDrift, DriftResult
from deploy_pipeline.channels import load_channel
from deploy_pipeline.cluster.inventory import Member
from deploy_pipeline.cluster.lock import ChannelLock
from deploy_pipeline.cluster.records import Approval, Records, ReleaseRecord, ReleaseState
from deploy_pipeline.deployer import Deployer, Progress
from deploy_pipeline.drift import check_drift, drift_of, without_finished_jobs
from deploy_pipeline.drivers.plan import AppPlan
from deploy_pipeline.drivers.recovery import free_interrupted
from deploy_pipeline.errors import ChannelLocked, DeployError, RetryableError
from deploy_pipeline.execution import Execution
from deploy_pipeline.planning import ChannelPlan, plan_channel
from deploy_pipeline.repository import release_branch

TRIGGER = "heal"
_MOST_NAMED = 20


def keep_released(
    deployer: Deployer,
    channel: str,
    *,
    apps: Collection[str] = (),
    heal: bool | None = None,
    run_id: str = "",
    progress: Progress,
) -> DriftResult:
    """Look for drift, and put it back if that is wanted: ``heal``, or else what the released channel file says.

    The result says what was found, what was put back, and why the rest was not. Killed half way, it is completed by the
    next call.
    """
    found = check_drift(deployer, channel, apps=apps, progress=progress)
    wanted = deployer.observing().released_channel(channel).drift == "heal" if heal is None else heal
    if not wanted or not found.released or not (found.restorable or _was_interrupted(deployer, channel)):
        return found
    try:
        with deployer.cluster(channel).lock(channel).held(f"healing of {channel}", deployer.settings.lock_wait) as lock:
            result = _Healing(deployer, channel, tuple(apps), run_id, progress, lock).carry_out(found)
    except ChannelLocked as error:
        result = replace(found, not_healed=(error.message,))
    for reason in result.not_healed:
        progress(f"{channel}: not healed: {reason}")
    return result


def _was_interrupted(deployer: Deployer, channel: str) -> bool:
    """Whether a healing was killed before it could say that it ended."""
    newest = next(iter(deployer.cluster(channel).records(channel).releases()), None)
    return newest is not None and newest.trigger == TRIGGER and newest.state is ReleaseState.RELEASING


@dataclass(frozen=True)
class _Basis:
    """What is put back: a completed release and its approval. ``newest`` is it, or an unfinished healing of it."""

    last: ReleaseRecord
    approval: Approval
    newest: ReleaseRecord

    @property
    def continues(self) -> bool:
        return self.newest is not self.last


@dataclass(frozen=True)
class _Healing:
    """One healing, under the channel's lock."""

    deployer: Deployer
    channel: str
    apps: tuple[str, ...]
    run_id: str
    progress: Progress
    lock: ChannelLock

    def carry_out(self, found: DriftResult) -> DriftResult:
        """Plan again, and put back what drifted if that is what was approved; else ``found`` with the reasons."""
        self.deployer.mirror.fetch()
        basis = self._basis()
        if not isinstance(basis, _Basis):
            return replace(found, not_healed=(basis,))
        free_interrupted(self.deployer.cluster(self.channel), self.channel, self.progress)
        tree = self.deployer.mirror.tree(basis.last.commit)
        channel = load_channel(tree, self.channel)
        plan = plan_channel(self.deployer, channel, tree, apps=self.apps, released=True, progress=self.progress)
        found = drift_of(self.deployer, plan, basis.last.commit, apps=self.apps, progress=self.progress)
        unapproved = tuple(_unapproved(plan.change_set, basis.approval))
        if unapproved:
            return replace(found, not_healed=unapproved)
        approved = ChangeSet.from_json(basis.approval.change_set)
        obstacles = {app.changes.app: why for app in plan.apps if (why := tuple(_obstacles(app, approved)))}
        left = [app for app in plan.apps if not app.changes.removed and app.changes.app not in obstacles]
        chosen = tuple(app for app in map(_restoring, left) if basis.continues or app.changes.changed)
        outcome = self._put_back(plan, chosen, basis, found) if chosen else {}
        return replace(found, apps=tuple(_told(app, obstacles | outcome) for app in found.apps))

    @property
    def _records(self) -> Records:
        return self.deployer.cluster(self.channel).records(self.channel)

    def _basis(self) -> _Basis | str:
        """What may be put back, or why nothing may."""
        records = self._records
        history = records.releases()
        last = next((record for record in history if record.state is ReleaseState.RELEASED), None)
        head = self.deployer.mirror.heads().get(release_branch(self.channel))
        if last is None:
            return "nothing was released yet"
        newest = history[0]
        if newest is not last and (newest.trigger, newest.commit) != (TRIGGER, last.commit):
            return f"the last release, of {newest.commit[:12]}, is not complete: its state is {newest.state.value}"
        if head != last.commit:
            now = f"at {head[:12]}, which is not released yet" if head else "gone"
            return f"{release_branch(self.channel)} is {now}"
        approval = records.approval(last.commit)
        if approval is None or approval.digest != last.digest:
            return f"the cluster has no approval of the release of {last.commit[:12]} to go by"
        return _Basis(last, approval, newest)

    def _put_back(
        self, plan: ChannelPlan, chosen: tuple[AppPlan, ...], basis: _Basis, found: DriftResult
    ) -> dict[str, tuple[str, ...]]:
        """Release the chosen apps; returns for each why it is not as released, empty if it is."""
        narrow = replace(plan.change_set, apps=tuple(app.changes for app in chosen))
        whole = replace(plan, change_set=narrow, apps=chosen)
        execution = Execution(self.deployer, whole, self._records, self.lock, self.progress, lambda _: None)
        reason = _what(found, [app.changes.app for app in chosen]) or basis.newest.reason
        record = execution.begin(basis.last.commit, basis.approval, TRIGGER, self.run_id, reason)
        try:
            return {result.app: result.reasons for result in execution.carry_out(chosen, record)}
        except RetryableError:
            raise
        except DeployError as error:
            told = tuple(map(plan.cluster.redactor.redact, (error.message, *error.details)))
            return dict.fromkeys((app.changes.app for app in chosen), told)


def _unapproved(change_set: ChangeSet, approval: Approval) -> Iterator[str]:
    """What the plan stands on and was not approved with the release."""
    approved = ChangeSet.from_json(approval.change_set)
    if (change_set.cluster, change_set.tree) != (approved.cluster, approved.tree):
        yield "the cluster or the tree is another one than was approved"
    for secret in sorted(set(change_set.secrets) - set(approved.secrets)):
        yield f"the secret {secret} is not the one that was approved with the release: `promote` approves it"


def _obstacles(app: AppPlan, approved: ChangeSet) -> Iterator[str]:
    """Why putting back the app is not for us to do: it would delete something, or do what was not approved."""
    before = approved.app(app.changes.app)
    if app.changes.rendering != (before.rendering if before else ""):
        yield "the chart gives something else than was approved, as for an upgrade: `promote` approves that"
    for change in app.changes.changed:
        if change.operation is Operation.RECREATE:
            yield f"{change.ref} would have to be deleted and made anew: `promote` approves that"
        if change.operation is Operation.PRUNE and app.helm_release and not app.changes.removed:
            yield f"Helm would delete {change.ref}: `promote` approves that"
    again = set(app.changes.changed) - set(without_finished_jobs(app).changes.changed)
    if app.helm_release:
        yield from (f"Helm would run {change.ref} again, which has done its work" for change in again)


def _restoring(app: AppPlan) -> AppPlan:
    """The plan without what a release would prune, and without Jobs and hooks, which did their work."""
    app = without_finished_jobs(app)
    objects = tuple(change for change in app.changes.objects if change.operation is not Operation.PRUNE)
    kept = (*app.kept, *map(Member.of, app.prunes))
    return replace(app, changes=replace(app.changes, objects=objects), prunes=(), kept=kept, runs_hooks=False)


def _what(found: DriftResult, apps: Sequence[str]) -> str:
    """What is put back, for the record: objects and fields without values."""
    named = [
        f"{item.ref} ({', '.join(field.path for field in item.fields) or item.deviation.value})"
        for app in found.apps
        if app.app in apps
        for item in app.restorable
    ]
    more = [f"and {len(named) - _MOST_NAMED} more"] if len(named) > _MOST_NAMED else []
    return f"put back {'; '.join([*named[:_MOST_NAMED], *more])}" if named else ""


def _told(app: AppDrift, reasons: dict[str, tuple[str, ...]]) -> AppDrift:
    """The drift of an app with what became of it; ``reasons`` names the apps that were to be put back."""
    if app.app not in reasons or not app.restorable:
        return app
    return replace(app, healed=not reasons[app.app], not_healed=reasons[app.app])
