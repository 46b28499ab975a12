"""The cluster that histories are played on: the one that was named, else a sandbox in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy_pipeline.drivers import steps
from tests.properties.proofs import tried
from tests.properties.stage import Stage


@pytest.fixture(scope="session")
def opened_stage(
    target_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Stage]:
    """One cluster and one repository for all histories of the session."""
    alone = not request.config.getoption("--cluster")
    with Stage.open(target_kubeconfig, tmp_path_factory.mktemp("stage"), alone=alone) as stage:
        yield stage


@pytest.fixture
def stage(opened_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The stage; what proves to be unchanged while a history is played is tried all the same."""
    deployer = opened_stage.world.deployer
    checked = tried(lambda: deployer.cluster(opened_stage.name).objects, opened_stage.proven)
    monkeypatch.setattr(steps, "is_applied", checked)
    return opened_stage
