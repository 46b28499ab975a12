"""What the code location offers, and what loading it costs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from tests.support.origin import PROJECT

DAGSTER_NAME = re.compile(r"[A-Za-z0-9_]+")


@pytest.fixture(scope="module")
def offered() -> dg.RepositoryDefinition:
    """The code location, loaded in this project's own checkout."""
    from deploy_pipeline.definitions import defs

    dg.Definitions.validate_loadable(defs)
    return defs.get_repository_def()


APPS = {f"{channel}/{app}" for channel in ("prod", "test") for app in ("archiver", "metabase", "web")}


def test_everything_the_code_location_offers(offered: dg.RepositoryDefinition) -> None:
    """A change of any of these names is a change people notice: cursors, schedules and links hang on them."""
    graph = offered.asset_graph
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == APPS | {
        "source_branch", "candidate", "change_set", "approval", "release",
    }  # fmt: skip
    assert {f"{k.asset_key.to_user_string()}:{k.name}" for k in graph.asset_check_keys} == {
        f"{app}:{check}" for app in APPS for check in ("ready", "drift")
    }
    assert {(job.name, bool(job.partitions_def)) for job in offered.get_all_jobs() if job.name != "__ASSET_JOB"} == {
        ("render_candidate", False),
        ("diff_promotion", True),
        ("review_promotion", True),
        ("promote", True),
        ("release_channel", True),
        ("deploy_secrets", True),
        ("check_drift", True),
    }
    assert {sensor.name for sensor in offered.sensor_defs} == {"source_branches", "candidates", "releases"}
    assert {schedule.name for schedule in offered.schedule_defs} == {"drift_prod", "drift_test"}


def test_the_assets_are_one_graph_from_branch_to_app(offered: dg.RepositoryDefinition) -> None:
    """Lineage in the UI reads as the flow does."""
    parents = {
        node.key.to_user_string(): sorted(key.to_user_string() for key in node.parent_keys)
        for node in offered.asset_graph.asset_nodes
    }
    assert parents == {
        "source_branch": [],
        "candidate": ["source_branch"],
        "change_set": ["candidate"],
        "approval": ["change_set"],
        "release": ["approval"],
    } | {app: ["release"] for app in APPS}


def test_only_what_belongs_to_a_channel_is_partitioned(offered: dg.RepositoryDefinition) -> None:
    """And nothing by branch."""
    partitioned = {node.key.to_user_string() for node in offered.asset_graph.asset_nodes if node.partitions_def}
    assert partitioned == {"change_set", "approval", "release"}


def test_everything_is_described(offered: dg.RepositoryDefinition) -> None:
    """The UI explains itself."""
    assert all(node.description and node.kinds and node.group_name for node in offered.asset_graph.asset_nodes)
    assert all(job.description for job in offered.get_all_jobs() if job.name != "__ASSET_JOB")
    assert all(sensor.description for sensor in offered.sensor_defs)
    assert all(schedule.description for schedule in offered.schedule_defs)


def test_all_names_are_such_as_dagster_takes(offered: dg.RepositoryDefinition) -> None:
    """Of ops, jobs, sensors, schedules and groups."""
    ops = [node.name for job in offered.get_all_jobs() for node in job.all_node_defs]
    jobs = [job.name for job in offered.get_all_jobs()]
    ticking = [*(sensor.name for sensor in offered.sensor_defs), *(one.name for one in offered.schedule_defs)]
    groups = [str(node.group_name) for node in offered.asset_graph.asset_nodes]
    assert [name for name in (*ops, *jobs, *ticking, *groups) if not DAGSTER_NAME.fullmatch(name)] == []


def test_sensors_and_schedules_run_without_being_switched_on(offered: dg.RepositoryDefinition) -> None:
    """Nobody needs to find the toggle after an installation."""
    assert {sensor.default_status for sensor in offered.sensor_defs} == {dg.DefaultSensorStatus.RUNNING}
    assert {schedule.default_status for schedule in offered.schedule_defs} == {dg.DefaultScheduleStatus.RUNNING}


@pytest.mark.parametrize("job", ["diff_promotion", "promote", "release_channel", "deploy_secrets", "check_drift"])
def test_a_launch_for_a_channel_goes_through_the_queue(offered: dg.RepositoryDefinition, job: str) -> None:
    """Choosing a partition in the launchpad brings the tag that dagster.yaml limits."""
    definition = offered.get_job(job)
    assert definition.get_tags_for_partition_key("prod", None)["deploy/channel"] == "prod"
    assert definition.run_tags["deploy/trigger"] == "ui"
    assert definition.run_tags["dagster/retry_strategy"] == "ALL_STEPS"


def test_what_writes_goes_before_what_reads(offered: dg.RepositoryDefinition) -> None:
    """A release does not wait behind a row of diffs."""
    first = {job.name for job in offered.get_all_jobs() if "dagster/priority" in job.run_tags}
    assert first == {"promote", "release_channel", "deploy_secrets"}


LOAD = """
import socket
def refuse(*args, **kwargs):
    raise AssertionError("loading the code location must not use the network")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
from deploy_pipeline.definitions import defs
print(len(defs.get_repository_def().get_all_jobs()))
"""


def test_loading_uses_no_network(tmp_path: Path) -> None:
    """Every run's worker and the daemon load the code location, also while the remote does not answer."""
    # A remote that nothing may ask: git would fail loudly, since there is no such host.
    environment = os.environ | {"DEPLOY_REPOSITORY": "https://git.invalid/r.git", "DEPLOY_STATE_DIR": str(tmp_path)}
    loaded = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD],
        cwd=PROJECT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert loaded.stderr == ""
    assert int(loaded.stdout) >= 6
