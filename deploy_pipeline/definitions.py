"""What this code location offers, on one page.

Loading it reads local files only, and no channel file, however broken, keeps it from loading.
"""

from pathlib import Path

import dagster as dg

from deploy_pipeline.pipeline.assets import asset_specs
from deploy_pipeline.pipeline.catalog import known_channels
from deploy_pipeline.pipeline.checks import app_checks
from deploy_pipeline.pipeline.jobs import JOBS
from deploy_pipeline.pipeline.pull_requests import review_sensors
from deploy_pipeline.pipeline.schedules import drift_schedules
from deploy_pipeline.pipeline.sensors import branch_sensors
from deploy_pipeline.pipeline.stage import RESOURCES
from deploy_pipeline.settings import Settings

settings = Settings.from_environment()
channels = known_channels(settings, checkout=Path.cwd())

defs = dg.Definitions(
    assets=asset_specs(channels),
    asset_checks=app_checks(channels),
    jobs=list(JOBS.values()),
    sensors=[*branch_sensors(settings), *review_sensors(settings)],
    schedules=drift_schedules(channels, settings),
    resources=RESOURCES,
    executor=dg.in_process_executor,
)
