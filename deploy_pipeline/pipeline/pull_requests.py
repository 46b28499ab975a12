"""The sensor of open pull requests: it keeps the diff that reviewers read current.

An idle tick costs one conditional request for each hundred open pull requests, which GitHub does not count, and one
``git ls-remote`` if there are promotions among them. What makes a diff stale is decided in ``decisions.py``.
"""

import time
import uuid
from collections.abc import Iterable

import dagster as dg

from deploy_pipeline.deployer import Deployer
from deploy_pipeline.pipeline import decisions
from deploy_pipeline.pipeline.assets import RELEASE
from deploy_pipeline.pipeline.cursors import read_cursor
from deploy_pipeline.pipeline.sensors import MOST_SUBJECTS, failing_tick, new_partitions, run_requests
from deploy_pipeline.pipeline.stage import DeployerParam
from deploy_pipeline.settings import Settings

_NAME = "pull_requests"
_JOB = "review_promotion"
_HOUR = 3600.0


def review_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensor of pull requests; none where nobody reviews on a forge."""
    return [_sensor(settings.poll_seconds)] if settings.github_repository else []


def _sensor(poll_seconds: int) -> dg.SensorDefinition:
    @dg.sensor(
        name=_NAME,
        job_name=_JOB,
        description="Shows each open pull request from a candidate into a release branch what it would change, and "
        "again when its head, the release branch or what the channel runs is another one, or when the diff is old.",
        minimum_interval_seconds=poll_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def evaluate(context: dg.SensorEvaluationContext, deployer: DeployerParam) -> dg.SensorResult:
        with failing_tick():
            return _tick(context, deployer.watch())

    return evaluate


def _tick(context: dg.SensorEvaluationContext, deployer: Deployer) -> dg.SensorResult:
    settings, epoch = deployer.settings, uuid.uuid4().hex[:8]
    cursor, lost = read_cursor(context.cursor, sensor=_NAME, repository=settings.github_repository, epoch=epoch)
    found = deployer.forge.open_promotions(cursor.forge)
    pulls = decisions.promotions(found.pull_requests)
    states = decisions.review_states(
        pulls,
        deployer.mirror.remote_heads() if pulls else {},
        _last_releases(context.instance, {channel for _, channel in pulls.values()}),
        now=time.time(),
        age=settings.review_hours * _HOUR,
    )
    decision = decisions.decide(cursor, states, limit=MOST_SUBJECTS)
    requests = decisions.review_requests(decision, pulls)
    for note in filter(None, (lost, f"{decision.waiting} more wait for the next tick" if decision.waiting else "")):
        context.log.warning(note)
    idle = "; ".join(filter(None, (lost, f"{len(pulls)} pull requests, nothing to do")))
    return dg.SensorResult(
        run_requests=run_requests(_JOB, requests),
        skip_reason=None if requests else idle,
        cursor=decision.cursor.model_copy(update={"forge": found.cursor}).model_dump_json(),
        dynamic_partitions_requests=new_partitions(context, requests),
    )


def _last_releases(instance: dg.DagsterInstance, channels: Iterable[str]) -> dict[str, str]:
    """What tells the last release of each channel, be it done or failed, from all others."""
    return {channel: _last_release(instance, channel) for channel in channels}


def _last_release(instance: dg.DagsterInstance, channel: str) -> str:
    wanted = dg.AssetRecordsFilter(asset_key=RELEASE, asset_partitions=[channel])
    done = instance.fetch_materializations(wanted, limit=1).records
    failed = instance.fetch_observations(wanted, limit=1).records
    return str(max((record.storage_id for record in (*done, *failed)), default=0))
