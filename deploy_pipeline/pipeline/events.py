"""What the core's results become in Dagster: materializations, observations and evaluated checks.

All functions are pure; the ops log what they return.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import dagster as dg

from deploy_pipeline.changes import ChangeSet
from deploy_pipeline.changes.drift import AppDrift, DriftResult
from deploy_pipeline.changes.drift_report import app_summary
from deploy_pipeline.pipeline import metadata
from deploy_pipeline.pipeline.assets import (
    APPROVAL,
    CANDIDATE,
    CHANGE_SET,
    DRIFT,
    READY,
    RELEASE,
    SOURCE_BRANCH,
    app_key,
)

if TYPE_CHECKING:  # the core's actions import the Kubernetes client, which loading the code location must not
    from deploy_pipeline.deploy_secrets import SecretResult
    from deploy_pipeline.drift import AppReadiness
    from deploy_pipeline.execution import AppResult
    from deploy_pipeline.promotion import Promotion
    from deploy_pipeline.release import ReleaseResult
    from deploy_pipeline.rendering import RenderResult

Event = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation


def rendered(result: RenderResult, repository: str) -> Iterator[Event]:
    """The source branch that was seen, and the candidate that came of it; nothing for a removed one."""
    if result.removed or not result.commit:
        return
    source = metadata.commit(repository, result.source_commit or "")
    yield dg.AssetObservation(SOURCE_BRANCH, metadata={"branch": result.branch, "commit": source})
    yield dg.AssetMaterialization(
        CANDIDATE,
        description=f"{result.candidate} ({'new commit' if result.changed else 'unchanged'})",
        metadata={
            "branch": result.candidate,
            "commit": metadata.commit(repository, result.commit),
            "source commit": source,
            "tree": result.tree or "",
            "channels": ", ".join(result.channels) or "none",
            "apps": metadata.bullets(f"`{channel}` {app}" for channel, app in result.apps),
            "objects": result.objects,
            "warnings": metadata.bullets(result.warnings),
            "isolation": result.isolation,
            "seconds": metadata.seconds(result.seconds),
        },
    )


def compared(
    result: ChangeSet, candidate: str, only: Collection[str] = (), *, shown_on: str = ""
) -> dg.AssetMaterialization:
    """The change set of a promotion; ``only``: the apps it was limited to; ``shown_on``: URL of its pull request."""
    described = "nothing would change" if result.is_empty else "see the metadata for the differences"
    described += f" (only {', '.join(only)}: no digest to approve)" if only else ""
    return dg.AssetMaterialization(
        CHANGE_SET,
        description=f"{candidate} for {result.channel}: {described}",
        partition=result.channel,
        metadata={
            "candidate": candidate,
            **({"pull request": dg.MetadataValue.url(shown_on)} if shown_on else {}),
            **metadata.change_set(result),
        },
    )


def promoted(result: Promotion, repository: str) -> Iterator[Event]:
    """The change set that was accepted, and the evidence of it."""
    yield compared(result.change_set, result.candidate)
    yield dg.AssetMaterialization(
        APPROVAL,
        description=f"{result.candidate} approved for {result.channel} by {result.approved_by}",
        partition=result.channel,
        metadata={
            "approved by": result.approved_by,
            "candidate": result.candidate,
            "candidate commit": metadata.commit(repository, result.candidate_commit),
            "release commit": metadata.commit(repository, result.commit),
            "tree": result.tree,
            "digest": result.change_set.digest,
        },
    )


def released(result: ReleaseResult, change_set: ChangeSet, repository: str) -> dg.AssetMaterialization:
    """A channel that runs the commit now, and what was done for that."""
    return dg.AssetMaterialization(
        RELEASE,
        description=f"{result.channel} runs {result.commit[:12]}",
        partition=result.channel,
        metadata={
            "commit": metadata.commit(repository, result.commit),
            "released before": metadata.commit(repository, result.last_good),
            "apps": len(result.apps),
            "seconds": metadata.seconds(result.seconds),
            **metadata.change_set(change_set),
        },
    )


def release_failed(result: ReleaseResult, repository: str) -> dg.AssetObservation:
    """What a release that failed was to do, and which apps it failed for."""
    failed = [app.app for app in result.apps if app.state == "failed"]
    return dg.AssetObservation(
        RELEASE,
        description=f"the release of {result.commit[:12]} failed: {', '.join(failed)}",
        partition=result.channel,
        metadata={
            "commit": metadata.commit(repository, result.commit),
            "last good commit": metadata.commit(repository, result.last_good),
            "failed": metadata.bullets(f"{app.app}: {reason}" for app in result.apps for reason in app.reasons),
            **(metadata.change_set(result.change_set) if result.change_set else {}),
        },
    )


def app_released(channel: str, commit: str, result: AppResult, repository: str) -> Iterator[Event]:
    """One app of a release: materialised unless it failed, and whether it became ready."""
    key = app_key(channel, result.app)
    if result.state != "failed":
        yield dg.AssetMaterialization(
            key,
            description=f"{result.state} at {commit[:12]}",
            metadata={
                "state": result.state,
                "commit": metadata.commit(repository, commit),
                "driver": str(result.driver),
                "seconds": metadata.seconds(result.seconds),
                **metadata.counts(result.counts),
            },
        )
    yield _check(key, READY, passed=result.state != "failed", reasons=result.reasons, ok="every object is ready")


def secrets_written(channel: str, results: Collection[SecretResult]) -> Iterator[dg.AssetObservation]:
    """For each app, which objects its secrets became."""
    for app in sorted({result.app for result in results}):
        written = [
            f"`{one.secret}`{f' version {one.version}' if one.version else ''} → {one.object}: {one.operation}"
            for one in results
            if one.app == app
        ]
        yield dg.AssetObservation(
            app_key(channel, app), description="secrets written", metadata={"secrets": metadata.bullets(written)}
        )


def drift_found(result: DriftResult) -> Iterator[dg.AssetCheckEvaluation]:
    """For each app of the channel, whether it is as it was released; nothing while nothing was released."""
    for app in result.apps:
        yield _drift_of_app(result, app)


def _drift_of_app(result: DriftResult, app: AppDrift) -> dg.AssetCheckEvaluation:
    reasons = (*app.not_healed, *(result.not_healed if app.restorable else ()))
    return dg.AssetCheckEvaluation(
        asset_key=app_key(result.channel, app.app),
        check_name=DRIFT,
        passed=not app.drifted,
        severity=dg.AssetCheckSeverity.WARN,
        description="; not healed: ".join([app_summary(app), *reasons])[:300],
        metadata={
            "released commit": result.commit,
            **metadata.drift(app),
            **(metadata.secrets(result.change_set) if result.change_set else {}),
            **({"not healed": metadata.bullets(reasons)} if reasons else {}),
            **({"not looked at for extra objects": ", ".join(result.unseen)} if result.unseen else {}),
        },
    )


def readiness(channel: str, result: AppReadiness) -> dg.AssetCheckEvaluation:
    """Whether one app is ready now."""
    key = app_key(channel, result.app)
    return _check(key, READY, passed=result.ready, reasons=result.reasons, ok="every object is ready")


def _check(key: dg.AssetKey, name: str, *, passed: bool, reasons: tuple[str, ...], ok: str) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=name,
        passed=passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description=ok if passed else "; ".join(reasons)[:300],
        metadata={"reasons": metadata.bullets(reasons)} if reasons else {},
    )
