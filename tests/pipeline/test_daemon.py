"""The whole of it, as installed: the daemon, a code server, workers, and the instance of ``dagster.yaml``."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from deploy_pipeline.sandbox import SandboxCluster
from tests.support.origin import PROJECT, Origin

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@contextmanager
def daemon(home: Path, environment: dict[str, str]) -> Iterator[None]:
    """The Dagster daemon with this project's workspace; it and its code server are gone afterwards."""
    command = [sys.executable, "-m", "dagster._daemon", "run", "--workspace", str(PROJECT / "workspace.yaml")]
    with (home / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_for(what: Callable[[], object], home: Path, seconds: float = 180) -> None:
    """Wait until something is the case; the daemon's log is shown if it never is."""
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, (home / "daemon.log").read_text()[-5000:]
        time.sleep(0.25)


def test_a_push_becomes_a_candidate_and_a_change_set_by_itself(
    origin: Origin, secrets_dir: Path, tmp_path: Path
) -> None:
    """Nobody launches anything: sensors see the push, the queue starts runs, workers do them."""
    home = tmp_path / "dagster"
    home.mkdir()
    shutil.copy(PROJECT / "dagster.yaml", home)
    with SandboxCluster(tmp_path / "cluster", rollout_seconds=0.05) as cluster:
        cluster.write_kubeconfig(tmp_path / "kubeconfig")
        environment = os.environ | {
            "DAGSTER_HOME": str(home),
            "DEPLOY_REPOSITORY": origin.url,
            "DEPLOY_STATE_DIR": str(tmp_path / "state"),
            "DEPLOY_KUBECONFIG": str(tmp_path / "kubeconfig"),
            "DEPLOY_SECRETS_DIR": str(secrets_dir),
            "DEPLOY_POLL_SECONDS": "1",
            "DEPLOY_SOURCE_BRANCHES": "main,feature-x",
        }
        with daemon(home, environment), dg.DagsterInstance.from_config(str(home)) as instance:
            wait_for(lambda: "candidates/main" in origin.heads(), home)
            pushed = origin.commit("feature-x", {"kubernetes/apps/base/web/index.html": "<p>hello</p>"})
            wait_for(lambda: "candidates/feature-x" in origin.heads(), home)
            succeeded = dg.RunsFilter(
                job_name="diff_promotion",
                tags={"deploy/branch": "candidates/feature-x", "deploy/channel": "test"},
                statuses=[dg.DagsterRunStatus.SUCCESS],
            )
            wait_for(lambda: instance.get_runs(succeeded), home)
            (render,) = instance.get_runs(
                dg.RunsFilter(job_name="render_candidate", tags={"deploy/branch": "feature-x"})
            )
            assert render.tags["deploy/commit"] == pushed
            assert render.tags["deploy/trigger"] == "sensor"
            assert render.remote_job_origin
            assert render.remote_job_origin.location_name == "deploy_pipeline"
            failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
            assert failed == []
