"""Everything a story happens in, started: a cluster for each channel, a repository, Dagster with all its sensors."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy_pipeline.demo.clusters import Clusters, join_kubeconfigs
from deploy_pipeline.demo.dagster_api import DagsterApi
from deploy_pipeline.demo.github import EDITS, PEOPLE, PIPELINE, REPOSITORY, GitHub
from deploy_pipeline.demo.home import Home
from deploy_pipeline.demo.processes import Processes
from deploy_pipeline.demo.repository import CHECKOUT, Repository
from deploy_pipeline.demo.waiting import Waiting
from deploy_pipeline.errors import FailedError

CHANNELS = ("test", "prod")
UI_PORT = 3000
# Dagster looks at its sensors every 5 s. An interval of 5 s would miss every other look by a hair.
POLL_SECONDS = 2

_HOST = "127.0.0.1"
_SECRETS = Path(__file__).with_name("secrets")
# What the caller's shell says of other deployments, clusters and Dagster instances must not reach the demo's.
# Nor must its wish for no bytecode: Dagster would be compiled anew for each run, which takes longer than the run.
_FOREIGN = ("DEPLOY_", "DAGSTER_", "GIT_", "HELM_", "KUBE", "PYTHONDONTWRITEBYTECODE")


@dataclass(frozen=True)
class World:
    """What a story acts on and looks at; ``github`` is there if people review."""

    home: Home
    repository: Repository
    clusters: Clusters
    dagster: DagsterApi
    waiting: Waiting
    settings: dict[str, str]
    github: GitHub | None = None


@contextmanager
def running_world(
    home: Home,
    stop: threading.Event,
    *,
    port: int | None = None,
    poll_seconds: int = POLL_SECONDS,
    drift_schedule: str = "*/30 * * * *",
    rollout_seconds: float = 0.5,
    reviewed: bool = False,
) -> Iterator[World]:
    """Start everything, and end all of it with the context, however that is left.

    ``port`` is Dagster's, by default 3000 or else a free one. With ``reviewed`` the repository lies on a stand-in for
    GitHub, and promotions are reviewed there. Raises Stopped when ``stop`` is set meanwhile, FailedError if something
    does not start or, at the end, if a process could not be ended.
    """
    processes = Processes(home.logs)
    waiting = Waiting(stop, processes)
    try:
        github = _start_github(home, waiting) if reviewed else None
        repository = _repository(home, github)
        shutil.copytree(_SECRETS, home.secrets)
        clusters = _start_clusters(home, waiting, rollout_seconds)
        settings = _settings(home, poll_seconds, drift_schedule)
        ui_port = port or free_port(UI_PORT)
        settings |= _reviewing(home, github, ui_port) if github else {}
        dagster = _start_dagster(home, waiting, settings, ui_port)
        yield World(home, repository, clusters, dagster, waiting, settings, github)
    finally:
        left = processes.stop()
        if left:
            raise FailedError(
                "processes of the demo could not be ended", details=[f"{one.pid} {one.command}" for one in left]
            )


def free_port(wanted: int = 0) -> int:
    """``wanted`` if nobody listens there, else a port that the system chooses."""
    for port in (wanted, 0):
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise FailedError("there is no free port")


def _start_clusters(home: Home, waiting: Waiting, rollout_seconds: float) -> Clusters:
    own = {channel: home.cluster(channel).with_suffix(".kubeconfig") for channel in CHANNELS}
    for channel, kubeconfig in own.items():
        options = ["--state", str(home.cluster(channel)), "--kubeconfig", str(kubeconfig)]
        _start(
            waiting, f"cluster-{channel}", ["deploy_pipeline.sandbox", *options, f"--rollout-seconds={rollout_seconds}"]
        )
    waiting.until("both clusters listen", lambda: all(path.exists() for path in own.values()), seconds=30)
    join_kubeconfigs(own, home.kubeconfig)
    return Clusters(home.kubeconfig)


def _start_github(home: Home, waiting: Waiting) -> GitHub:
    """One repository, its people, and release branches that ask for an approval and for the pipeline's status."""
    ready = home.github.with_suffix(".json")
    people = [f"--person={login}={role}" for login, role in PEOPLE.items()]
    options = [f"--root={home.github}", f"--ready={ready}", f"--repository={REPOSITORY}"]
    _start(waiting, "github", ["tests.support.github", *options, *people, *(f"--protect={name}" for name in CHANNELS)])
    waiting.until("GitHub's stand-in listens", ready.exists, seconds=30)
    return GitHub.read(ready)


def _repository(home: Home, github: GitHub | None) -> Repository:
    """The person's clone reaches the bare repository by its path, wherever that lies."""
    if github:
        return Repository.create(home.github / f"{REPOSITORY}.git", home.clone, EDITS)
    return Repository.create(home.origin, home.clone)


def _reviewing(home: Home, github: GitHub, ui_port: int) -> dict[str, str]:
    """The environment that makes GitHub's stand-in the deployer's forge."""
    token = home.github.with_suffix(".token")
    token.touch(mode=0o600)
    token.write_text(github.tokens[PIPELINE])
    return {
        "DEPLOY_REPOSITORY": github.clone_url,
        "DEPLOY_GITHUB_REPOSITORY": REPOSITORY,
        "DEPLOY_GITHUB_URL": github.api_url,
        "DEPLOY_GITHUB_TOKEN_FILE": str(token),
        "DEPLOY_DAGSTER_URL": f"http://{_HOST}:{ui_port}",
    }


def _settings(home: Home, poll_seconds: int, drift_schedule: str) -> dict[str, str]:
    """The environment that makes the deployer and Dagster the demo's."""
    return {
        "DAGSTER_HOME": str(home.dagster),
        "DEPLOY_REPOSITORY": home.origin.as_uri(),
        "DEPLOY_STATE_DIR": str(home.state),
        "DEPLOY_KUBECONFIG": str(home.kubeconfig),
        "DEPLOY_CONTEXTS": ",".join(f"{channel}={channel}" for channel in CHANNELS),
        "DEPLOY_SECRETS_DIR": str(home.secrets),
        "DEPLOY_POLL_SECONDS": str(poll_seconds),
        "DEPLOY_DRIFT_SCHEDULE": drift_schedule,
    }


def _start_dagster(home: Home, waiting: Waiting, settings: dict[str, str], port: int) -> DagsterApi:
    """Web server, daemon and code server, as one command starts them for a person."""
    home.dagster.mkdir()
    shutil.copy(CHECKOUT / "dagster.yaml", home.dagster)
    options = ["--workspace", str(CHECKOUT / "workspace.yaml"), "--host", _HOST, "--port", str(port)]
    _start(waiting, "dagster", ["dagster", "dev", *options], settings)
    api = DagsterApi(f"http://{_HOST}:{port}")
    waiting.until("Dagster has loaded the code location", api.is_ready, seconds=180)
    return api


def _start(waiting: Waiting, name: str, module: Sequence[str], settings: dict[str, str] | None = None) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    waiting.processes.start(name, [sys.executable, "-m", *module], env=own | (settings or {}), cwd=CHECKOUT)
