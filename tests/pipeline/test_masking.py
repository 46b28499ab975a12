"""What reaches Dagster's storage is masked once more, whatever the core made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from deploy_pipeline import process_redaction
from deploy_pipeline.errors import ReleaseFailed
from deploy_pipeline.pipeline import failures
from deploy_pipeline.pipeline.masking import masked_check
from deploy_pipeline.pipeline.sensors import TickFailed, failing_tick
from deploy_pipeline.pipeline.stage import RESOURCES, DeployerParam, ObserverParam, stage

VALUE = "hunter2-for-dagster"


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """The process has read a secret; a deployer opens."""
    process_redaction.learn([VALUE])
    monkeypatch.setenv("DEPLOY_REPOSITORY", "/nowhere.git")
    monkeypatch.setenv("DEPLOY_STATE_DIR", str(tmp_path))


def events_of(act: Callable[[Any], None], instance: dg.DagsterInstance) -> str:
    """What is stored of a run whose only step does ``act``, which is given the stage."""

    def step(context: dg.OpExecutionContext, deployer: DeployerParam, observer: ObserverParam) -> None:
        with stage(context, deployer, observer) as opened:
            act(opened)

    # Dagster looks at the annotations themselves, which this module defers.
    step.__annotations__ = {"context": dg.OpExecutionContext, "deployer": DeployerParam, "observer": ObserverParam}
    job = dg.GraphDefinition(name="job", node_defs=[dg.op(step)]).to_job()
    run = job.execute_in_process(instance=instance, raise_on_error=False, resources=RESOURCES)
    return "\n".join(map(str, instance.all_logs(run.run_id)))


def test_events_and_progress_are_masked(instance: dg.DagsterInstance) -> None:
    """Descriptions, texts, Markdown; numbers and what people copy stay as they are."""
    metadata: dict[str, Any] = {"text": VALUE, "md": dg.MetadataValue.md(f"`{VALUE}`"), "count": 3, "digest": "a" * 64}

    def act(opened: Any) -> None:
        opened.record(
            dg.AssetMaterialization("a", description=VALUE, metadata=metadata, partition="p"),
            dg.AssetObservation("a", description=VALUE, metadata=metadata),
        )
        opened.progress(f"the value is {VALUE}")
        opened.context.log.warning("or rather %s", VALUE)

    stored = events_of(act, instance)
    assert VALUE not in stored
    assert stored.count("<masked>") >= 8
    assert "a" * 64 in stored
    check = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey("a"), check_name="c", passed=False, description=VALUE, metadata={"why": VALUE}
    )
    assert VALUE not in str(masked_check(check))
    assert not masked_check(check).passed


@pytest.mark.parametrize("error", [ReleaseFailed(VALUE, details=[VALUE], hint=VALUE), ValueError(VALUE)])
def test_failures_are_masked(error: Exception, instance: dg.DagsterInstance) -> None:
    """Expected ones and others, with all that they came of."""

    def act(_: Any) -> None:
        try:
            raise KeyError(VALUE)
        except KeyError:
            raise error from RuntimeError(VALUE)

    stored = events_of(act, instance)
    assert "STEP_FAILURE" in stored
    assert VALUE not in stored
    assert failures.failure(ReleaseFailed(VALUE)).description == "<masked>"


def test_an_interruption_brings_nothing_along(instance: dg.DagsterInstance) -> None:
    """Whatever was being dealt with when somebody stopped the run."""

    def act(_: Any) -> None:
        try:
            raise ValueError(VALUE)
        except ValueError:
            raise dg.DagsterExecutionInterruptedError  # noqa: B904

    stored = events_of(act, instance)
    assert "DagsterExecutionInterruptedError" in stored
    assert VALUE not in stored


@pytest.mark.parametrize("error", [ReleaseFailed(VALUE), ValueError(VALUE)])
def test_ticks_are_masked(error: Exception) -> None:
    """Dagster stores why a tick failed, and what that came of."""
    with pytest.raises(TickFailed) as failed, failing_tick():
        raise error
    assert VALUE not in str(failed.value)
    assert failed.value.__suppress_context__
