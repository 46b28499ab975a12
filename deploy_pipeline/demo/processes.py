"""Starting processes, noticing that one died, and ending all of them with everything they started.

Each process is started in a session of its own, so that Ctrl-C on the terminal reaches the demo alone, which then ends
the others in order. Ending the sessions would not be enough: what they started may have begun sessions of its own
(kubectl and helm are run so), so all descendants are looked up and remembered before their parents go.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy_pipeline.errors import FailedError

_GRACE = 12.0  # seconds for an orderly end; Dagster tells its own children one after the other
_POLL = 0.1
_TAIL = 25  # lines


@dataclass(frozen=True)
class Member:
    """A process that is ours. The start time tells it from a later one that was given the same id."""

    pid: int
    started: str
    command: str = field(compare=False)


@dataclass(frozen=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Processes:
    """The processes of a demo; ``logs`` is the folder of what they print."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[_Child] = []
        self._seen: set[Member] = set()

    def start(self, name: str, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> None:
        """Start a process whose output goes to ``<logs>/<name>.log``."""
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                argv,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._children.append(_Child(name, process, log))

    def check(self) -> None:
        """Raise FailedError with the end of its log if a process ended by itself."""
        for child in self._children:
            if (code := child.process.poll()) is not None:
                raise FailedError(
                    f"the process {child.name} ended by itself with {code}",
                    details=tail(child.log),
                    hint=f"all of its output is in {child.log}",
                )

    def members(self) -> set[Member]:
        """Everything that was started and still runs, with all descendants."""
        table = _process_table()
        found: set[int] = set()
        nearest = {child.process.pid for child in self._children}
        while nearest:
            found |= nearest
            nearest = {pid for pid, (parent, _) in table.items() if parent in nearest} - found
        self._seen |= {table[pid][1] for pid in found if pid in table}
        return {member for _, member in table.values() if member in self._seen}

    def stop(self) -> set[Member]:
        """End everything: the first ones asked, after ``_GRACE`` seconds all of them killed; returns who is left."""
        self.members()
        for child in reversed(self._children):
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(signal.SIGTERM)
        self._wait(_GRACE)
        for sent in (signal.SIGTERM, signal.SIGKILL):
            _signal(self.members(), sent)
            self._wait(2.0)
        return self.members()

    def _wait(self, seconds: float) -> None:
        """Until nothing is left, or the time is over."""
        deadline = time.monotonic() + seconds
        while self._reap() and time.monotonic() < deadline:
            time.sleep(_POLL)

    def _reap(self) -> bool:
        for child in self._children:
            child.process.poll()
        return bool(self.members())


def tail(log: Path) -> list[str]:
    """The last lines of a log."""
    return log.read_text(errors="replace").splitlines()[-_TAIL:] if log.exists() else []


def _signal(members: Iterable[Member], number: signal.Signals) -> None:
    for member in members:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member.pid, number)


def _process_table() -> dict[int, tuple[int, Member]]:
    """Every process by id, with its parent's; without those that ended and wait for their parent to notice."""
    # lstart is five words: `Mon Nov 23 06:00:00 2026`.
    command = ["ps", "-A", "-o", "pid=,ppid=,stat=,lstart=,args="]
    listing = subprocess.run(command, check=True, capture_output=True, env={**os.environ, "LC_ALL": "C"})
    rows = (line.split(None, 8) for line in listing.stdout.decode(errors="replace").splitlines())
    return {
        int(pid): (int(parent), Member(int(pid), " ".join(started), "".join(command)))
        for pid, parent, state, *started, command in (_padded(row) for row in rows)
        if not state.startswith("Z")
    }


def _padded(row: list[str]) -> list[str]:
    """A process may have no command line to show."""
    return [*row, ""] if len(row) == 8 else row
