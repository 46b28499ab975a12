"""Promotions that are reviewed on GitHub: the sensor, and the jobs on a real instance, with a cluster and a forge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from deploy_pipeline.errors import ApprovalError, RefusedError
from deploy_pipeline.forge.github.connection import Connection
from deploy_pipeline.forge.github.credentials import TokenCredentials
from deploy_pipeline.pipeline.assets import RELEASE
from deploy_pipeline.pipeline.jobs import JOBS
from deploy_pipeline.pipeline.launch import LaunchResult, run_job
from deploy_pipeline.pipeline.pull_requests import review_sensors
from deploy_pipeline.pipeline.sensors import branch_sensors
from deploy_pipeline.pipeline.stage import RESOURCES
from deploy_pipeline.sandbox import SandboxCluster
from deploy_pipeline.settings import Settings
from tests.support.github.server import GitHubServer
from tests.support.github.state import Pull, Repository
from tests.support.origin import Origin
from tests.support.ticker import Ticker

HOME = "acme/shop"
DAGSTER = "https://dagster.example"
STATUS = "deploy-pipeline/test"


def _files(step: str) -> dict[str, str]:
    """A channel with one app, whose ConfigMap names the step; promotions of ``main`` open by themselves."""
    channel = {
        "channel": "test",
        "releases": [{"name": "web", "driver": "kustomize", "kustomize_dir": "kubernetes/web"}],
        "promote": "auto-pr",
        "accept_change_set": True,
    }
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {"step": step}}
    return {
        "channels/test.yaml": yaml.safe_dump(channel),
        "kubernetes/web/kustomization.yaml": yaml.safe_dump({"namespace": "shop", "resources": ["web.yaml"]}),
        "kubernetes/web/web.yaml": yaml.safe_dump(manifest),
    }


@dataclass(frozen=True)
class Scene:
    """``robot`` is the deployer, ``ann`` writes the source, ``bob`` reviews."""

    server: GitHubServer
    repository: Repository
    origin: Origin
    instance: dg.DagsterInstance
    definitions: dg.Definitions
    tokens: dict[str, str]

    def run(self, job: str, channel: str | None = None, **config: Any) -> LaunchResult:
        """Run a job to its end."""
        return run_job(job, partition=channel, config=config, instance=self.instance)

    def done(self, job: str, channel: str | None = None, **config: Any) -> LaunchResult:
        """Run a job that has to succeed."""
        result = self.run(job, channel, **config)
        assert result.success, result.error
        return result

    def change(self, step: str) -> Pull:
        """Commit a step on ``main`` and render it; gives the pull request that this opens."""
        self.origin.commit("main", _files(step))
        self.done("render_candidate", branch="main")
        (pull,) = self.open()
        return pull

    def open(self) -> list[Pull]:
        """The pull requests that are open."""
        return [pull for pull in self.repository.pulls.values() if pull.state == "open"]

    def tick(self, sensor: str = "pull_requests") -> Ticker:
        """A daemon that looks for the first time; fails if that asks for nothing."""
        ticker = Ticker(self.definitions, self.instance, sensor)
        assert ticker.tick()
        return ticker

    def send(self, who: str, method: str, path: str, body: dict[str, Any]) -> Any:
        """A request by one of the people."""
        return Connection(self.server.api_url, HOME, TokenCredentials(self.tokens[who]), pause=0).write(
            method, path, body
        )

    def merge(self, pull: Pull) -> str:
        """Let ``bob`` approve and merge; gives the commit."""
        self.send("bob", "POST", f"pulls/{pull.number}/reviews", {"event": "APPROVE", "body": "read"})
        return str(self.send("bob", "PUT", f"pulls/{pull.number}/merge", {"sha": pull.head})["sha"])

    def statuses(self, commit: str) -> list[dict[str, Any]]:
        """The statuses of a commit for the channel, in the order they were set."""
        found = [status.request for status in self.repository.statuses if status.sha == commit]
        return [request for request in found if request["context"] == STATUS]

    def said(self, pull: Pull, kind: str) -> list[str]:
        """The comments of a kind on a pull request."""
        marker = f"<!-- deploy-pipeline:{kind} -->"
        bodies = [comment.body for comment in self.repository.comments.values() if comment.pull == pull.number]
        return [body for body in bodies if body.startswith(marker)]

    def deployments(self) -> list[list[str]]:
        """The states of each deployment, in the order they were set."""
        return [[s.request["state"] for s in made.statuses] for made in self.repository.deployments.values()]


@pytest.fixture
def forge(tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """The forge with ``main`` and nothing else; a test fails for what GitHub's description does not know."""
    with GitHubServer(tmp_path / "github") as server:
        repository = server.state.repository(HOME)
        tokens = {login: server.state.user(login) for login in ("robot", "ann", "bob")}
        repository.roles |= dict.fromkeys(tokens, "write")
        server.state.accounts["ann"].email = "test@example.invalid"  # what Origin commits with
        origin = Origin(repository.bare.path, f"{server.url}/{HOME}.git")
        origin.commit("main", _files("first"))
        for name, value in {
            "REPOSITORY": origin.url,
            "STATE_DIR": tmp_path / "state",
            "GITHUB_REPOSITORY": HOME,
            "GITHUB_URL": server.api_url,
            "GITHUB_TOKEN": tokens["robot"],
            "DAGSTER_URL": f"{DAGSTER}/",
        }.items():
            monkeypatch.setenv(f"DEPLOY_{name}", str(value))
        settings = Settings.from_environment()
        sensors = [*branch_sensors(settings), *review_sensors(settings)]
        definitions = dg.Definitions(jobs=list(JOBS.values()), sensors=sensors, resources=RESOURCES)
        yield Scene(server, repository, origin, instance, definitions, tokens)
    assert server.violations == []


