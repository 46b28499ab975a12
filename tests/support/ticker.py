"""One sensor, ticked as the daemon does it."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from deploy_pipeline.pipeline.stage import DeployerSource


class Ticker:
    """Ticks a sensor: the cursor of a tick that worked is what the next one gets."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance, sensor: str) -> None:
        self.repository = definitions.get_repository_def()
        self.sensor = self.repository.get_sensor_def(sensor)
        self.instance = instance
        self.cursor: str | None = None
        self.deployers = DeployerSource()

    def tick(self) -> Sequence[dg.RunRequest]:
        """Evaluate, add the partitions asked for, and keep the cursor; the run requests are as the daemon gets them."""
        with dg.SensorEvaluationContext(
            instance_ref=self.instance.get_ref(),
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=self.cursor,
            repository_name=self.repository.name,
            repository_def=self.repository,
            resources={"deployer": dg.ResourceDefinition.hardcoded_resource(self.deployers)},
        ) as context:
            self.result = self.sensor.evaluate_tick(context)
        for request in self.result.dynamic_partitions_requests or ():
            self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        self.cursor = self.result.cursor
        return self.result.run_requests or ()
