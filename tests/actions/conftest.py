"""A deployer on a real repository, a sandbox cluster and a directory of secrets: what the actions are tried with."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deploy_pipeline.deployer import Deployer
from deploy_pipeline.promotion import Promotion, promote, render
from deploy_pipeline.release import AppResult, ReleaseResult, release_channel
from deploy_pipeline.sandbox import SandboxCluster
from deploy_pipeline.settings import Settings, tool_path
from tests.support.origin import Origin

if TYPE_CHECKING:
    from tests.actions.review_world import ReviewWorld


@dataclass(frozen=True)
class World:
    """Everything around one deployer, with the actions in short form."""

    origin: Origin
    deployer: Deployer
    kubeconfig: Path
    secrets: Path
    progress: list[str] = field(default_factory=list)
    apps: list[AppResult] = field(default_factory=list)

    def render(self, branch: str = "main") -> str:
        """Render a branch; returns the candidate's commit."""
        result = render(self.deployer, branch, progress=self.progress.append)
        assert result.commit is not None
        return result.commit

    def promote(self, candidate: str = "main", channel: str = "test", **more: Any) -> Promotion:
        """Promote a candidate."""
        return promote(self.deployer, channel, candidate, approved_by="ann", progress=self.progress.append, **more)

    def release(self, channel: str = "test", **more: Any) -> ReleaseResult:
        """Release a channel."""
        options: dict[str, Any] = {"trigger": "cli", "progress": self.progress.append, "on_app": self.apps.append}
        return release_channel(self.deployer, channel, **options | more)

    def deliver(self, changes: dict[str, str | None] | None = None) -> ReleaseResult:
        """Commit on main, render, promote to test, release."""
        if changes:
            self.origin.commit("main", changes)
        self.render()
        self.promote()
        return self.release()

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """The real kubectl on the cluster."""
        command = [tool_path("kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def object(self, kind: str, name: str, namespace: str = "") -> Any:
        """One object as JSON, or None."""
        scope = ["--namespace", namespace] if namespace else []
        text = self.kubectl("get", kind, name, *scope, "--ignore-not-found", "--output", "json")
        return json.loads(text) if text else None

    def dump(self) -> dict[str, Any]:
        """Every object outside the deployer's own namespace that a release might touch, by kind, namespace and name."""
        kinds = "namespaces,configmaps,secrets,services,serviceaccounts,deployments,cronjobs,poddisruptionbudgets"
        items = json.loads(self.kubectl("get", kinds, "--all-namespaces", "--output", "json"))["items"]
        return {
            "/".join((item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])): item
            for item in items
            if "deploy-pipeline" not in (item["metadata"].get("namespace"), item["metadata"]["name"])
        }


@pytest.fixture
def kubeconfig(sandbox_cluster: SandboxCluster, tmp_path: Path) -> Path:
    """A kubeconfig of the sandbox."""
    path = tmp_path / "kubeconfig"
    sandbox_cluster.write_kubeconfig(path)
    return path


@pytest.fixture
def make_deployer(origin: Origin, kubeconfig: Path, secrets_dir: Path, tmp_path: Path) -> Callable[..., Deployer]:
    """Deployers that share the repository and the cluster, and no memory; each may differ in settings."""

    def make(**more: Any) -> Deployer:
        settings = Settings(
            repository=origin.url,
            state_dir=tmp_path / "state",
            kubeconfig=kubeconfig,
            secrets_dir=secrets_dir,
            lock_wait=8,
            lock_seconds=5,
        )
        return Deployer.from_settings(settings.model_copy(update=more))

    return make


@pytest.fixture
def world(origin: Origin, make_deployer: Callable[..., Deployer], kubeconfig: Path, secrets_dir: Path) -> World:
    """The example on ``main``, nothing rendered, nothing released."""
    return World(origin, make_deployer(), kubeconfig, secrets_dir)


@pytest.fixture
def small_world(tmp_path: Path, kubeconfig: Path, secrets_dir: Path) -> World:
    """An empty repository and an empty cluster."""
    origin = Origin.create(tmp_path / "origin" / "small.git", {"README.md": "nothing yet\n"})
    settings = Settings(
        repository=origin.url,
        state_dir=tmp_path / "state",
        kubeconfig=kubeconfig,
        secrets_dir=secrets_dir,
        lock_wait=8,
        lock_seconds=5,
    )
    return World(origin, Deployer.from_settings(settings), kubeconfig, secrets_dir)


@pytest.fixture
def github(tmp_path: Path, kubeconfig: Path, secrets_dir: Path) -> Iterator[ReviewWorld]:
    """A repository on a stand-in for GitHub, and an empty cluster."""
    from tests.actions.review_world import review_world  # which needs this module

    with review_world(tmp_path, kubeconfig, secrets_dir) as made:
        yield made
