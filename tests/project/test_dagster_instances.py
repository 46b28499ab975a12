"""The two Dagster instances, for one machine and for a cluster, as Dagster itself reads them."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance
from dagster._config import process_config
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster._serdes import ConfigurableClassData

from tests.support.origin import PROJECT

LOCAL = PROJECT / "dagster.yaml"
KUBERNETES = PROJECT / "deploy" / "kubernetes" / "dagster.yaml"

PLACES = {
    "DAGSTER_NAMESPACE": "deploy-pipeline",
    "DAGSTER_SERVICE_ACCOUNT": "deploy-pipeline",
    "DAGSTER_INSTANCE_CONFIG_MAP": "dagster-instance",
    "DAGSTER_RUN_IMAGE": "registry.example/deploy-pipeline:1",
    "DAGSTER_HOME": "/opt/dagster",
    "DAGSTER_PG_HOST": "postgres",
    "DAGSTER_PG_USER": "dagster",
    "DAGSTER_PG_PASSWORD": "not-a-password",
    "DAGSTER_PG_DB": "dagster",
}


@pytest.fixture
def home(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A DAGSTER_HOME with the instance file named by the test's parameter."""
    shutil.copy(request.param, tmp_path / "dagster.yaml")
    return tmp_path


@pytest.mark.parametrize("home", [LOCAL, KUBERNETES], indirect=True, ids=["local", "kubernetes"])
def test_instance_is_valid_and_guards_channels(home: Path) -> None:
    """Dagster accepts the file; one run at a time per channel, every run ends, and no telemetry is sent."""
    config, _ = dagster_instance_config(str(home))

    limit = {"key": "deploy/channel", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    assert config["concurrency"]["runs"]["tag_concurrency_limits"] == [limit]
    assert config["run_monitoring"]["enabled"]
    assert config["run_monitoring"]["max_runtime_seconds"] == 7200
    assert config["telemetry"] == {"enabled": False}
    assert config["run_retries"]["max_retries"] == 0


@pytest.mark.parametrize("home", [LOCAL], indirect=True)
def test_local_instance_starts_with_sqlite_in_its_home(home: Path) -> None:
    """The file for one machine gives a working instance that keeps its history where it was told to."""
    with DagsterInstance.from_config(str(home)) as instance:
        assert instance.run_monitoring_enabled
        assert instance.get_runs() == []
    assert (home / "history" / "runs.db").exists()


@pytest.mark.parametrize("home", [KUBERNETES], indirect=True)
def test_kubernetes_instance_satisfies_launcher_and_storage(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Launcher, storage and log classes exist and accept their part, with all values of places from the environment."""
    for name, value in PLACES.items():
        monkeypatch.setenv(name, value)
    ref = InstanceRef.from_dir(str(home))

    parts = [ref.run_launcher_data, ref.run_storage_data, ref.event_storage_data, ref.compute_logs_data]
    for part in parts:
        assert isinstance(part, ConfigurableClassData)
        result = process_config(_class_of(part).config_type(), part.config_dict)
        assert result.success, result.errors
    assert ref.run_launcher_data is not None
    assert ref.run_launcher_data.class_name == "K8sRunLauncher"


def test_workspace_names_the_code_location() -> None:
    """The location's name is fixed, since the cursors of the sensors are kept under it."""
    workspace = yaml.safe_load((PROJECT / "workspace.yaml").read_text())
    module = {"module_name": "deploy_pipeline.definitions", "location_name": "deploy_pipeline"}
    assert workspace == {"load_from": [{"python_module": module}]}
    assert "[tool.dagster]" not in [line.strip() for line in (PROJECT / "pyproject.toml").read_text().splitlines()]


def _class_of(part: ConfigurableClassData) -> Any:
    return getattr(importlib.import_module(part.module_name), part.class_name)
