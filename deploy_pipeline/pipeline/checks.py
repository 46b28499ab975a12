"""Asset checks that people can run from an app's page: is it ready, and is it still what was released?

The jobs ``release_channel`` and ``check_drift`` evaluate the same checks as they go.
"""

from collections.abc import Iterable, Iterator

import dagster as dg

from deploy_pipeline.channels import Channel
from deploy_pipeline.pipeline import events
from deploy_pipeline.pipeline.assets import DRIFT, READY, app_key, identifier
from deploy_pipeline.pipeline.masking import masked_check
from deploy_pipeline.pipeline.stage import DeployerParam, ObserverParam, Stage, stage

_SPECS = {
    READY: "Every object of the app is ready: rolled out, bound, complete.",
    DRIFT: "The app's objects in the cluster are what was last released.",
}


def app_checks(channels: Iterable[Channel]) -> list[dg.AssetChecksDefinition]:
    """The checks of every app; those of one channel run together, so that they read the cluster once."""
    return [_channel_checks(channel) for channel in channels if channel.apps]


def _channel_checks(channel: Channel) -> dg.AssetChecksDefinition:
    specs = [
        dg.AssetCheckSpec(name, asset=app_key(channel.name, app.name), description=description)
        for app in channel.apps
        for name, description in _SPECS.items()
    ]

    @dg.multi_asset_check(
        name=f"check_{identifier(channel.name)}",
        specs=specs,
        can_subset=True,
        description=f"Readiness and drift of the apps of channel `{channel.name}`.",
    )
    def evaluate(
        context: dg.AssetCheckExecutionContext, deployer: DeployerParam, observer: ObserverParam
    ) -> Iterator[dg.AssetCheckResult]:
        with stage(context.op_execution_context, deployer, observer) as step:
            found = {event.asset_check_key: event for event in _evaluate(step, channel.name, _selected(context))}
        for key in context.selected_asset_check_keys:
            if key in found:
                yield _as_result(masked_check(found[key]))

    return evaluate


def _selected(context: dg.AssetCheckExecutionContext) -> dict[str, list[str]]:
    """The names of the apps to look at, by check."""
    selected: dict[str, list[str]] = {READY: [], DRIFT: []}
    for key in context.selected_asset_check_keys:
        selected[key.name].append(key.asset_key.path[-1])
    return selected


def _evaluate(step: Stage, channel: str, selected: dict[str, list[str]]) -> Iterator[dg.AssetCheckEvaluation]:
    from deploy_pipeline.drift import check_drift, check_ready

    if selected[READY]:
        for app in check_ready(step.deployer, channel, apps=selected[READY], progress=step.progress):
            yield events.readiness(channel, app)
    if selected[DRIFT]:
        yield from events.drift_found(check_drift(step.deployer, channel, apps=selected[DRIFT], progress=step.progress))


def _as_result(event: dg.AssetCheckEvaluation) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=event.asset_key,
        check_name=event.check_name,
        passed=event.passed,
        severity=event.severity,
        description=event.description,
        metadata=event.metadata,
    )
