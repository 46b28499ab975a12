"""``python -m tests.real_cluster FOLDER``: serve a new, empty cluster until Ctrl-C, and say where its kubeconfig is.

The programs are built in FOLDER the first time, which takes minutes. Of the cluster itself nothing stays.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

from deploy_pipeline.demo.processes import Processes
from deploy_pipeline.demo.waiting import Stopped, Waiting, stop_signals
from deploy_pipeline.errors import DeployError
from deploy_pipeline.private_files import private_directory
from tests.real_cluster.building import Building
from tests.real_cluster.control_plane import ControlPlane


def main(folder: Path) -> int:
    """0 after Ctrl-C."""
    stop = stop_signals()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one builds, others wait for it
            print("building kube-apiserver and kube-controller-manager, unless that was done before", flush=True)
            programs = Building(folder, stop).programs()
        with private_directory() as state:
            _serve(programs, state, Waiting(stop, Processes(state / "logs")))
    except Stopped:
        return 1
    except DeployError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _serve(programs: Path, state: Path, waiting: Waiting) -> None:
    try:
        kubeconfig = ControlPlane(programs, state, waiting).start()
        pods = [sys.executable, "-m", "tests.real_cluster.pods", str(kubeconfig)]
        waiting.processes.start("pods", pods, env=os.environ, cwd=Path.cwd())
        print(f"it serves; try: make test-cluster KUBECONFIG={kubeconfig}", flush=True)
        waiting.forever()
    finally:
        waiting.processes.stop()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
