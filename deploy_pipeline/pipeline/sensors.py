"""The branch sensors: one reading of the remote's heads, a decision, run requests.

An idle tick costs one ``git ls-remote`` and nothing else. A reading that fails fails the tick, visibly, and Dagster
keeps the cursor: that the remote did not answer does not mean that its branches are gone.
"""

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg

from deploy_pipeline.channels import load_channels
from deploy_pipeline.deployer import Deployer
from deploy_pipeline.errors import DeployError, RefusedError
from deploy_pipeline.pipeline import decisions, failures, tags
from deploy_pipeline.pipeline.assets import CHANNELS
from deploy_pipeline.pipeline.cursors import read_cursor
from deploy_pipeline.pipeline.decisions import Decision, Request
from deploy_pipeline.pipeline.failures import one_screen
from deploy_pipeline.pipeline.jobs import OP_NAMES, op_config
from deploy_pipeline.pipeline.stage import DeployerParam
from deploy_pipeline.process_redaction import redact
from deploy_pipeline.repository import channel_of
from deploy_pipeline.settings import Settings

Heads = Mapping[str, str]

# Subjects handled in one tick. Dagster takes about 0.12 s for each run request, and ends a tick after 60 s.
MOST_SUBJECTS = 25


class TickFailed(Exception):
    """A tick could not read what it needs; the cursor stays as it was."""


@dataclass(frozen=True)
class _Follower:
    """What one sensor follows: the state of its subjects, and what it asks for when one changes."""

    name: str
    job: str
    description: str
    states: Callable[[Heads, Settings], dict[str, str]]
    requests: Callable[[Decision, Heads, Deployer], list[Request]]

    def sensor(self, poll_seconds: int) -> dg.SensorDefinition:
        @dg.sensor(
            name=self.name,
            job_name=self.job,
            description=self.description,
            minimum_interval_seconds=poll_seconds,
            default_status=dg.DefaultSensorStatus.RUNNING,
        )
        def evaluate(context: dg.SensorEvaluationContext, deployer: DeployerParam) -> dg.SensorResult:
            with failing_tick():
                return self._tick(context, deployer.watch())

        return evaluate

    def _tick(self, context: dg.SensorEvaluationContext, deployer: Deployer) -> dg.SensorResult:
        heads = deployer.mirror.remote_heads()
        epoch = uuid.uuid4().hex[:8]
        cursor, lost = read_cursor(context.cursor, sensor=self.name, repository=deployer.mirror.url, epoch=epoch)
        decision = decisions.decide(cursor, self.states(heads, deployer.settings), limit=MOST_SUBJECTS)
        requests = self.requests(decision, heads, deployer) if decision.changed else []
        for note in filter(None, (lost, f"{decision.waiting} more wait for the next tick" if decision.waiting else "")):
            context.log.warning(note)
        return dg.SensorResult(
            run_requests=run_requests(self.job, requests),
            skip_reason=None if requests else "; ".join(filter(None, (lost, f"{len(heads)} branches, nothing to do"))),
            cursor=decision.cursor.model_dump_json(),
            dynamic_partitions_requests=new_partitions(context, requests),
        )


@contextmanager
def failing_tick() -> Iterator[None]:
    """Fail the tick by what the core says, without the way through the code; of other errors, by their kind alone."""
    try:
        yield
    except DeployError as error:
        raise TickFailed(one_screen(redact(str(error)))) from None
    except Exception as error:  # noqa: BLE001 - the end of the line: Dagster would store what it says
        raise TickFailed(failures.unexpected_in_tick(error)) from None


def run_requests(job: str, requests: Iterable[Request]) -> list[dg.RunRequest]:
    """The runs of a job that a sensor asks for, as Dagster takes them."""
    return [
        dg.RunRequest(
            run_key=request.run_key,
            run_config=op_config(OP_NAMES[job], request.config),
            tags={**request.tags, tags.TRIGGER: tags.Trigger.SENSOR.value},
            partition_key=request.partition,
        )
        for request in requests
    ]


def new_partitions(
    context: dg.SensorEvaluationContext, requests: Iterable[Request]
) -> list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest]:
    """The channels among the requests that no run has met before."""
    if not (wanted := {request.partition for request in requests if request.partition}):
        return []
    new = wanted.difference(context.instance.get_dynamic_partitions(str(CHANNELS.name)))
    return [CHANNELS.build_add_request(sorted(new))] if new else []


def branch_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensors of source branches, candidates and release branches."""
    return [follower.sensor(settings.poll_seconds) for follower in _FOLLOWERS]


def _diff_requests(decision: Decision, heads: Heads, deployer: Deployer) -> list[Request]:
    """Asks for the channels that the candidate itself names: only these can be promoted to.

    A candidate that was merely given a moved release branch as ancestor asks for nothing: with many branches open, each
    release would be followed by a diff of every one of them for every channel. Neither does one that is promoted to a
    channel by an open pull request: its diff is computed for that.
    """
    deployer.mirror.fetch()
    released = decisions.release_states(heads)
    new = {
        name: sha for name, sha in decision.changed.items() if not _is_refresh(deployer, decision.before.get(name), sha)
    }
    reviewed = _reviewed(deployer) if new else set()
    channels = {
        candidate: [
            channel for channel in _channels_of(sha, deployer, released) if (candidate, channel) not in reviewed
        ]
        for candidate, sha in new.items()
    }
    return decisions.diff_requests(decision, channels)


def _reviewed(deployer: Deployer) -> set[tuple[str, str | None]]:
    """Candidates with the channel that an open pull request promotes them to; nothing while the forge cannot say."""
    try:
        pulls = deployer.forge.open_promotions().pull_requests
    except DeployError:
        return set()
    return {(pull.head_branch, channel_of(pull.base_branch)) for pull in pulls}


def _is_refresh(deployer: Deployer, before: str | None, now: str) -> bool:
    """Whether a candidate still has the tree that it had when it was last looked at."""
    try:
        return before is not None and deployer.mirror.commit(before).tree == deployer.mirror.commit(now).tree
    except RefusedError:
        return False


def _channels_of(candidate: str, deployer: Deployer, otherwise: Collection[str]) -> Collection[str]:
    """A candidate that cannot be read gets a run for every released channel: the run says what is wrong with it."""
    try:
        return load_channels(deployer.mirror.tree(candidate)).keys()
    except RefusedError:
        return otherwise


_FOLLOWERS = (
    _Follower(
        "source_branches",
        "render_candidate",
        "Renders each source branch that was pushed, and again when a release branch moved; removes candidates whose "
        "source branch is gone.",
        states=lambda heads, settings: decisions.source_states(heads, settings.source_branches),
        requests=lambda decision, _heads, _deployer: decisions.render_requests(decision),
    ),
    _Follower(
        "candidates",
        "diff_promotion",
        "Computes the change set of each new candidate for each of its channels.",
        states=lambda heads, _settings: decisions.candidate_states(heads),
        requests=_diff_requests,
    ),
    _Follower(
        "releases",
        "release_channel",
        "Releases a channel when its release branch moves. What the cluster has recorded as released is not released "
        "again, even if this sensor forgot about it.",
        states=lambda heads, _settings: decisions.release_states(heads),
        requests=lambda decision, _heads, _deployer: decisions.release_requests(decision),
    ),
)
