"""When drift is looked for."""

from __future__ import annotations

from datetime import datetime, timezone

import dagster as dg
import pytest
from dagster._core.errors import ScheduleExecutionError

from deploy_pipeline.channels import Channel, parse_channel
from deploy_pipeline.pipeline.jobs import JOBS
from deploy_pipeline.pipeline.schedules import drift_schedules
from deploy_pipeline.pipeline.stage import RESOURCES
from deploy_pipeline.settings import Settings
from tests.support.origin import Origin


def channel(name: str, schedule: str = "") -> Channel:
    """A channel without apps."""
    text = f"channel: {name}\nreleases: []\n" + (f"drift_schedule: '{schedule}'\n" if schedule else "")
    return parse_channel(text, f"channels/{name}.yaml", None)


def evaluate(name: str, instance: dg.DagsterInstance) -> dg.RunRequest | str | None:
    """The run that the channel's schedule asks for, or why it asks for none."""
    schedules = drift_schedules([channel(name)], Settings())
    definitions = dg.Definitions(jobs=list(JOBS.values()), schedules=schedules, resources=RESOURCES)
    repository = definitions.get_repository_def()
    with dg.build_schedule_context(
        instance, scheduled_execution_time=datetime.now(timezone.utc), repository_def=repository, resources=RESOURCES
    ) as context:
        result = repository.get_schedule_def(schedules[0].name).evaluate_tick(context)
    return result.run_requests[0] if result.run_requests else result.skip_message


def test_a_channel_has_its_own_schedule_or_the_settings_one() -> None:
    """Names are such as Dagster takes; a channel's name may hold dashes."""
    schedules = drift_schedules(
        [channel("prod"), channel("eu-west", "5 4 * * *")], Settings(drift_schedule="*/10 * * * *")
    )
    assert {schedule.name: schedule.cron_schedule for schedule in schedules} == {
        "drift_prod": "*/10 * * * *",
        "drift_eu_west": "5 4 * * *",
    }


def test_a_released_channel_is_checked(repository: Origin, instance: dg.DagsterInstance) -> None:
    """Even if no run of this instance has met the channel."""
    repository.commit("releases/eu-west", {"README": "x"})
    request = evaluate("eu-west", instance)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "eu-west"
    assert request.tags["deploy/channel"] == "eu-west"
    assert request.tags["deploy/trigger"] == "schedule"


def test_a_channel_that_was_never_released_is_skipped_with_the_reason(
    repository: Origin, instance: dg.DagsterInstance
) -> None:
    """There is nothing the cluster could differ from."""
    assert evaluate("prod", instance) == "nothing was ever released: there is no branch releases/prod"


def test_a_remote_that_cannot_be_read_fails_the_tick(
    repository: Origin, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not pass for a channel without release branch."""
    monkeypatch.setenv("DEPLOY_REPOSITORY", str(repository.path / "nowhere"))
    with pytest.raises(ScheduleExecutionError) as failed:
        evaluate("prod", instance)
    assert "cannot read the branches of" in str(failed.value.__cause__)
