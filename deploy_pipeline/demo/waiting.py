"""The one place where time passes: until something is so, a process died, somebody said stop, or it took too long.

A signal only sets the event. Were it an exception that may come anywhere, it could come between the start of a process
and the moment we know its id.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from deploy_pipeline.demo.processes import Processes
from deploy_pipeline.errors import FailedError

_POLL = 0.25

_Found = TypeVar("_Found")


class Stopped(Exception):
    """Somebody asked the demo to stop."""


def stop_signals() -> threading.Event:
    """An event that SIGINT, SIGTERM and SIGHUP set from now on, instead of ending this process."""
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: asked.set())
    return asked


@dataclass(frozen=True)
class Waiting:
    """Waits while watching the processes and the event that says stop."""

    stop: threading.Event
    processes: Processes

    def until(self, what: str, probe: Callable[[], _Found | None], *, seconds: float = 120) -> _Found:
        """The first truthy thing that ``probe`` gives; asks four times a second.

        Raises Stopped, or FailedError when a process died or ``seconds`` are over.
        """
        deadline = time.monotonic() + seconds
        while not (found := probe()):
            self.processes.check()
            if time.monotonic() > deadline:
                raise FailedError(f"expected within {seconds:.0f} s: {what}; it did not happen")
            if self.stop.wait(_POLL):
                raise Stopped
        return found

    def forever(self) -> None:
        """Until somebody says stop (returns), or a process dies (raises FailedError)."""
        while not self.stop.wait(1.0):
            self.processes.check()
