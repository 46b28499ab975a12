"""A deployer on a real repository, a sandbox cluster and a directory of secrets: what the actions are tried with."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deploy_pipeline.deployer import Deployer, Progress
from deploy_pipeline.execution import AppResult
from deploy_pipeline.promotion import Promotion, promote, render
from deploy_pipeline.release import ReleaseRequest, ReleaseResult, release_channel
from deploy_pipeline.sandbox import SandboxCluster
from deploy_pipeline.settings import Settings, tool_path
from tests.support.origin import PROJECT, Origin, example_files

if TYPE_CHECKING:
    from tests.actions.review_world import ReviewWorld

PRODUCTION = "channels/prod.yaml"
DEMO_SECRETS = PROJECT / "deploy_pipeline" / "demo" / "secrets"


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

    def release(self, channel: str = "test", *, progress: Progress | None = None, **more: Any) -> ReleaseResult:
        """Release a channel."""
        request = ReleaseRequest(channel, "cli", **more)
        return release_channel(
            self.deployer, request, progress=progress or self.progress.append, on_app=self.apps.append
        )

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
def origin(tmp_path: Path) -> Origin:
    """The example without its production channel, whose apps would be rendered each time; or what a stage left."""
    return _origin(tmp_path)


def _origin(folder: Path) -> Origin:
    path = folder / "origin" / "example.git"
    if path.exists():
        return Origin(path, path.as_uri())
    return Origin.create(path, {name: text for name, text in example_files().items() if name != PRODUCTION})


@dataclass(frozen=True)
class Stages:
    """States of repository and cluster that many tests begin with: made once, and copied for each test."""

    folder: Path

    def copy(self, name: str, to: Path, prepare: Callable[[World], object]) -> None:
        """Put the stage of this name into the folder of a test, before its fixtures look there."""
        made = self.folder / name
        if not made.exists():
            self._make(made, prepare)
        for part in ("origin", "cluster"):
            shutil.copytree(made / part, to / part)

    def _make(self, folder: Path, prepare: Callable[[World], object]) -> None:
        kubeconfig = folder / "kubeconfig"
        with SandboxCluster(folder / "cluster", rollout_seconds=0.05) as cluster:
            cluster.write_kubeconfig(kubeconfig)
            secrets = Path(shutil.copytree(DEMO_SECRETS, folder / "secrets"))
            prepare(_world(_origin(folder), folder, kubeconfig, secrets))


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    """The stages of this worker."""
    return Stages(tmp_path_factory.mktemp("stages"))


@pytest.fixture
def released_stage(stages: Stages, tmp_path: Path) -> None:
    """The example, released to the channel ``test``."""
    stages.copy("released", tmp_path, World.deliver)


@pytest.fixture
def released(released_stage: None, world: World) -> World:
    """The example, released to the channel ``test``."""
    return world


@pytest.fixture
def make_deployer(origin: Origin, kubeconfig: Path, secrets_dir: Path, tmp_path: Path) -> Callable[..., Deployer]:
    """Deployers that share the repository and the cluster, and no memory; each may differ in settings."""

    def make(**more: Any) -> Deployer:
        return _deployer(origin, tmp_path, kubeconfig, secrets_dir, **more)

    return make


def _deployer(origin: Origin, folder: Path, kubeconfig: Path, secrets: Path, **more: Any) -> Deployer:
    settings = Settings(
        repository=origin.url,
        state_dir=folder / "state",
        kubeconfig=kubeconfig,
        secrets_dir=secrets,
        lock_wait=8,
        lock_seconds=5,
        allowed_kinds="*",
    )
    return Deployer.from_settings(settings.model_copy(update=more))


def _world(origin: Origin, folder: Path, kubeconfig: Path, secrets: Path) -> World:
    return World(origin, _deployer(origin, folder, kubeconfig, secrets), kubeconfig, secrets)


@pytest.fixture
def world(origin: Origin, make_deployer: Callable[..., Deployer], kubeconfig: Path, secrets_dir: Path) -> World:
    """The example on ``main``; nothing rendered and nothing released, unless a stage was set."""
    return World(origin, make_deployer(), kubeconfig, secrets_dir)


@pytest.fixture
def small_world(tmp_path: Path, kubeconfig: Path, secrets_dir: Path) -> World:
    """An empty repository and an empty cluster."""
    origin = Origin.create(tmp_path / "origin" / "small.git", {"README.md": "nothing yet\n"})
    return _world(origin, tmp_path, kubeconfig, secrets_dir)


@pytest.fixture
def github(tmp_path: Path, kubeconfig: Path, secrets_dir: Path) -> Iterator[ReviewWorld]:
    """A repository on a stand-in for GitHub, and an empty cluster."""
    from tests.actions.review_world import review_world  # which needs this module

    with review_world(tmp_path, kubeconfig, secrets_dir) as made:
        yield made
