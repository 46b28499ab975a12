"""Releases that fail, are stopped or killed: what is left says so, and the next one goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from deploy_pipeline.cluster.records import ReleaseRecord, ReleaseState
from deploy_pipeline.errors import (
    ReleaseFailed,
)
from deploy_pipeline.release import history
from tests.actions.conftest import World
from tests.actions.example import CHANNEL, set_image, states

QUICK, SLOW = 0.05, 3.0  # seconds of a rollout; what is late is said after one


def test_a_broken_image_fails_with_the_reason_and_the_last_good_state(world: World) -> None:
    """The container's own reason is in the error; other apps are released; the fix goes through."""
    text = world.origin.show("main", CHANNEL).replace("timeout: 60s", "timeout: 2s")
    good = world.deliver({CHANNEL: text})
    set_image(world, "registry.example/feeds/web-broken:1")
    world.render()
    world.promote()
    world.apps.clear()
    with pytest.raises(ReleaseFailed) as failure:
        world.release()
    assert "ImagePullBackOff" in str(failure.value)
    assert good.commit[:12] in str(failure.value)
    assert states(world)["web"] == "failed"
    assert states(world)["metabase"] == "unchanged"
    assert history(world.deployer, "test")[0].state is ReleaseState.FAILED
    set_image(world, "registry.example/feeds/next:10")
    world.render()
    world.promote()
    assert world.release().last_good == good.commit
    assert history(world.deployer, "test")[0].state is ReleaseState.RELEASED


def test_a_failed_release_can_be_run_again(world: World) -> None:
    """The approval still covers what is left to do."""
    text = world.origin.show("main", CHANNEL).replace("timeout: 60s", "timeout: 1s")
    world.origin.commit("main", {CHANNEL: text})
    set_image(world, "registry.example/feeds/web-broken:1")
    world.render()
    world.promote()
    for _ in range(2):
        with pytest.raises(ReleaseFailed):
            world.release()
    assert len(history(world.deployer, "test")) == 1


def test_a_release_that_is_told_to_stop_stops(world: World) -> None:
    """Whoever terminates a run does not wait until every time limit of every app is over."""
    set_image(world, "registry.example/feeds/web-broken:1")
    world.render()
    world.promote()
    started = time.monotonic()
    _release_and_kill(world, "waiting: Deployment web/web", signal.SIGINT)
    assert time.monotonic() - started < 30  # the app's own limit is a minute
    assert history(world.deployer, "test")[0].state is not ReleaseState.RELEASED


RELEASE_SCRIPT = """
import sys, json
from deploy_pipeline.deployer import Deployer
from deploy_pipeline.release import ReleaseRequest, release_channel
from deploy_pipeline.settings import Settings
settings = Settings.model_validate(json.loads(sys.argv[1]))
release_channel(Deployer.from_settings(settings), ReleaseRequest("test", "cli"),
                progress=lambda line: print(line, flush=True), on_app=print)
"""


@pytest.mark.parametrize(
    ("moment", "sandbox_cluster"),
    [
        ("feed-secrets", QUICK),
        *(
            pytest.param(moment, QUICK, marks=pytest.mark.long)
            for moment in ("Namespace", "Deployment", "metabase: Helm release")
        ),
        pytest.param("waiting:", SLOW, marks=pytest.mark.long),
    ],
    indirect=["sandbox_cluster"],
)
def test_a_release_killed_at_any_moment_is_finished_by_the_next(world: World, moment: str) -> None:
    """SIGKILL in the middle, then once more: the end is the same, and nothing is asked of anybody."""
    world.render()
    world.promote()
    _release_and_kill(world, moment)
    result = world.release()  # waits until the lock of the killed one expires
    assert {app.app for app in result.apps if app.state != "failed"} == {"archiver", "web", "metabase"}
    assert world.release().change_set.is_empty  # type: ignore[union-attr]
    for app in ("archiver", "web", "metabase"):
        assert world.object("deployment", app, app)["status"]["availableReplicas"] >= 1


def _release_and_kill(world: World, moment: str, by: signal.Signals = signal.SIGKILL) -> None:
    """Run a release in a process of its own and kill it as soon as its progress names ``moment``."""
    settings = world.deployer.settings.model_dump(mode="json")
    command = [sys.executable, "-c", RELEASE_SCRIPT, json.dumps(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if moment in line:
                process.send_signal(by)
                break
    assert process.returncode == -by, f"the release never said {moment!r}"


def test_who_lost_the_lock_does_not_end_anothers_release(world: World) -> None:
    """The record of the one that took over stays."""
    records = world.deployer.cluster("test").records("test")
    mine, other = (ReleaseRecord(c * 40, "t", "d", ReleaseState.RELEASING, "2030-01-01T00:00:00Z") for c in "ab")
    records.begin(mine)
    records.begin(other)
    records.finish(other, ReleaseState.RELEASED)
    records.finish(mine, ReleaseState.FAILED)
    last = records.last_released()
    assert last is not None
    assert last.commit == other.commit
