"""A release that is told on the forge while it goes on, and that never waits for the forge.

What is to be said is said by a thread beside the release, in order. At the end it gets a little time for the rest; when
the forge is down, or asks for patience, the release is over all the same.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from deploy_pipeline.changes.report import IN_WORDS
from deploy_pipeline.cluster.records import ReleaseRecord
from deploy_pipeline.deployer import Deployer, Progress
from deploy_pipeline.errors import DeployError, RefusedError, ReleaseFailed, RetryableError
from deploy_pipeline.execution import AppResult
from deploy_pipeline.forge import DeploymentState
from deploy_pipeline.forge.texts import ReleaseOutcome
from deploy_pipeline.release import ReleaseRequest, ReleaseResult, release_channel
from deploy_pipeline.repository import release_branch
from deploy_pipeline.reviewing.reporting import attempt_of, report_release

_LAST_WORDS = 30.0  # seconds


def release_and_report(
    deployer: Deployer,
    request: ReleaseRequest,
    *,
    log_url: str = "",
    progress: Progress,
    on_app: Callable[[AppResult], None],
) -> ReleaseResult:
    """:func:`release_channel`, told on the forge if there is one: as it begins, and how it ended. Raises the same.

    ``log_url`` is where the release can be watched.
    """
    teller = _Teller(deployer, request.channel, log_url, progress)
    wait = 0.0  # somebody who stops the process wants it to end
    try:
        result = release_channel(deployer, request, progress=progress, on_begin=teller.began, on_app=on_app)
        wait = _LAST_WORDS
        teller.ended(result)
    except DeployError as error:
        wait = _LAST_WORDS
        teller.failed(error, request.commit)
        raise
    finally:
        teller.finish(wait)
    return result


class _Teller:
    """Tells of one release."""

    def __init__(self, deployer: Deployer, channel: str, log_url: str, progress: Progress) -> None:
        self._deployer = deployer
        self._channel = channel
        self._log_url = log_url
        self._progress = progress
        self._commit = ""
        self._attempt = ""
        self._started = time.monotonic()
        self._voice = _Voice() if deployer.forge.gives_reviews else None

    def began(self, record: ReleaseRecord) -> None:
        """The release may write."""
        self._commit = record.commit
        if self._voice is None:
            return
        try:
            self._attempt = attempt_of(self._deployer.cluster(self._channel).records(self._channel), record.commit)
        except DeployError as error:
            self._progress(f"{self._channel}: no deployment of this release will be shown: {error.message}")
        self._say(DeploymentState.IN_PROGRESS, "releasing")

    def ended(self, result: ReleaseResult) -> None:
        """It is done, with all apps or with those that were chosen."""
        if result.skipped:
            return
        whole = result.change_set is None or len(result.apps) == len(result.change_set.apps)
        lines = tuple(_line(app) for app in result.apps)
        if whole:
            outcome = ReleaseOutcome(self._channel, result.commit, result.seconds, applied=lines, run_url=self._log_url)
            self._say(DeploymentState.SUCCESS, f"released in {result.seconds:.0f} s", outcome)
        else:
            names = ", ".join(app.app for app in result.apps)
            self._say(DeploymentState.IN_PROGRESS, f"of all apps only these are released: {names}")

    def failed(self, error: DeployError, commit: str) -> None:
        """It was refused, it failed, or it was stopped in passing and will be tried again."""
        begun = bool(self._commit)
        self._commit = self._commit or commit or self._head()
        if not self._commit:
            return
        if isinstance(error, RetryableError):
            if begun:
                self._say(DeploymentState.ERROR, f"interrupted: {error.message}")
            return
        result = error.result if isinstance(error, ReleaseFailed) else None
        done = [app for app in result.apps if app.state != "failed"] if result else []
        outcome = ReleaseOutcome(
            self._channel,
            self._commit,
            time.monotonic() - self._started,
            applied=tuple(_line(app) for app in done),
            failed=(*(() if result else (error.message,)), *error.details),
            refused=not begun and isinstance(error, RefusedError),
            next_step=error.hint,
            run_url=self._log_url,
        )
        self._say(DeploymentState.FAILURE, error.message, outcome)

    def finish(self, seconds: float) -> None:
        """Wait a little for what is not said yet."""
        if self._voice and not self._voice.finish(seconds) and seconds:
            self._progress(f"{self._channel}: the forge does not take how the release went; it is not waited for")
            self._voice = None

    def _say(self, state: DeploymentState, description: str, outcome: ReleaseOutcome | None = None) -> None:
        if self._voice is None:
            return
        voice, commit, attempt = self._voice, self._commit, self._attempt

        def say() -> None:
            report_release(
                self._deployer,
                self._channel,
                commit,
                state,
                attempt=attempt,
                description=description,
                outcome=outcome,
                log_url=self._log_url,
                progress=lambda line: None if voice.is_over else self._progress(line),
            )

        voice.say(say)

    def _head(self) -> str:
        """The release branch as it was read last; empty if that cannot be told."""
        try:
            return self._deployer.mirror.heads().get(release_branch(self._channel), "")
        except DeployError:
            return ""


class _Voice:
    """A thread that does one thing after the other; what is left when the process ends is never done."""

    def __init__(self) -> None:
        self.is_over = False
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="forge reports", daemon=True)
        self._thread.start()

    def say(self, what: Callable[[], None]) -> None:
        """Do this next."""
        self._waiting.put(what)

    def finish(self, seconds: float) -> bool:
        """Wait until all is done, or so long; whether it is."""
        self._waiting.put(None)
        self._thread.join(seconds)
        self.is_over = True
        return not self._thread.is_alive()

    def _run(self) -> None:
        for what in iter(self._waiting.get, None):
            what()


def _line(app: AppResult) -> str:
    counts = ", ".join(f"{count} {IN_WORDS[name]}" for name, count in app.counts.items() if count)
    return f"{app.app}: {app.state} in {app.seconds:.1f} s" + (f" ({counts})" if counts else "")
