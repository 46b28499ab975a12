"""The sensors over real git: what a tick asks for, what it costs, and what happens when it cannot read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dagster as dg
import pytest

from deploy_pipeline.pipeline.assets import asset_specs
from deploy_pipeline.pipeline.jobs import JOBS
from deploy_pipeline.pipeline.schedules import drift_schedules
from deploy_pipeline.pipeline.sensors import branch_sensors
from deploy_pipeline.pipeline.stage import RESOURCES
from deploy_pipeline.settings import Settings
from tests.support.origin import Origin
from tests.support.ticker import Ticker


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    """The code location without a single known channel."""
    return dg.Definitions(
        assets=asset_specs(()),
        jobs=list(JOBS.values()),
        sensors=branch_sensors(Settings(poll_seconds=7)),
        schedules=drift_schedules((), Settings()),
        resources=RESOURCES,
    )


@pytest.fixture
def source_branches(definitions: dg.Definitions, instance: dg.DagsterInstance, repository: Origin) -> Ticker:
    """The sensor of source branches."""
    return Ticker(definitions, instance, "source_branches")


@pytest.fixture
def candidates(definitions: dg.Definitions, instance: dg.DagsterInstance, repository: Origin) -> Ticker:
    """The sensor of candidates."""
    return Ticker(definitions, instance, "candidates")


@pytest.fixture
def releases(definitions: dg.Definitions, instance: dg.DagsterInstance, repository: Origin) -> Ticker:
    """The sensor of release branches."""
    return Ticker(definitions, instance, "releases")


def test_a_push_is_rendered_once(source_branches: Ticker, repository: Origin) -> None:
    """The next tick finds nothing and says so."""
    sha = repository.commit("feature/ä", {"README": "x"})
    requests = source_branches.tick()
    assert [request.run_config["ops"]["render"]["config"] for request in requests] == [
        {"branch": "feature/ä"},
        {"branch": "main"},
    ]
    expected = {"deploy/branch": "feature/ä", "deploy/commit": sha, "deploy/trigger": "sensor"}
    assert requests[0].tags.items() >= expected.items()
    assert list(source_branches.tick()) == []
    assert source_branches.result.skip_message == "2 branches, nothing to do"


def test_a_moved_release_branch_renders_anew(source_branches: Ticker, repository: Origin) -> None:
    """Candidates are refreshed when a release branch moves."""
    source_branches.tick()
    repository.commit("releases/prod", {"README": "x"})
    assert [request.tags["deploy/branch"] for request in source_branches.tick()] == ["main"]


def test_only_branches_of_the_settings_are_rendered(
    source_branches: Ticker, repository: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DEPLOY_SOURCE_BRANCHES is read at each tick."""
    monkeypatch.setenv("DEPLOY_SOURCE_BRANCHES", "*,!wip/*")
    repository.commit("wip/x", {"README": "x"})
    assert [request.tags["deploy/branch"] for request in source_branches.tick()] == ["main"]


def test_a_release_is_asked_for_by_commit_and_channel(releases: Ticker, repository: Origin) -> None:
    """Also for a channel no run has met: its partition is added first, and its runs are queued by channel."""
    sha = repository.commit("releases/prod", {"README": "x"})
    (request,) = releases.tick()
    assert request.partition_key == "prod"
    assert request.run_config == {"ops": {"release": {"config": {"commit": sha}}}}
    assert request.tags["deploy/channel"] == "prod"
    assert request.tags["deploy/trigger"] == "sensor"
    assert "prod" in releases.instance.get_dynamic_partitions("channel")
    assert list(releases.tick()) == []


def test_a_release_branch_that_is_set_back_is_released_again(releases: Ticker, repository: Origin) -> None:
    """With a run key of its own, since Dagster ignores a key it has seen."""
    first = repository.commit("releases/prod", {"README": "1"})
    keys = [releases.tick()[0].run_key]
    repository.commit("releases/prod", {"README": "2"})
    keys.append(releases.tick()[0].run_key)
    repository.git("update-ref", "refs/heads/releases/prod", first)
    keys.append(releases.tick()[0].run_key)
    assert len(set(keys)) == 3


def test_a_candidate_is_compared_for_the_channels_it_names(candidates: Ticker, repository: Origin) -> None:
    """Not for a channel of another branch, whose diff could only fail."""
    repository.commit("candidates/main", {"rendered/x": "x"})
    repository.commit("candidates/small", {"channels/prod.yaml": None})
    asked = [(request.tags["deploy/branch"], request.partition_key) for request in candidates.tick()]
    assert sorted(asked) == [("candidates/main", "prod"), ("candidates/main", "test"), ("candidates/small", "test")]
    assert list(candidates.tick()) == []


