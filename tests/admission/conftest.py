"""An empty repository and cluster, a deployer whose settings allow nothing, and a registry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy_pipeline.deployer import Deployer
from deploy_pipeline.sandbox import SandboxCluster
from deploy_pipeline.settings import Settings
from tests.actions.conftest import World
from tests.actions.small import Small
from tests.images.conftest import registry
from tests.support.origin import Origin

__all__ = ["registry", "small"]


@pytest.fixture
def small(tmp_path: Path, sandbox_cluster: SandboxCluster, secrets_dir: Path) -> Small:
    """Nothing yet; a release needs no approval, which is not what these tests are about."""
    kubeconfig = tmp_path / "kubeconfig"
    sandbox_cluster.write_kubeconfig(kubeconfig)
    origin = Origin.create(tmp_path / "origin" / "small.git", {"README.md": "nothing yet\n"})
    settings = Settings(
        repository=origin.url, state_dir=tmp_path / "state", kubeconfig=kubeconfig, secrets_dir=secrets_dir
    )
    return Small(World(origin, Deployer.from_settings(settings), kubeconfig, secrets_dir))


def with_settings(small: Small, **settings: Any) -> Small:
    """The same repository, files and cluster with another deployer."""
    deployer = Deployer.from_settings(small.world.deployer.settings.model_copy(update=settings))
    return replace(small, world=replace(small.world, deployer=deployer))
