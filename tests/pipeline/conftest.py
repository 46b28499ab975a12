"""A Dagster instance, and a deployer whose settings name the example's repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.support.origin import Origin


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    """A real instance, shared by the tests of a module: each looks at its own runs."""
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def repository(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Origin:
    """The example's repository, which is what the deployer's settings name."""
    monkeypatch.setenv("DEPLOY_REPOSITORY", origin.url)
    monkeypatch.setenv("DEPLOY_STATE_DIR", str(tmp_path / "state"))
    return origin
