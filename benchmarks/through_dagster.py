"""What the flow costs as people meet it: the example, with sensors, queue and run processes in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure
from deploy_pipeline.demo.flow import Flow
from deploy_pipeline.demo.home import Home
from deploy_pipeline.demo.processes import Member
from deploy_pipeline.demo.world import CHANNELS, World, running_world

# Dagster looks at its sensors every 5 s, however small their interval.
_INTERVAL = 5
_ROLLOUT = 0.05  # seconds; a rollout is the cluster's time, not ours


def measure(home: Home, stop: threading.Event, *, pushes: int) -> Iterator[Figure]:
    """Releases of the example, pushes to candidates, memory."""
    with running_world(home, stop, rollout_seconds=_ROLLOUT) as world:
        flow = Flow(world)
        flow.candidate("main", world.repository.heads()["main"])
        yield from _releases(flow)
        _settle(world)
        waits = [_push_to_candidate(flow, number) for number in range(pushes)]
        name = f"push → candidate, {pushes} pushes, sensor interval {_INTERVAL} s"
        yield Figure(f"{name}: median", median(waits), target=_INTERVAL + 4)
        yield Figure(f"{name}: longest", max(waits), target=_INTERVAL + 4)
        yield from _memory(world)


def _releases(flow: Flow) -> Iterator[Figure]:
    """The same release twice: into an empty cluster, and where nothing is left to do."""
    for channel in CHANNELS:
        (commit,) = flow.promote(channel, branch="main")
        run = flow.succeeded(flow.released(channel, commit))
        yield Figure(f"release of {channel}, everything new: in the run", run.seconds)
    for channel in CHANNELS:
        _settle(flow.world)
        run = flow.launch("release_channel", channel)
        yield Figure(f"release of {channel}, nothing to do: in the run", run.seconds, target=1)


def _push_to_candidate(flow: Flow, number: int) -> float:
    """Seconds from the end of a push to the moment that its candidate can be seen in the repository."""
    page = "kubernetes/apps/base/web/index.html"
    edits = {page: ("<p>", f"<p>{number} ")}
    branch = f"push-{number}"
    pushed = flow.world.repository.push(branch, edits, f"Push {number}", start="main")
    started = time.monotonic()
    flow.candidate(branch, pushed)
    seconds = time.monotonic() - started
    _settle(flow.world)
    return seconds


def _settle(world: World) -> None:
    """Wait until everything that sensors asked for is done, for longer than a sensor's interval."""
    idle_since = time.monotonic()

    def settled() -> bool:
        nonlocal idle_since
        if not world.dagster.is_idle():
            idle_since = time.monotonic()
        return time.monotonic() - idle_since > _INTERVAL + 2

    world.waiting.until("Dagster has nothing to do", settled, seconds=300)


def _memory(world: World) -> Iterator[Figure]:
    """Proportional set size of all processes of Dagster, and of one cluster; only Linux tells it."""
    if not Path("/proc/self/smaps_rollup").exists():
        return
    members = world.waiting.processes.members()
    clusters = [member for member in members if "deploy_pipeline.sandbox" in member.command]
    dagster = members.difference(clusters)
    yield Figure(f"memory of Dagster with {len(dagster)} processes", sum(map(_mebibytes, dagster)), "MiB")
    yield Figure("memory of one sandbox cluster", sum(map(_mebibytes, clusters)) / len(clusters), "MiB")


def _mebibytes(member: Member) -> float:
    try:
        lines = Path(f"/proc/{member.pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)
