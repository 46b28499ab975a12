"""How the core's errors end a step: retried by the step itself, or failed with a screen people can read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import dagster as dg
import pytest

from deploy_pipeline import errors
from deploy_pipeline.errors import DeployError
from deploy_pipeline.pipeline import failures
from deploy_pipeline.pipeline.stage import RESOURCES, DeployerParam, Observer, ObserverParam, stage


def all_subclasses(of: type[DeployError]) -> Iterator[type[DeployError]]:
    """The whole tree below a class of errors."""
    for error in of.__subclasses__():
        yield error
        yield from all_subclasses(error)


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """A deployer that opens; a step that waits does so for milliseconds."""
    monkeypatch.setenv("DEPLOY_REPOSITORY", "/nowhere.git")
    monkeypatch.setenv("DEPLOY_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(failures, "_FIRST_WAIT", 0.001)


class Listener(Observer):
    """Keeps what an observer is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.errors: list[DeployError] = []

    def progress(self, line: str) -> None:
        """Keep the line."""
        self.lines.append(line)

    def failed(self, error: DeployError) -> None:
        """Keep the error."""
        self.errors.append(error)


def run(act: Callable[[int], None], instance: dg.DagsterInstance, observer: Observer) -> dg.ExecuteInProcessResult:
    """Run a job whose only step does ``act``, given the number of the attempt."""

    def step(context: dg.OpExecutionContext, deployer: DeployerParam, observer: ObserverParam) -> None:
        with stage(context, deployer, observer):
            act(context.retry_number)

    # Dagster looks at the annotations themselves, which this module defers.
    step.__annotations__ = {"context": dg.OpExecutionContext, "deployer": DeployerParam, "observer": ObserverParam}
    job = dg.GraphDefinition(name="job", node_defs=[dg.op(step)]).to_job()
    resources = {**RESOURCES, "observer": observer}
    return job.execute_in_process(instance=instance, raise_on_error=False, resources=resources)


def failing(error: Exception) -> Callable[[int], None]:
    """A step that always fails by this error."""

    def act(_: int) -> None:
        raise error

    return act


def test_a_transient_error_is_tried_again_until_it_passes(instance: dg.DagsterInstance) -> None:
    """Twice the cluster does not answer, then the step succeeds."""
    attempts = []

    def act(attempt: int) -> None:
        attempts.append(attempt)
        if attempt < 2:
            raise errors.ClusterUnreachable("no answer")

    listener = Listener()
    assert run(act, instance, listener).success
    assert attempts == [0, 1, 2]
    assert listener.lines == ["no answer; trying again in 0 s"] * 2


def test_a_transient_error_that_stays_fails_with_its_own_words(instance: dg.DagsterInstance) -> None:
    """After the last attempt people read what is wrong, not how often it was tried."""
    result = run(failing(errors.ChannelLocked("prod is locked", hint="wait")), instance, listener := Listener())
    assert len(listener.errors) == failures.RETRIES + 1
    failed = result.get_step_failure_events()[0].step_failure_data
    assert failed.error
    assert "prod is locked" in failed.error.message


@pytest.mark.parametrize(
    "error",
    [e for e in all_subclasses(DeployError) if not issubclass(e, errors.RetryableError)],
    ids=lambda e: e.__name__,
)
def test_no_other_error_is_tried_again(error: type[DeployError], instance: dg.DagsterInstance) -> None:
    """It would fail again until a person does something."""
    attempts = []

    def act(attempt: int) -> None:
        attempts.append(attempt)
        raise error("no")

    assert not run(act, instance, Listener()).success
    assert attempts == [0]


def test_a_failure_says_what_why_and_what_to_do(instance: dg.DagsterInstance) -> None:
    """In the step's message, and as metadata beside it."""
    error = errors.ApprovalError("not approved", details=["app web: image"], hint="launch `promote`")
    failed = run(failing(error), instance, Listener()).get_step_failure_events()[0].step_failure_data
    assert failed.error
    assert "not approved\n  - app web: image\nNext step: launch `promote`" in failed.error.message
    assert failed.user_failure_data
    assert {key: value.value for key, value in failed.user_failure_data.metadata.items()} == {
        "error": "ApprovalError",
        "details": "- app web: image",
        "next step": "launch `promote`",
    }


def test_an_unexpected_error_is_neither_tried_again_nor_quoted(instance: dg.DagsterInstance) -> None:
    """Nobody knows what a foreign error quotes; where it happened is shown."""
    attempts = []

    def act(attempt: int) -> None:
        attempts.append(attempt)
        password = "hunter2-" + "secret"
        raise ValueError(f"cannot parse {password}")

    result = run(act, instance, Listener())
    assert attempts == [0]
    stored = "\n".join(str(entry) for entry in instance.all_logs(result.run_id))
    assert "unexpected ValueError" in stored
    assert "test_failures.py" in stored
    assert "hunter2-secret" not in stored


def test_missing_settings_fail_the_step_with_the_next_step(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deployer is opened inside the step, so its errors are reported like all others."""
    monkeypatch.delenv("DEPLOY_REPOSITORY")
    failed = run(lambda _: None, instance, Listener()).get_step_failure_events()[0].step_failure_data
    assert failed.error
    assert "set DEPLOY_REPOSITORY" in failed.error.message


def test_a_long_error_is_one_screen_that_ends_with_the_next_step() -> None:
    """Three hundred faults do not push the next step out of sight."""
    text = str(errors.ChannelFaults("many", details=[f"fault {n}" for n in range(300)], hint="fix them"))
    shown = failures.one_screen(text).splitlines()
    assert len(shown) == 40
    assert shown[0] == "many"
    assert shown[-2:] == ["  … 263 more lines", "Next step: fix them"]


def test_waits_double_and_end() -> None:
    """5, 10 and 20 seconds, then no more."""
    waits = [failures.retry_wait(errors.RaceLost("moved"), attempt) for attempt in range(4)]
    assert waits == [0.001, 0.002, 0.004, None]
