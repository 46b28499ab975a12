"""Whatever a demo started is ended with it, and whoever ends early is noticed."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy_pipeline.demo import processes as module
from deploy_pipeline.demo.processes import Processes
from deploy_pipeline.demo.waiting import Stopped, Waiting
from deploy_pipeline.errors import FailedError

# A parent with two stubborn descendants: one in its session, one in a session of its own. All ignore SIGTERM.
_STUBBORN = """
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
asleep = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(300)"
sleeper = [sys.executable, "-c", asleep]
children = [subprocess.Popen(sleeper, start_new_session=own, stdout=subprocess.PIPE) for own in (False, True)]
for child in children:
    child.stdout.read(2)
pathlib.Path(sys.argv[1]).write_text(" ".join(str(child.pid) for child in children))
time.sleep(300)
"""
# A parent that leaves an orphan behind when it is asked to end.
_NEGLIGENT = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(300)
"""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Processes]:
    """Processes that are ended whatever a test does."""
    processes = Processes(tmp_path / "logs")
    yield processes
    processes.stop()


def _start(processes: Processes, tmp_path: Path, code: str) -> list[int]:
    """Start a parent; returns the ids of its children as soon as they are there."""
    note = tmp_path / "children"
    processes.start("parent", [sys.executable, "-c", code, str(note)], env=os.environ, cwd=tmp_path)
    deadline = time.monotonic() + 30
    while not (note.exists() and note.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return [int(pid) for pid in note.read_text().split()]


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("code", [_STUBBORN, _NEGLIGENT], ids=["who ignore SIGTERM", "whose parent left first"])
def test_stop_ends_grandchildren(
    started: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """Descendants end with the demo, in whatever session they are."""
    monkeypatch.setattr(module, "_GRACE", 0.5)
    children = _start(started, tmp_path, code)
    assert all(map(_is_running, children))
    assert started.stop() == set()
    assert not any(map(_is_running, children))


def test_a_process_that_ended_is_named_with_the_end_of_its_log(started: Processes, tmp_path: Path) -> None:
    """Who waits for something learns that the process which should do it is gone, and why."""
    code = "print('listening', flush=True); raise SystemExit('the port is taken')"
    started.start("webserver", [sys.executable, "-c", code], env=os.environ, cwd=tmp_path)
    with pytest.raises(FailedError, match="webserver ended by itself with 1") as caught:
        Waiting(threading.Event(), started).until("anything", lambda: None, seconds=30)
    assert caught.value.details[-1] == "the port is taken"


def test_waiting_ends_when_somebody_says_stop(started: Processes) -> None:
    """A wait of an hour ends at once."""
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    begun = time.monotonic()
    with pytest.raises(Stopped):
        Waiting(stop, started).until("something that never comes", lambda: None, seconds=3600)
    assert time.monotonic() - begun < 10


def test_waiting_says_what_did_not_come(started: Processes) -> None:
    """What was expected is in the message, and how long."""
    with pytest.raises(FailedError, match="within 0 s: a candidate"):
        Waiting(threading.Event(), started).until("a candidate", lambda: None, seconds=0)
