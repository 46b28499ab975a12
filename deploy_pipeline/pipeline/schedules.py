"""The drift schedules: one for each channel that was known when the code location was loaded."""

from collections.abc import Iterable

import dagster as dg

from deploy_pipeline.channels import Channel
from deploy_pipeline.pipeline import tags
from deploy_pipeline.pipeline.assets import CHANNELS, identifier
from deploy_pipeline.pipeline.jobs import JOBS
from deploy_pipeline.pipeline.sensors import failing_tick
from deploy_pipeline.pipeline.stage import DeployerParam
from deploy_pipeline.repository import release_branch
from deploy_pipeline.settings import Settings


def drift_schedules(channels: Iterable[Channel], settings: Settings) -> list[dg.ScheduleDefinition]:
    """A schedule ``drift_<channel>`` with the channel's own cron, else the deployer's. Times are UTC."""
    return [_drift_schedule(channel.name, channel.drift_schedule or settings.drift_schedule) for channel in channels]


def _drift_schedule(channel: str, cron: str) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"drift_{identifier(channel)}",
        job=JOBS["check_drift"],
        cron_schedule=cron,
        description=f"Compares channel `{channel}` with its last release. Skips while it has no release branch.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def evaluate(context: dg.ScheduleEvaluationContext, deployer: DeployerParam) -> dg.RunRequest | dg.SkipReason:
        with failing_tick():
            heads = deployer.watch().mirror.remote_heads()
        if release_branch(channel) not in heads:
            return dg.SkipReason(f"nothing was ever released: there is no branch {release_branch(channel)}")
        context.instance.add_dynamic_partitions(str(CHANNELS.name), [channel])
        return dg.RunRequest(partition_key=channel, tags={tags.TRIGGER: tags.Trigger.SCHEDULE.value})

    return evaluate
