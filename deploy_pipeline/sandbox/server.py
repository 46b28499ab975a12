"""A sandbox cluster: storage, API, controllers and HTTP put together, with a life of its own."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from pathlib import Path
from types import TracebackType

import yaml

from deploy_pipeline.sandbox.controllers.engine import Cluster, Engine
from deploy_pipeline.sandbox.controllers.garbage import collect, furnish
from deploy_pipeline.sandbox.controllers.pods import NODE
from deploy_pipeline.sandbox.controllers.workloads import RECONCILERS
from deploy_pipeline.sandbox.kinds import DEFINITIONS, Kinds
from deploy_pipeline.sandbox.objects.deletes import PROTECTED
from deploy_pipeline.sandbox.objects.store import Store
from deploy_pipeline.sandbox.schema import Definitions
from deploy_pipeline.sandbox.serving.api import Api
from deploy_pipeline.sandbox.serving.http import Server


class SandboxCluster:
    """A simulated Kubernetes API on loopback; context manager.

    State lives in `state_dir` and is there again for the next cluster started on it.

    >>> with SandboxCluster(Path("state")) as cluster:
    ...     cluster.write_kubeconfig(Path("kubeconfig"))
    """

    url: str

    def __init__(self, state_dir: Path, *, port: int = 0, rollout_seconds: float = 0.5) -> None:
        self._state_dir = state_dir
        self._port = port
        self._rollout_seconds = rollout_seconds

    def start(self) -> None:
        """Serve in background threads of this process."""
        self._store = Store(self._state_dir)
        try:
            self._kinds = Kinds(Definitions.load())
            self._api = Api(self._store, self._kinds)
            cluster = Cluster(self._api.writer, self._rollout_seconds)
            self._bootstrap(cluster)
            self._server = Server(self._api, Engine(cluster, RECONCILERS, collect), self._port)
        except BaseException:
            self._store.close()
            raise
        self.url = f"http://127.0.0.1:{self._server.port}"
        self._server.start()

    def stop(self) -> None:
        """End every connection and give the directory free."""
        self._api.stopping.set()
        self._server.stop()
        self._store.close()

    def _bootstrap(self, cluster: Cluster) -> None:
        """What is there before anybody comes."""
        for definition in self._store.objects(DEFINITIONS):
            self._kinds.define(definition)
        for resource, name in (*(("namespaces", name) for name in PROTECTED), ("nodes", NODE)):
            if self._store.get(resource, "", name) is None:
                cluster.create(resource, None, {"metadata": {"name": name}})
        for name in PROTECTED:
            furnish(cluster, name)

    def write_kubeconfig(self, path: Path) -> None:
        """Write a kubeconfig for this cluster: readable by its owner only, and never half-written."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "sandbox",
            "clusters": [{"name": "sandbox", "cluster": {"server": self.url}}],
            "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "sandbox"}}],
            "users": [{"name": "sandbox", "user": {}}],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
        with os.fdopen(descriptor, "w") as file:
            yaml.safe_dump(config, file, sort_keys=False)
        Path(name).replace(path)

    def __enter__(self) -> SandboxCluster:  # noqa: PYI034 - typing.Self came with Python 3.11
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def serve(state_dir: Path, *, port: int, kubeconfig: Path | None, rollout_seconds: float = 0.5) -> None:
    """Run in the foreground until SIGINT or SIGTERM, which do again what they did before when this returns."""
    ended = threading.Event()
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with SandboxCluster(state_dir, port=port, rollout_seconds=rollout_seconds) as cluster:
            if kubeconfig is not None:
                cluster.write_kubeconfig(kubeconfig)
            print(f"sandbox cluster ready at {cluster.url}", flush=True)
            ended.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
