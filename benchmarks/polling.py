"""What an hour costs on GitHub in which nothing happens: many open pull requests and branches, each sensor ticking.

The sensors of the code location are ticked as the daemon ticks them, as often as it does in an hour, but without the
pauses. The stand-in for GitHub that the tests use counts what is asked of its API. Reading branches is git over HTTP,
which GitHub's limits for the API do not count; how often it is done is printed beside.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from benchmarks.figures import Figure, timed
from deploy_pipeline.demo.waiting import Stopped
from deploy_pipeline.pipeline.jobs import JOBS
from deploy_pipeline.pipeline.pull_requests import review_sensors
from deploy_pipeline.pipeline.sensors import branch_sensors
from deploy_pipeline.pipeline.stage import RESOURCES
from deploy_pipeline.settings import Settings
from tests.support.github.rules import open_pull
from tests.support.github.server import GitHubServer
from tests.support.origin import Origin
from tests.support.ticker import Ticker

_HOME = "example/shop"
_PULLS = 100
_BRANCHES = 200  # half of them source branches, half their candidates
_HOUR = 3600
_MOST_REQUESTS = 1000
_FILES = {
    "channels/test.yaml": "channel: test\nreleases: [{name: web, driver: kustomize, kustomize_dir: web}]\n",
    "web/kustomization.yaml": "resources: []\n",
}


def measure(folder: Path, stop: threading.Event) -> Iterator[Figure]:
    """Requests in an idle hour, and how long a tick takes."""
    with GitHubServer(folder / "github") as server:
        token = _fill(server)
        environment = {
            "DEPLOY_REPOSITORY": f"{server.url}/{_HOME}.git",
            "DEPLOY_STATE_DIR": str(folder / "state"),
            "DEPLOY_GITHUB_REPOSITORY": _HOME,
            "DEPLOY_GITHUB_URL": server.api_url,
            "DEPLOY_GITHUB_TOKEN": token,
        }
        with _environment(environment), dg.instance_for_test() as instance:
            tickers = _tickers(instance)
            while sum(len(ticker.tick()) for ticker in tickers):
                _go_on(stop)
            yield from _idle_hour(server, token, tickers, stop)
        assert server.violations == []


def _idle_hour(server: GitHubServer, token: str, tickers: list[Ticker], stop: threading.Event) -> Iterator[Figure]:
    server.requests.clear()
    before = server.used[token]
    rounds = _HOUR // Settings.from_environment().poll_seconds
    seconds = 0.0
    for _ in range(rounds):
        _go_on(stop)
        for ticker in tickers:
            duration, requests = timed(ticker.tick)
            seconds += duration
            assert not requests
    where = f"idle hour, {_PULLS} pull requests, {_BRANCHES} branches"
    yield Figure(f"{where}: requests to the API", len(server.requests), "", _MOST_REQUESTS)
    yield Figure(f"{where}: of them counted by GitHub", server.used[token] - before, "")
    yield Figure(f"{where}: one tick, on average", seconds / rounds / len(tickers))


def _fill(server: GitHubServer) -> str:
    """The repository with its branches and pull requests; gives the deployer's token."""
    repository = server.state.repository(_HOME)
    token = server.state.user("robot")
    repository.roles["robot"] = "write"
    origin = Origin(repository.bare.path, f"{server.url}/{_HOME}.git")
    commit = origin.commit("main", _FILES, "Start")
    origin.commit("releases/test", {}, "Release")
    names = [f"branch-{number}" for number in range(_BRANCHES // 2)]
    rendered = origin.commit("candidates/main", {"rendered/test/web.yaml": "{}\n"}, start="releases/test")
    heads = dict.fromkeys(names, commit) | {f"candidates/{name}": rendered for name in names}
    updates = "".join(f"update refs/heads/{branch} {sha}\n" for branch, sha in heads.items())
    origin.git("update-ref", "--stdin", stdin=updates.encode())
    with server.state.lock:
        for name in names[:_PULLS]:
            open_pull(server.state, repository, "robot", {"head": f"candidates/{name}", "base": "releases/test"})
    return token


def _tickers(instance: dg.DagsterInstance) -> list[Ticker]:
    settings = Settings.from_environment()
    sensors = [*branch_sensors(settings), *review_sensors(settings)]
    definitions = dg.Definitions(jobs=list(JOBS.values()), sensors=sensors, resources=RESOURCES)
    return [Ticker(definitions, instance, sensor.name) for sensor in sensors]


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _go_on(stop: threading.Event) -> None:
    if stop.is_set():
        raise Stopped
