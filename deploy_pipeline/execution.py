"""Carrying out a plan that was verified: what a release writes, and what a healing puts back.

It says in the cluster that it has begun, applies what others stand on, then all apps at once, waits for each, prunes,
and records how it ended. Every step can be done again: what was killed is finished by carrying out a new plan.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import BoundedSemaphore

from deploy_pipeline.changes import Operation
from deploy_pipeline.channels import Driver
from deploy_pipeline.cluster.inventory import Inventories, Inventory
from deploy_pipeline.cluster.lock import ChannelLock
from deploy_pipeline.cluster.objects import defined_kinds
from deploy_pipeline.cluster.recent import RecentReads
from deploy_pipeline.cluster.records import Approval, Records, ReleaseRecord, ReleaseState, now
from deploy_pipeline.deployer import Deployer, Progress
from deploy_pipeline.drivers import helm, kustomize, removed
from deploy_pipeline.drivers.applying import apply_steps
from deploy_pipeline.drivers.leaving import still_there
from deploy_pipeline.drivers.plan import AppPlan
from deploy_pipeline.drivers.waiting import wait_ready
from deploy_pipeline.errors import DeployError, ReleaseFailed, RetryableError
from deploy_pipeline.planning import ChannelPlan, each

_CRD_TIMEOUT = 60.0
_POLL = 0.5


@dataclass(frozen=True)
class AppResult:
    """How one app fared: ``released``, ``unchanged`` or ``failed`` with the reasons."""

    app: str
    driver: str
    state: str
    counts: dict[str, int]
    reasons: tuple[str, ...]
    seconds: float


def reasons(apps: Sequence[AppResult]) -> list[str]:
    """Why apps failed, each line with the app's name."""
    return [f"{app.app}: {reason}" for app in apps for reason in app.reasons]


