"""The story without a person: one line for each step, and nothing left behind."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from deploy_pipeline.demo.home import Home, fresh_home
from deploy_pipeline.demo.reviewed_story import ReviewedStory
from deploy_pipeline.demo.story import Step, Story
from deploy_pipeline.demo.waiting import Stopped
from deploy_pipeline.demo.world import World, running_world
from deploy_pipeline.errors import DeployError, FailedError


def check(path: Path, stop: threading.Event, *, port: int | None, reviewed: bool = False) -> None:
    """Tell the whole story in a home at ``path``; ``reviewed``: with pull requests on GitHub's stand-in.

    Raises FailedError that names the step, Stopped if asked to stop.
    """
    started = time.monotonic()
    ports: list[int] = []
    with fresh_home(path) as home:
        told = time.monotonic()
        with running_world(home, stop, port=port, reviewed=reviewed) as world:
            ports += _ports(world)
            _say("two clusters, a repository and Dagster start", told, world.dagster.url)
            tell(story_of(world).steps(), home)
            told = time.monotonic()
    open_ports = [port for port in ports if _is_open(port)]
    if open_ports:
        raise FailedError(f"expected: every port is closed; somebody still listens on {open_ports}")
    _say("everything is ended", told, f"no process is left, ports {', '.join(map(str, ports))} are closed")
    print(f"{time.monotonic() - started:6.1f} s  all of it")


def story_of(world: World) -> Story:
    """The story that fits the world."""
    return ReviewedStory(world, world.github) if world.github else Story(world)


def tell(steps: Iterable[Step], home: Home) -> None:
    """Act out the steps. A step that fails is named, with what it expected and where to read on."""
    for step in steps:
        started = time.monotonic()
        try:
            finding = step.act()
        except Stopped:
            print(f"{time.monotonic() - started:6.1f} s  {step.title}: stopped", flush=True)
            raise
        except DeployError as error:
            raise FailedError(
                f"step failed after {time.monotonic() - started:.1f} s: {step.title}",
                details=str(error).splitlines(),
                hint=f"read on in {home.logs}",
            ) from error
        _say(step.title, started, finding)


def _say(title: str, started: float, finding: str) -> None:
    print(f"{time.monotonic() - started:6.1f} s  {title}: {finding}", flush=True)


def _ports(world: World) -> list[int]:
    """Every TCP port that the world listens on."""
    clusters = yaml.safe_load(world.home.kubeconfig.read_text())["clusters"]
    forge = [world.github.url] if world.github else []
    urls = [world.dagster.url, *forge, *(entry["cluster"]["server"] for entry in clusters)]
    return [port for url in urls if (port := urlsplit(url).port)]


def _is_open(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