def test_a_candidate_that_only_got_another_ancestor_is_not_compared_anew(
    candidates: Ticker, repository: Origin
) -> None:
    """With many branches open, each release would be followed by a diff of all of them."""
    repository.commit("candidates/main", {"rendered/x": "x"})
    assert len(candidates.tick()) == 2
    repository.commit("candidates/main", {}, "refresh")
    assert list(candidates.tick()) == []
    repository.commit("candidates/main", {"rendered/x": "y"})
    assert len(candidates.tick()) == 2


def test_a_candidate_that_cannot_be_read_stops_no_other(candidates: Ticker, repository: Origin) -> None:
    """It gets runs for the released channels, which fail and say why."""
    repository.commit("releases/test", {"README": "x"})
    repository.commit("candidates/bad", {"channels/prod.yaml": "releases: {"})
    repository.commit("candidates/main", {"rendered/x": "x"})
    asked = [(request.tags["deploy/branch"], request.partition_key) for request in candidates.tick()]
    assert sorted(asked) == [("candidates/bad", "test"), ("candidates/main", "prod"), ("candidates/main", "test")]


def test_many_branches_are_taken_in_batches(source_branches: Ticker, repository: Origin) -> None:
    """The rest comes with the next tick, and none twice."""
    head = repository.heads()["main"]
    lines = "".join(f"create refs/heads/b{n:02} {head}\n" for n in range(29))
    repository.git("update-ref", "--stdin", stdin=lines.encode())
    batches = [[request.tags["deploy/branch"] for request in source_branches.tick()] for _ in range(3)]
    assert [len(batch) for batch in batches] == [25, 5, 0]
    assert sorted(name for batch in batches for name in batch) == [*(f"b{n:02}" for n in range(29)), "main"]


def test_a_remote_that_cannot_be_read_fails_the_tick_and_keeps_the_cursor(
    source_branches: Ticker, repository: Origin, tmp_path: Path
) -> None:
    """A failed read is not an empty one: after it nothing is new and nothing is removed."""
    repository.commit("candidates/main", {"README": "x"})
    source_branches.tick()
    before = source_branches.cursor
    repository.path.rename(tmp_path / "away")
    with pytest.raises(Exception, match="cannot read the branches of") as failed:
        source_branches.tick()
    assert "Next step:" in str(failed.value)
    assert source_branches.cursor == before
    (tmp_path / "away").rename(repository.path)
    assert list(source_branches.tick()) == []


@pytest.mark.parametrize("cursor", ["{", '{"version":9}', "1700000000.0"])
def test_a_lost_cursor_is_said_and_repeats_the_heads(releases: Ticker, repository: Origin, cursor: str) -> None:
    """The release itself finds that there is nothing to do; what counts is that no release is forgotten."""
    repository.commit("releases/prod", {"README": "x"})
    (first,) = releases.tick()
    releases.cursor = cursor
    (again,) = releases.tick()
    assert (again.partition_key, again.run_config) == (first.partition_key, first.run_config)
    assert again.run_key != first.run_key
    releases.cursor = cursor
    repository.delete("releases/prod")
    releases.tick()
    assert "the cursor cannot be read" in (releases.result.skip_message or "")


def test_the_cursor_of_another_repository_counts_as_lost(
    releases: Ticker, repository: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heads of two repositories have nothing to do with each other."""
    repository.commit("releases/prod", {"README": "x"})
    releases.tick()
    monkeypatch.setenv("DEPLOY_REPOSITORY", str(shutil.copytree(repository.path, tmp_path / "copy.git")))
    assert len(releases.tick()) == 1


def test_an_idle_tick_makes_no_mirror(source_branches: Ticker, releases: Ticker, tmp_path: Path) -> None:
    """One reading of the remote's heads, and nothing fetched."""
    for ticker in (source_branches, releases):
        ticker.tick()
        ticker.tick()
    assert not list((tmp_path / "state").rglob("HEAD"))


def test_credentials_of_the_repository_stay_out_of_the_cursor(
    definitions: dg.Definitions, instance: dg.DagsterInstance, http_origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor is shown in the UI."""
    monkeypatch.setenv("DEPLOY_REPOSITORY", http_origin.url.replace("://", "://me:t0ken-secret@"))
    ticker = Ticker(definitions, instance, "source_branches")
    assert len(ticker.tick()) == 1
    assert ticker.cursor
    assert "t0ken-secret" not in ticker.cursor
    assert json.loads(ticker.cursor)["repository"] == http_origin.url


def test_sensors_tick_at_the_interval_of_the_settings(definitions: dg.Definitions) -> None:
    """DEPLOY_POLL_SECONDS."""
    sensors = definitions.get_repository_def().sensor_defs
    assert {sensor.minimum_interval_seconds for sensor in sensors} == {7}
