"""The clusters that are measured on: a simulated one for each side, or one real cluster for all of them in turn."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy_pipeline.demo.processes import Processes
from deploy_pipeline.demo.waiting import Waiting
from deploy_pipeline.errors import FailedError, RefusedError
from deploy_pipeline.settings import tool_path

_GONE_SECONDS = 300  # until a namespace of many objects is gone, at most


@dataclass(frozen=True)
class Clusters:
    """``kubeconfig`` names the real cluster; with None, simulated ones keep their state in ``folder``."""

    folder: Path
    stop: threading.Event
    kubeconfig: Path | None

    @property
    def replicas(self) -> int:
        """Pods of a Deployment: how long containers take to start is not measured.

        A sandbox starts them at once; on a real cluster there are none.
        """
        return 1 if self.kubeconfig is None else 0

    @contextmanager
    def empty(self, name: str, namespace: str, *made: str) -> Iterator[Path]:
        """The kubeconfig of a cluster with an empty namespace.

        A real cluster loses the namespace again in the end, and those of ``made``. Raises RefusedError if it has one
        of them before: it may be somebody's.
        """
        if self.kubeconfig is None:
            with self._sandbox(name) as kubeconfig:
                # kubectl cannot diff what is to come into a namespace that is not there yet.
                kubectl(kubeconfig, "create", "namespace", namespace)
                yield kubeconfig
            return
        if found := _found(self.kubeconfig, namespace, *made):
            hint = "if a benchmark that was killed left it, delete it"
            raise RefusedError(f"the cluster has {', '.join(found)} already", hint=hint)
        kubectl(self.kubeconfig, "create", "namespace", namespace)
        try:
            yield self.kubeconfig
        finally:
            _delete(self.kubeconfig, namespace, *made)

    @contextmanager
    def _sandbox(self, name: str) -> Iterator[Path]:
        kubeconfig = self.folder / f"{name}.kubeconfig"
        command = [sys.executable, "-m", "deploy_pipeline.sandbox", "--rollout-seconds", "0"]
        command += ["--state", str(self.folder / name), "--kubeconfig", str(kubeconfig)]
        processes = Processes(self.folder / "logs")
        try:
            processes.start(name, command, env=os.environ, cwd=Path.cwd())
            Waiting(self.stop, processes).until("a sandbox cluster", kubeconfig.exists)
            yield kubeconfig
        finally:
            processes.stop()


def _found(kubeconfig: Path, *namespaces: str) -> list[str]:
    """Those of the namespaces that there are."""
    return kubectl(kubeconfig, "get", "namespace", *namespaces, "--ignore-not-found", "-o", "name").split()


def _delete(kubeconfig: Path, *namespaces: str) -> None:
    """Raises FailedError, with what is left, if they do not go in time: something may hold an object in them."""
    try:
        kubectl(kubeconfig, "delete", "namespace", *namespaces, "--ignore-not-found", f"--timeout={_GONE_SECONDS}s")
    except FailedError as error:
        if left := _found(kubeconfig, *namespaces):
            hint = "the status of a namespace says what holds it; delete it by hand"
            raise FailedError(f"the cluster still has {', '.join(left)}", details=[error.message], hint=hint) from error


def kubectl(kubeconfig: Path, *arguments: str, fine: Sequence[int] = (0,)) -> str:
    """What kubectl prints; raises FailedError if it ends with another code than those that are fine."""
    command = [tool_path("kubectl"), "--kubeconfig", str(kubeconfig), *arguments]
    # In a session of its own: Ctrl-C asks this process to stop, which still has to clean up by kubectl.
    done = subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True)
    if done.returncode not in fine:
        raise FailedError(f"kubectl {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout
