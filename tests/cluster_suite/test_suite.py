"""The suite itself: it needs a kubeconfig and nothing else, and leaves a cluster as it was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.properties.cluster_view import ClusterView, Key
from tests.properties.stage import Stage
from tests.support.origin import PROJECT
from tests.support.sandbox_process import sandbox_process

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(autouse=True)
def only_outside(request: pytest.FixtureRequest) -> None:
    """On a real cluster the suite itself is not what is tried."""
    if request.config.getoption("--cluster"):
        pytest.skip("runs the suite on a sandbox")


def inventory(kubeconfig: Path) -> set[Key]:
    """What there is in the cluster."""
    return set(ClusterView(kubeconfig).dump())


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[Path]:
    """A cluster that is somebody else's: it is known by its kubeconfig only."""
    with sandbox_process(tmp_path) as kubeconfig:
        yield kubeconfig


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param(["tests/cluster_suite/test_releases.py", "-k", "removal"], id="some", marks=pytest.mark.long),
        pytest.param(["tests/cluster_suite", "tests/properties"], id="all", marks=pytest.mark.long),
    ],
)
def test_the_suite_passes_on_a_cluster_it_is_given_and_leaves_nothing(foreign: Path, chosen: list[str]) -> None:
    """As ``make test-cluster`` runs it; what only a real cluster can show is left out."""
    before = inventory(foreign)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--cluster", str(foreign)]
    done = subprocess.run(
        [*command, "-m", "not long and not cluster", *chosen], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert inventory(foreign) == before


def test_a_history_that_fails_leaves_nothing(foreign: Path, tmp_path: Path) -> None:
    """Whatever it had made is gone, with the deployer's own records."""
    before = inventory(foreign)
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "@-x"}}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "@-b"}}

    def fail() -> None:
        with Stage.open(foreign, tmp_path / "stage", alone=False) as stage, stage.place() as place:
            place.commit({"web": [role, config]})
            place.promote()
            place.release()
            assert inventory(foreign) > before
            raise RuntimeError("this is the failure")

    with pytest.raises(RuntimeError, match="this is the failure"):
        fail()
    assert inventory(foreign) == before
