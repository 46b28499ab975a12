"""``python -m tests.real_cluster FOLDER``: serve a new, empty cluster until Ctrl-C, and say where its kubeconfig is.

The programs are built in FOLDER the first time, which takes minutes. Of the cluster itself nothing stays but its logs,
in FOLDER/logs until another one starts. It ends with this process, even if that is killed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from deploy_pipeline.demo.processes import Processes
from deploy_pipeline.demo.waiting import Stopped, Waiting, stop_signals
from deploy_pipeline.errors import DeployError
from deploy_pipeline.isolation import launcher
from deploy_pipeline.private_files import private_directory
from tests.real_cluster.building import Building
from tests.real_cluster.control_plane import ControlPlane

_LOOK = 0.5  # seconds between two looks whether another one has built


def main(folder: Path) -> int:
    """0 after Ctrl-C."""
    stop = stop_signals()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _lock(folder, stop) as lock:
            print("building kube-apiserver and kube-controller-manager, unless that was done before", flush=True)
            programs = Building(folder, stop, lock).programs()
        with private_directory() as state:
            _serve(programs, state, Waiting(stop, Processes(_logs(folder, state))))
    except Stopped:
        return 1
    except DeployError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _lock(folder: Path, stop: threading.Event) -> Iterator[int]:
    """One builds, others wait for it: a descriptor that holds the lock. Raises Stopped when somebody said stop."""
    with (folder / "lock").open("w") as lock:
        if not _take(lock):
            print(f"waiting for another build in {folder}", flush=True)
            while not _take(lock):
                if stop.wait(_LOOK):  # a lock that is waited for in the system could not be given up
                    raise Stopped
        yield lock.fileno()


def _take(lock: TextIO) -> bool:
    """Whether it is ours now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _logs(folder: Path, state: Path) -> Path:
    """Where the logs of the cluster in ``state`` are to lie; those of clusters that are gone are removed.

    They outlast the cluster, since they say why it ended.
    """
    logs = folder / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    for others in logs.iterdir():
        if not (state.parent / others.name).exists():
            shutil.rmtree(others, ignore_errors=True)
    return logs / state.name


def _serve(programs: Path, state: Path, waiting: Waiting) -> None:
    try:
        kubeconfig = ControlPlane(programs, state, waiting).start()
        pods = [*launcher(offline=False), sys.executable, "-m", "tests.real_cluster.pods", str(kubeconfig)]
        waiting.processes.start("pods", pods, env=os.environ, cwd=Path.cwd())
        print(f"it serves; try: make test-cluster KUBECONFIG={kubeconfig}", flush=True)
        waiting.forever()
    finally:
        waiting.processes.stop()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
