"""The cluster that histories are played on: the one that was named, else a sandbox in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.properties.stage import Stage


@pytest.fixture(scope="session")
def stage(
    target_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Stage]:
    """One stage for all histories of the session."""
    alone = not request.config.getoption("--cluster")
    with Stage.open(target_kubeconfig, tmp_path_factory.mktemp("stage"), alone=alone) as stage:
        yield stage