@dataclass(frozen=True)
class Execution:
    """A plan that is verified, and being carried out under the channel's lock."""

    deployer: Deployer
    plan: ChannelPlan
    records: Records
    lock: ChannelLock
    progress: Progress
    on_app: Callable[[AppResult], None]
    _owned: dict[str, Inventory] = field(default_factory=dict)

    def begin(
        self, commit: str, approval: Approval | None, trigger: str, run_id: str, reason: str = ""
    ) -> ReleaseRecord:
        """Say in the cluster that this release has begun, and for what reason: from here on it may be continued."""
        change_set = self.plan.change_set
        record = ReleaseRecord(
            commit=commit,
            tree=change_set.tree,
            digest=approval.digest if approval else change_set.digest,
            state=ReleaseState.RELEASING,
            started=now(),
            approved_by=approval.approved_by if approval else "",
            trigger=trigger,
            run_id=run_id,
            reason=reason,
            counts=change_set.counts,
        )
        self.records.begin(record)
        return record

    def carry_out(self, chosen: tuple[AppPlan, ...], record: ReleaseRecord) -> tuple[AppResult, ...]:
        """Do it, and record how it ended. Apps that failed are among the results."""
        try:
            self._remember(chosen)
            self._lay_foundation(chosen)
            results = self._apps(chosen, f"release of {record.commit[:12]}")
        except DeployError as error:
            self._finish(record, ReleaseState.FAILED, (self._redacted("; ".join((error.message, *error.details))),))
            raise
        why = reasons(results)
        complete = ReleaseState.RELEASED if len(results) == len(self.plan.apps) else ReleaseState.PARTIAL
        self._finish(record, ReleaseState.FAILED if why else complete, why)
        return results

    def _finish(self, record: ReleaseRecord, state: ReleaseState, reasons: Sequence[str]) -> None:
        self.records.finish(record, state, "; ".join(filter(None, (record.reason, *reasons))))

    def _remember(self, chosen: tuple[AppPlan, ...]) -> None:
        """Grow the inventories before anything is made, so that nothing made is ever forgotten."""
        growing = [app for app in chosen if app.inventory.grown_from(app.target.owned) != app.target.owned]
        each(self.deployer, growing, self._grow, lambda app: app.changes.app, "inventories", abandon=self.lock.abandon)

    def _grow(self, app: AppPlan) -> None:
        self.lock.check()
        self._owned[app.changes.app] = self._inventories.grow(app.inventory, app.target.owned)

    def _lay_foundation(self, chosen: tuple[AppPlan, ...]) -> None:
        """CRDs, namespaces and cluster-wide policies of all apps, before any app: others may stand on them."""
        for app in chosen:
            apply_steps(app.target, app.foundation, self.lock.check)
        definitions = [
            step.manifest
            for app in chosen
            for step in app.foundation
            if step.change.ref.kind == "CustomResourceDefinition" and step.change.operation is not Operation.NONE
        ]
        late = wait_ready(self.plan.cluster, definitions, _CRD_TIMEOUT, self.progress, self.lock.check)
        if late:
            raise ReleaseFailed("custom resource definitions were not established", details=late)
        self._await_discovery([kind for manifest in definitions for kind in defined_kinds(manifest)])

    def _await_discovery(self, kinds: Sequence[tuple[str, str]]) -> None:
        """The server tells of a kind some time after its definition is established."""
        resources, deadline = self.plan.cluster.resources, time.monotonic() + _CRD_TIMEOUT
        while missing := [kind for version, kind in kinds if resources.find(version, kind) is None]:
            if time.monotonic() > deadline:
                raise ReleaseFailed("the cluster does not serve the kinds of new definitions", details=missing)
            time.sleep(_POLL)
            self.lock.check()

    def _apps(self, chosen: tuple[AppPlan, ...], where: str) -> tuple[AppResult, ...]:
        """Every app has a thread, since most of its time it waits; only so many write at once."""
        writing = BoundedSemaphore(self.deployer.settings.app_threads)
        recent = RecentReads(self.plan.cluster, self.plan.channel.name)
        results = each(
            self.deployer,
            chosen,
            lambda app: self._app(app, writing, recent),
            lambda app: app.changes.app,
            where,
            abandon=self.lock.abandon,
            at_once=len(chosen),
        )
        return tuple(results)

    def _app(self, app: AppPlan, writing: BoundedSemaphore, recent: RecentReads) -> AppResult:
        started = time.monotonic()
        try:
            reasons = self._release_app(app, writing, recent)
        except RetryableError:
            raise
        except DeployError as error:
            reasons = tuple(self._redacted(line) for line in (error.message, *error.details))
        state = "failed" if reasons else "unchanged" if app.changes.is_empty else "released"
        seconds = time.monotonic() - started
        result = AppResult(app.changes.app, app.changes.driver, state, app.changes.counts, reasons, seconds)
        self.progress(f"{result.app}: {state} in {seconds:.1f} s")
        self.on_app(result)
        return result

    def _release_app(self, app: AppPlan, writing: BoundedSemaphore, recent: RecentReads) -> tuple[str, ...]:
        """Apply, wait, prune; returns why it is not ready. Old objects stay until the new ones work."""
        if app.changes.removed:
            with writing:
                self.lock.check()
                removed.prune(app, self.lock.check)
                self._settle(app)
            return ()
        driver = kustomize if app.changes.driver == Driver.KUSTOMIZE.value else helm
        with writing:
            self.lock.check()
            applied = driver.apply(app, self.lock.check)
        timeout = app.target.app.timeout_seconds
        known = app.unchanged | applied
        if not app.changes.is_empty:  # what the plan read of a status may be old by now
            known = {ref: live for ref, live in known.items() if ref in applied or "status" not in live}
        reasons = wait_ready(
            self.plan.cluster, app.wanted, timeout, self.progress, self.lock.check, known=known, recent=recent
        )
        if not reasons:
            with writing:
                self.lock.check()
                driver.prune(app, self.lock.check)
                self._settle(app)
        return reasons

    def _settle(self, app: AppPlan) -> None:
        """Shrink the inventory to what the app has now: what is wanted, what is kept, what is not gone yet."""
        inventory = app.inventory.joined(still_there(app))
        if app.changes.removed and not inventory.members:
            self._inventories.forget(app.changes.app)
        elif inventory != self._owned.get(app.changes.app, app.target.owned):
            self._inventories.put(inventory)

    @property
    def _inventories(self) -> Inventories:
        return self.plan.cluster.inventories(self.plan.channel.name)

    def _redacted(self, text: str) -> str:
        return self.plan.cluster.redactor.redact(text)