@pytest.fixture
def scene(forge: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """The forge and a cluster, which runs the first step: it was promoted by a launch."""
    with SandboxCluster(tmp_path / "cluster", rollout_seconds=0.05) as cluster:
        cluster.write_kubeconfig(tmp_path / "kubeconfig")
        monkeypatch.setenv("DEPLOY_KUBECONFIG", str(tmp_path / "kubeconfig"))
        forge.done("render_candidate", branch="main")
        forge.done("promote", "test", candidate="main", approved_by="ann")
        forge.done("release_channel", "test")
        yield forge


@pytest.fixture
def pull(forge: Scene) -> Pull:
    """An open promotion, of a candidate that nobody rendered."""
    forge.origin.commit("releases/test", {})
    forge.origin.commit("candidates/main", _files("second"), start="releases/test")
    opened = forge.send("ann", "POST", "pulls", {"head": "candidates/main", "base": "releases/test", "title": "x"})
    return forge.repository.pulls[opened["number"]]


def test_there_is_no_sensor_without_a_forge() -> None:
    """And one with it, which looks as often as the others."""
    assert review_sensors(Settings()) == []
    (sensor,) = review_sensors(Settings(github_repository=HOME, poll_seconds=7))
    assert (sensor.name, sensor.minimum_interval_seconds) == ("pull_requests", 7)


def test_a_promotion_from_the_push_to_the_release(scene: Scene) -> None:
    """Opened by the render, shown by the sensor's run, approved and merged by a person, released, and told."""
    scene.done("render_candidate", branch="main")
    assert scene.open() == [], "what the channel runs already was promoted"
    pull = scene.change("second")
    assert (pull.user, pull.head_branch, pull.base_branch) == ("robot", "candidates/main", "releases/test")

    ticker = Ticker(scene.definitions, scene.instance, "pull_requests")
    (request,) = ticker.tick()
    assert (
        request.tags.items()
        >= {
            "deploy/channel": "test",
            "deploy/pull_request": str(pull.number),
            "deploy/commit": pull.head,
            "deploy/trigger": "sensor",
        }.items()
    )
    reviewed = scene.done("review_promotion", "test", **request.run_config["ops"]["review"]["config"])
    (comment,) = scene.said(pull, "diff")
    assert reviewed.value.change_set.digest in comment
    assert [status["state"] for status in scene.statuses(pull.head)] == ["pending", "success"]
    assert {status["target_url"] for status in scene.statuses(pull.head)} == {f"{DAGSTER}/runs/{reviewed.run_id}"}
    (event,) = scene.instance.fetch_materializations(dg.AssetKey("change_set"), limit=1).records
    assert event.asset_materialization
    assert event.asset_materialization.metadata["digest"].value == reviewed.value.change_set.digest

    assert list(ticker.tick()) == [], "nothing is new"
    merged = scene.merge(pull)
    (release,) = (r for r in scene.tick("releases").result.run_requests or () if r.partition_key == "test")
    done = scene.done("release_channel", "test", **release.run_config["ops"]["release"]["config"])
    assert [app.state for app in done.value.apps] == ["released"]
    assert scene.deployments()[-1] == ["in_progress", "success"]
    assert [status["state"] for status in scene.statuses(merged)] == ["success"]
    assert len(scene.said(pull, "release")) == 1
    scene.done("render_candidate", branch="main")
    assert scene.open() == [], "the candidate has the merge as ancestor, and is promoted already"


def test_a_release_of_the_channel_makes_its_open_diffs_stale(forge: Scene, pull: Pull) -> None:
    """As the run history tells it, failed releases included; those of other channels do not count."""
    ticker = forge.tick()
    forge.instance.report_runless_asset_event(dg.AssetMaterialization(RELEASE, partition="prod"))
    assert list(ticker.tick()) == []
    forge.instance.report_runless_asset_event(dg.AssetObservation(RELEASE, partition="test"))
    assert len(ticker.tick()) == 1
    forge.instance.report_runless_asset_event(dg.AssetMaterialization(RELEASE, partition="test"))
    assert len(ticker.tick()) == 1
    assert list(ticker.tick()) == []


def test_an_idle_tick_reads_one_page_that_has_not_changed(forge: Scene, pull: Pull) -> None:
    """The forge's own cursor lies in the sensor's; what GitHub answers with 304 it does not count."""
    ticker = forge.tick()
    ticker.tick()
    forge.server.requests.clear()
    ticker.tick()
    assert [(r.method, r.path, r.status) for r in forge.server.requests] == [("GET", f"/repos/{HOME}/pulls", 304)]
    assert forge.tokens["robot"] not in (ticker.cursor or "")
    assert json.loads(ticker.cursor or "")["repository"] == HOME


def test_a_forge_that_does_not_answer_fails_the_tick_and_keeps_the_cursor(
    forge: Scene, pull: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not to know which pull requests are open does not mean that none is."""
    ticker = forge.tick()
    before = ticker.cursor
    with monkeypatch.context() as patch:
        patch.setenv("DEPLOY_GITHUB_TOKEN", "ghp_revoked")
        with pytest.raises(Exception, match="credentials"):
            ticker.tick()
    assert ticker.cursor == before
    assert list(ticker.tick()) == []


def test_a_candidate_under_review_is_not_compared_twice(forge: Scene, pull: Pull) -> None:
    """Its diff is computed for the pull request."""
    forge.origin.commit("candidates/feature", _files("other"))
    branches = Ticker(forge.definitions, forge.instance, "candidates")
    assert [request.tags["deploy/branch"] for request in branches.tick()] == ["candidates/feature"]


@pytest.mark.long
def test_what_is_not_open_at_that_head_is_not_reviewed(scene: Scene) -> None:
    """A run that waited for its turn finds the pull request moved or merged: the sensor has asked again by then."""
    pull = scene.change("second")
    assert scene.done("review_promotion", "test", pull_request=pull.number, head="0" * 40).value is None
    assert scene.done("review_promotion", "test", pull_request=99).value is None
    assert scene.said(pull, "diff") == []
    refused = scene.run("review_promotion", "prod", pull_request=pull.number)
    assert isinstance(refused.error, RefusedError)
    assert refused.error.message == f"#{pull.number} merges into releases/test, not into releases/prod"


@pytest.mark.long
def test_a_commit_that_was_pushed_past_review_raises_an_alert(scene: Scene) -> None:
    """The run fails with that reason, the commit's status says it, and only a launch that names the digest goes on."""
    sneaked = scene.origin.commit("releases/test", _files("sneaked"))
    refused = scene.run("release_channel", "test", commit=sneaked)
    assert isinstance(refused.error, ApprovalError)
    assert "pushed past review" in refused.error.message
    (alert,) = scene.statuses(sneaked)
    assert alert["state"] == "failure"
    assert "pushed past review" in alert["description"]
    assert alert["target_url"] == f"{DAGSTER}/runs/{refused.run_id}"
    digest = scene.done("diff_promotion", "test", candidate=sneaked).value.digest
    scene.done("release_channel", "test", commit=sneaked, accept_change_set=digest, approved_by="ann")
    assert scene.statuses(sneaked)[-1]["state"] == "success"
