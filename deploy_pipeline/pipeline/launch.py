"""The same jobs, run in this process: what the command line does stands in the run history like everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from deploy_pipeline.deployer import Progress, silent
from deploy_pipeline.errors import DeployError, FailedError, RefusedError
from deploy_pipeline.pipeline import tags as run_tags
from deploy_pipeline.pipeline.jobs import JOBS, OP_NAMES, op_config
from deploy_pipeline.pipeline.stage import RESOURCES, Observer

# The name of the code location in workspace.yaml: the run is listed there, with its job.
_LOCATION = "__repository__@deploy_pipeline"
# Dagster's console logger would write every event to the terminal.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class LaunchResult:
    """How a run ended: ``value`` is what the core's function returned, ``error`` why there is none."""

    run_id: str
    success: bool
    value: Any = None
    error: DeployError | None = None


@dataclass
class _Watcher(Observer):
    """Passes progress on, and keeps the error of the last attempt."""

    listener: Progress
    last: DeployError | None = field(default=None)

    def progress(self, line: str) -> None:
        self.listener(line)

    def failed(self, error: DeployError) -> None:
        self.last = error


def run_job(
    job_name: str,
    *,
    partition: str | None = None,
    config: Mapping[str, Any],
    tags: Mapping[str, str] | None = None,
    instance: dg.DagsterInstance,
    progress: Progress = silent,
) -> LaunchResult:
    """Run a job here and now, on the run history of ``instance``; retries included.

    ``config`` holds the fields of the job's config class, ``partition`` is the channel. ``progress`` gets the core's
    lines and may be called from threads. Raises RefusedError for a job that does not exist; whatever goes wrong in the
    run is in the result.
    """
    if job_name not in JOBS:
        raise RefusedError(f"no such job: {job_name}", hint=f"there are: {', '.join(JOBS)}")
    watcher = _Watcher(progress)
    run = JOBS[job_name].execute_in_process(
        run_config=op_config(OP_NAMES[job_name], config) | _QUIET,
        instance=instance,
        tags=_tags(partition) | dict(tags or {}),
        resources={**RESOURCES, "observer": watcher},
        raise_on_error=False,
    )
    if run.success:
        return LaunchResult(run.run_id, success=True, value=run.output_for_node(OP_NAMES[job_name]))
    return LaunchResult(run.run_id, success=False, error=watcher.last or _unexpected(run.run_id))


def _tags(partition: str | None) -> dict[str, str]:
    """What ties the run to its job, channel and partition.

    The partition is a tag and not ``partition_key``, which would refuse a channel that no run has met before; the core
    tells better which channels there are.
    """
    common = {run_tags.TRIGGER: run_tags.Trigger.CLI.value, run_tags.REPOSITORY: _LOCATION}
    return common | ({run_tags.CHANNEL: partition, run_tags.PARTITION: partition} if partition else {})


def _unexpected(run_id: str) -> DeployError:
    return FailedError(
        "the run ended by a fault of deploy_pipeline itself", hint=f"see run {run_id} in Dagster for where it happened"
    )
