"""What every op does around its one call of the core: open the deployer, show progress, tag the run, report errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import dagster as dg

from deploy_pipeline.deployer import Deployer
from deploy_pipeline.errors import DeployError
from deploy_pipeline.pipeline import failures, tags
from deploy_pipeline.pipeline.assets import CHANNELS
from deploy_pipeline.pipeline.masking import masked
from deploy_pipeline.process_redaction import redact
from deploy_pipeline.settings import Settings

_TICK_PATIENCE = 5.0  # seconds; Dagster ends a tick after 60 s, and asks again soon


class DeployerSource:
    """Opens the deployer, configured by the environment (``DEPLOY_…``) of the process that runs the step or sensor."""

    def __init__(self) -> None:
        self._watcher: Deployer | None = None

    def open(self) -> Deployer:
        """A deployer for one step; raises SettingsError."""
        return Deployer.from_settings(Settings.from_environment())

    def watch(self) -> Deployer:
        """A deployer for one tick, which has little patience; raises SettingsError.

        The same one as long as the settings are the same: the forge's token lasts for many ticks.
        """
        settings = Settings.from_environment()
        watcher = self._watcher
        if watcher is None or watcher.settings != settings:
            self._watcher = watcher = Deployer.from_settings(settings, patience=_TICK_PATIENCE)
        return watcher


class Observer:
    """Watches a run from the process that runs it. Nobody does, unless the command line puts its own in place."""

    def progress(self, line: str) -> None:
        """One line of progress; may come from any thread."""

    def failed(self, error: DeployError) -> None:
        """An attempt of the step failed."""


# How ops, checks and sensors ask for these.
DeployerParam = dg.ResourceParam[DeployerSource]
ObserverParam = dg.ResourceParam[Observer]

# What a run keeps between its steps stays in memory: every job has one step, and pickles on disk serve nobody.
RESOURCES = {"deployer": DeployerSource(), "observer": Observer(), "io_manager": dg.mem_io_manager}


@dataclass(frozen=True)
class Stage:
    """One step under way."""

    context: dg.OpExecutionContext
    deployer: Deployer
    observer: Observer

    @property
    def repository(self) -> str:
        """URL of the deployed repository without credentials, for links."""
        return self.deployer.mirror.url

    @property
    def channel(self) -> str:
        """The channel that the run is about."""
        return self.context.partition_key

    @property
    def run_url(self) -> str:
        """Where the run can be watched; empty if nobody said where Dagster's web server is."""
        base = self.deployer.settings.dagster_url.rstrip("/")
        return f"{base}/runs/{self.context.run_id}" if base else ""

    @property
    def trigger(self) -> tags.Trigger:
        """Who or what started the run."""
        return tags.Trigger(self.context.run.tags.get(tags.TRIGGER, tags.Trigger.UI.value))

    def progress(self, line: str) -> None:
        """Pass on a line of the core's progress; safe in every thread."""
        self.context.log.info(redact(line))
        self.observer.progress(line)

    def record(self, *events: dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation) -> None:
        """Tell Dagster what became of assets and checks; safe in every thread."""
        for event in events:
            # Dagster takes evaluated checks as well, which its annotation does not say.
            self.context.log_event(cast(dg.AssetMaterialization, masked(event)))

    def tag(self, **values: str) -> None:
        """Tag the run with what is known only now: its ``branch``, its ``commit``; empty ones are left out."""
        full = {f"deploy/{name}": value for name, value in values.items() if value}
        self.context.instance.add_run_tags(self.context.run_id, full)

    def know_channels(self, *names: str) -> None:
        """Offer these channels as partitions from now on."""
        self.context.instance.add_dynamic_partitions(str(CHANNELS.name), list(names))


@contextmanager
def stage(context: dg.OpExecutionContext, deployer: DeployerSource, observer: Observer) -> Iterator[Stage]:
    """Run a step; every error in it becomes a retry or a failure that people can read.

    The original error is not chained: expected ones say everything in their text, and the text of others may quote
    what nobody shall see.
    """
    try:
        yield Stage(context, deployer.open(), observer)
    except DeployError as error:
        observer.failed(error)
        failure = failures.failure(error)
        wait = failures.retry_wait(error, context.retry_number)
        if wait is None:
            raise failure from None
        observer.progress(f"{error.message}; trying again in {wait:.0f} s")
        raise dg.RetryRequested(max_retries=failures.RETRIES, seconds_to_wait=wait) from failure
    except Exception as error:  # noqa: BLE001 - the end of the line: nothing above may print what it says
        raise failures.unexpected(error) from None
    except BaseException as stop:
        # Somebody stops the run: Dagster would store what was being dealt with at that moment along with it.
        stop.__cause__ = stop.__context__ = None
        raise
