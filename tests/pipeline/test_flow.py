"""From a push to a running channel: the real jobs, on a real instance, with real git, kubectl and helm."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from deploy_pipeline.errors import ApprovalError, RefusedError, ReleaseFailed
from deploy_pipeline.isolation import network_of_isolated_tools
from deploy_pipeline.pipeline.assets import asset_specs
from deploy_pipeline.pipeline.catalog import known_channels
from deploy_pipeline.pipeline.checks import app_checks
from deploy_pipeline.pipeline.jobs import JOBS
from deploy_pipeline.pipeline.launch import LaunchResult, run_job
from deploy_pipeline.pipeline.stage import RESOURCES
from deploy_pipeline.sandbox import SandboxCluster
from deploy_pipeline.settings import Settings, tool_path
from tests.support.origin import PROJECT, Origin, example_files

pytestmark = pytest.mark.xdist_group("flow")  # the example is released once


@dataclass(frozen=True)
class World:
    """A repository, a cluster and a Dagster instance, with a short form of launching."""

    origin: Origin
    kubeconfig: Path
    instance: dg.DagsterInstance
    lines: list[str] = field(default_factory=list)

    def run(
        self, job: str, channel: str | None = None, *, tags: Mapping[str, str] | None = None, **config: Any
    ) -> LaunchResult:
        """Run a job to its end."""
        return run_job(
            job, partition=channel, config=config, tags=tags, instance=self.instance, progress=self.lines.append
        )

    def done(self, job: str, channel: str | None = None, **config: Any) -> LaunchResult:
        """Run a job that has to succeed."""
        result = self.run(job, channel, **config)
        assert result.success, result.error
        return result

    def kubectl(self, *arguments: str) -> None:
        """Change something behind the deployer's back."""
        subprocess.run([tool_path("kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments], check=True)

    def metadata(self, *asset: str, run_id: str) -> dict[str, Any]:
        """What a run said of an asset when it materialised it; {} if it did not."""
        records = self.instance.fetch_materializations(dg.AssetKey(asset), limit=20).records
        found = [r.asset_materialization for r in records if r.run_id == run_id]
        return {key: value.value for key, value in found[0].metadata.items()} if found and found[0] else {}

    def checks(self, run_id: str) -> dict[str, bool]:
        """How the run evaluated checks, by ``channel/app:check``."""
        return {
            f"{check.asset_key.to_user_string()}:{check.check_name}": check.passed
            for entry in self.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
            if entry.dagster_event
            for check in [entry.dagster_event.asset_check_evaluation_data]
        }

    def tags(self, run_id: str) -> Mapping[str, str]:
        """The tags that a run ended with."""
        run = self.instance.get_run_by_id(run_id)
        assert run
        return run.tags


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, instance: dg.DagsterInstance) -> Iterator[World]:
    """A world in which channel ``test`` runs what ``main`` says."""
    root = tmp_path_factory.mktemp("flow")
    origin = Origin.create(root / "example.git", example_files())
    with SandboxCluster(root / "cluster", rollout_seconds=0.05) as cluster, pytest.MonkeyPatch.context() as patch:
        cluster.write_kubeconfig(root / "kubeconfig")
        patch.setenv("DEPLOY_REPOSITORY", origin.url)
        patch.setenv("DEPLOY_STATE_DIR", str(root / "state"))
        patch.setenv("DEPLOY_KUBECONFIG", str(root / "kubeconfig"))
        patch.setenv("DEPLOY_SECRETS_DIR", str(PROJECT / "deploy_pipeline" / "demo" / "secrets"))
        made = World(origin, root / "kubeconfig", instance)
        made.done("render_candidate", branch="main")
        made.done("promote", "test", candidate="main", approved_by="ann")
        made.done("release_channel", "test")
        yield made


def test_rendering_offers_the_channels_and_describes_the_candidate(world: World) -> None:
    """The launchpad lists a channel as soon as a candidate names it."""
    result = world.done("render_candidate", branch="main")
    assert set(world.instance.get_dynamic_partitions("channel")) >= {"prod", "test"}
    described = world.metadata("candidate", run_id=result.run_id)
    assert described["commit"] == world.origin.heads()["candidates/main"]
    assert described["apps"].splitlines()[0] == "- `prod` archiver"
    assert described["isolation"] == network_of_isolated_tools().value
    assert world.tags(result.run_id)["deploy/branch"] == "main"


def test_a_source_branch_that_is_gone_takes_its_candidate_along(world: World) -> None:
    """And leaves no candidate in the catalog for a commit that is not there."""
    world.origin.commit("short", {"README": "x"})
    world.done("render_candidate", branch="short")
    world.origin.delete("short")
    result = world.done("render_candidate", branch="short")
    assert "candidates/short" not in world.origin.heads()
    assert world.metadata("candidate", run_id=result.run_id) == {}


def test_a_diff_is_there_to_be_read(world: World) -> None:
    """Markdown with the differences, the digest to approve, and numbers to plot; nothing is written."""
    world.origin.commit("look", {"kubernetes/apps/base/web/index.html": "<p>look</p>"})
    world.done("render_candidate", branch="look")
    before = world.origin.heads()
    result = world.done("diff_promotion", "test", candidate="look")
    shown = world.metadata("change_set", run_id=result.run_id)
    assert shown["digest"] == result.value.digest
    assert (shown["objects: create"], shown["objects: update"]) == (1, 1)
    assert "ConfigMap" in shown["changes"]
    assert world.tags(result.run_id).items() >= {"deploy/channel": "test", "deploy/branch": "look"}.items()
    assert world.origin.heads() == before


def test_another_digest_than_the_reviewed_one_is_not_promoted(world: World) -> None:
    """The error comes back to whoever launched the run, and the release branch stays."""
    before = world.origin.heads()
    result = world.run("promote", "test", candidate="main", approved_by="ann", expected_digest="sha256:other")
    assert not result.success
    assert isinstance(result.error, ApprovalError)
    assert world.origin.heads() == before


def test_a_promotion_is_the_evidence(world: World) -> None:
    """Who approved which commit, tree and change set."""
    world.origin.commit("proof", {"kubernetes/apps/base/web/index.html": "<p>proof</p>"})
    world.done("render_candidate", branch="proof")
    reviewed = world.done("diff_promotion", "test", candidate="proof").value
    result = world.done(
        "promote", "test", candidate="proof", approved_by="bob@example", expected_digest=reviewed.digest
    )
    evidence = world.metadata("approval", run_id=result.run_id)
    assert (evidence["approved by"], evidence["digest"]) == ("bob@example", reviewed.digest)
    assert evidence["release commit"] == world.origin.heads()["releases/test"]
    assert world.tags(result.run_id)["deploy/commit"] == evidence["release commit"]
    world.done("release_channel", "test")


def test_a_release_materialises_each_app_and_the_channel(world: World) -> None:
    """With counts, duration and commit; releasing again changes nothing and says so."""
    result = world.done("release_channel", "test")
    head = world.origin.heads()["releases/test"]
    for app in ("archiver", "web", "metabase"):
        said = world.metadata("test", app, run_id=result.run_id)
        assert (said["state"], said["commit"], said["objects: create"]) == ("unchanged", head, 0)
    assert world.metadata("release", run_id=result.run_id)["commit"] == head
    assert world.checks(result.run_id) == {f"test/{app}:ready": True for app in ("archiver", "web", "metabase")}


def test_a_release_of_one_app_does_not_pass_for_one_of_the_channel(world: World) -> None:
    """The other apps may still be at another commit."""
    result = world.done("release_channel", "test", apps=["web"])
    assert world.metadata("test", "web", run_id=result.run_id)
    assert world.metadata("test", "metabase", run_id=result.run_id) == {}
    assert world.metadata("release", run_id=result.run_id) == {}
    world.done("release_channel", "test")


def test_what_a_sensor_asks_for_twice_is_released_once(world: World) -> None:
    """Its cursor may be lost; the cluster knows what it runs."""
    head = world.origin.heads()["releases/test"]
    result = world.run("release_channel", "test", tags={"deploy/trigger": "sensor"}, commit=head)
    assert result.success
    assert result.value.skipped
    assert world.metadata("release", run_id=result.run_id) == {}


def test_re_executing_a_sensors_run_releases(world: World) -> None:
    """A person asked for it, though the run's tags still name the sensor."""
    head = world.origin.heads()["releases/test"]
    first = world.run("release_channel", "test", tags={"deploy/trigger": "sensor"}, commit=head)
    parent = world.instance.get_run_by_id(first.run_id)
    assert parent
    again = dg.execute_job(
        dg.reconstructable(_release_job),
        world.instance,
        reexecution_options=dg.ReexecutionOptions(parent_run_id=first.run_id),
        run_config=parent.run_config,
        tags=dict(parent.tags),
    )
    assert again.success
    assert world.metadata("release", run_id=again.run_id)["commit"] == head


def _release_job() -> dg.JobDefinition:
    """The job as the code location offers it, for a run that is made from its name."""
    definitions = dg.Definitions(jobs=[JOBS["release_channel"]], resources=RESOURCES)
    return definitions.resolve_job_def("release_channel")


def test_a_failing_app_is_named_with_reason_and_last_good_state(world: World) -> None:
    """The other apps are released, the failing one's check says why, and the channel does not count as released."""
    good = world.origin.heads()["releases/test"]
    overlay = "kubernetes/apps/overlays/web-test/kustomization.yaml"
    channel = world.origin.show("main", "channels/test.yaml")
    changes = {
        overlay: world.origin.show("main", overlay).replace(
            "    newTag", "    newName: registry.example/broken\n    newTag"
        ),
        "channels/test.yaml": channel.replace("web-test\n    timeout: 60s", "web-test\n    timeout: 1s"),
    }
    world.origin.commit("broken", changes)
    world.done("render_candidate", branch="broken")
    world.done("promote", "test", candidate="broken", approved_by="ann")
    result = world.run("release_channel", "test")
    assert isinstance(result.error, ReleaseFailed)
    assert "web" in result.error.message
    assert good[:12] in result.error.hint
    assert world.checks(result.run_id) == {
        "test/archiver:ready": True,
        "test/metabase:ready": True,
        "test/web:ready": False,
    }
    assert world.metadata("test", "web", run_id=result.run_id) == {}
    assert world.metadata("release", run_id=result.run_id) == {}
    world.done("promote", "test", candidate="main", approved_by="ann")
    world.done("release_channel", "test")


def _drift_check(world: World, run_id: str) -> dg.AssetCheckEvaluation:
    """How the run evaluated the check `drift` of test/web."""
    return next(
        check
        for entry in world.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        if entry.dagster_event
        for check in [entry.dagster_event.asset_check_evaluation_data]
        if (check.asset_key.path, check.check_name) == (["test", "web"], "drift")
    )


def test_drift_shows_as_a_failed_check_of_the_app(world: World) -> None:
    """Somebody scaled a deployment by hand; the run itself succeeds, since it did what it should."""
    world.kubectl("--namespace", "web", "scale", "deployment/web", "--replicas=3")
    result = world.done("check_drift", "test")
    assert result.value.drifted
    checks = world.checks(result.run_id)
    assert {name for name, passed in checks.items() if not passed} == {"test/web:drift"}
    assert set(checks) >= {f"test/{app}:{check}" for app in ("archiver", "web") for check in ("ready", "drift")}
    check = _drift_check(world, result.run_id)
    assert check.description == "1 changed, 0 missing, 0 extra, 3 as released"
    table = check.metadata["drift"]
    assert isinstance(table, dg.TableMetadataValue)
    (row,) = table.records
    since = row.data["since"]
    assert row.data == {
        "object": "Deployment web/web",
        "field": "spec.replicas",
        "is": "3",
        "released": "1",
        "by": "kubectl",
        "since": since,
    }
    assert f"changed (by kubectl at {since})" in str(check.metadata["differences"].value)
    assert check.metadata["objects: changed"].value == 1


def test_healing_shows_in_the_check(world: World) -> None:
    """The check passes, since the app is as released again, and says what was put back, and where it was asked for."""
    world.kubectl("--namespace", "web", "scale", "deployment/web", "--replicas=3")
    result = world.done("check_drift", "test", heal=True)
    assert set(world.checks(result.run_id).values()) == {True}
    check = _drift_check(world, result.run_id)
    assert check.description == "1 changed, 0 missing, 0 extra, 3 as released; healed"
    table = check.metadata["healed"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [row.data["field"] for row in table.records] == ["spec.replicas"]
    assert "drift" not in check.metadata
    again = world.done("check_drift", "test")
    assert _drift_check(world, again.run_id).description == "as released"
    assert "test: no drift" in world.lines


@pytest.mark.long
def test_what_was_not_healed_says_why(world: World) -> None:
    """Another candidate waits for its release: the check fails with that reason."""
    text = world.origin.show("main", "kubernetes/apps/overlays/web-test/kustomization.yaml")
    change = {"kubernetes/apps/overlays/web-test/kustomization.yaml": text.replace("1.8.0", "1.8.1")}
    world.origin.commit("newer", change)
    world.done("render_candidate", branch="newer")
    world.done("promote", "test", candidate="newer", approved_by="ann")
    world.kubectl("--namespace", "web", "scale", "deployment/web", "--replicas=3")
    result = world.done("check_drift", "test", heal=True)
    check = _drift_check(world, result.run_id)
    assert not check.passed
    assert "not healed: releases/test is at" in str(check.description)
    assert "which is not released yet" in str(check.metadata["not healed"].value)
    world.kubectl("--namespace", "web", "scale", "deployment/web", "--replicas=1")
    world.done("promote", "test", candidate="main", approved_by="ann")
    world.done("release_channel", "test")


def test_checks_can_be_run_from_the_page_of_an_app(world: World) -> None:
    """Only those chosen, for the app chosen."""
    channels = known_channels(Settings.from_environment(), world.kubeconfig.parent)
    definitions = dg.Definitions(
        assets=asset_specs(channels), asset_checks=app_checks(channels), resources=RESOURCES,
        executor=dg.in_process_executor,
    )  # fmt: skip
    chosen = {dg.AssetCheckKey(dg.AssetKey(["test", "web"]), name) for name in ("ready", "drift")}
    job = definitions.resolve_implicit_global_asset_job_def().get_subset(asset_check_selection=chosen)
    result = job.execute_in_process(instance=world.instance)
    assert world.checks(result.run_id) == {"test/web:ready": True, "test/web:drift": True}


def test_a_channel_that_was_never_released_has_no_drift_to_show(world: World) -> None:
    """Neither passed nor failed."""
    result = world.done("check_drift", "prod")
    assert not result.value.released
    assert world.checks(result.run_id) == {}


def test_secrets_are_listed_by_name(world: World) -> None:
    """Which object each became, and never a value."""
    result = world.done("deploy_secrets", "test", apps=["archiver"])
    assert [(one.app, one.secret) for one in result.value] == [("archiver", "archiver_feed-secrets")]
    stored = "\n".join(str(entry) for entry in world.instance.all_logs(result.run_id))
    assert "`archiver_feed-secrets`" in stored


def test_a_launch_stands_in_the_run_history(world: World) -> None:
    """As a run of its job, channel and partition, with who launched it."""
    tags = world.tags(world.done("check_drift", "test").run_id)
    assert tags.items() >= {
        ".dagster/repository": "__repository__@deploy_pipeline",
        "dagster/partition": "test",
        "deploy/channel": "test",
        "deploy/trigger": "cli",
    }.items()  # fmt: skip


def test_a_launch_passes_progress_on_and_is_quiet_otherwise(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """Dagster's own log lines are for its run history."""
    world.lines.clear()
    world.done("check_drift", "test")
    assert "archiver: comparing with the cluster" in world.lines
    assert capfd.readouterr() == ("", "")


def test_an_unknown_channel_is_refused_and_not_remembered(world: World) -> None:
    """A slip of the pen does not become a partition that the launchpad offers for ever."""
    result = world.run("release_channel", "tset")
    assert isinstance(result.error, RefusedError)
    assert "tset" not in world.instance.get_dynamic_partitions("channel")


def test_an_unknown_job_is_refused_with_the_known_ones(world: World) -> None:
    """Before anything is recorded."""
    with pytest.raises(RefusedError, match="no such job: relaese"):
        world.run("relaese")


def test_results_leave_no_files_in_the_instance(world: World) -> None:
    """No pickles of change sets on disk: what a run said is in its events."""
    result = world.done("check_drift", "test")
    assert not list(Path(world.instance.storage_directory()).rglob(f"{result.run_id}*/**/result"))
