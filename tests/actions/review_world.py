"""A repository on a stand-in for GitHub, the people around it, and a deployer whose promotions are reviewed there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from deploy_pipeline.cluster.records import Records
from deploy_pipeline.deployer import Deployer
from deploy_pipeline.errors import ApprovalError
from deploy_pipeline.forge import PullRequest
from deploy_pipeline.forge.github import GitHubForge
from deploy_pipeline.forge.github.connection import Connection
from deploy_pipeline.forge.github.credentials import TokenCredentials
from deploy_pipeline.release import ReleaseRequest, ReleaseResult
from deploy_pipeline.reviewing import ReviewedPromotion, open_promotion, release_and_report, review_promotion
from deploy_pipeline.settings import Settings
from tests.actions.conftest import World
from tests.actions.small import NAMESPACE, Small, config_map
from tests.support.github.server import GitHubServer
from tests.support.github.state import Comment, Pull, Repository
from tests.support.origin import Origin

HOME = "acme/shop"
BASE = "releases/test"
RUN = "https://dagster.example/runs/1"


@dataclass(frozen=True)
class ReviewWorld:
    """The repository ``acme/shop``: ``robot`` is the deployer, ``ann`` writes the source, ``bob`` and ``cat`` review.

    ``eve`` may read only. The channel ``test`` runs an app ``web``: a ConfigMap.
    """

    server: GitHubServer
    repository: Repository
    tokens: dict[str, str]
    world: World
    small: Small

    @property
    def deployer(self) -> Deployer:
        """The deployer under test."""
        return self.world.deployer

    @property
    def records(self) -> Records:
        """What the cluster remembers of the channel."""
        return self.deployer.cluster("test").records("test")

    @property
    def origin(self) -> Origin:
        """The bare repository behind the forge."""
        return self.world.origin

    @property
    def head(self) -> str:
        """The release branch as it is."""
        return self.origin.heads()[BASE]

    # -- what people do ------------------------------------------------------------------------------------------------

    def send(self, who: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A request by one of the people, through the API like any other."""
        connection = Connection(self.server.api_url, HOME, TokenCredentials(self.tokens[who]), pause=0)
        answer: dict[str, Any] = connection.write(method, path, body)
        return answer

    def begin(self, **channel: Any) -> None:
        """Release the first state by a launch; what the channel file says then is the policy in force."""
        self.small.channel(**channel)
        self.small.put("web", config_map(step="first"))
        self.small.deliver()

    def change(self, step: str = "second", **channel: Any) -> str:
        """Ann commits a change on ``main``, and it is rendered; gives the candidate."""
        self.small.channel(**channel)
        self.small.put("web", config_map(step=step))
        self.small.push()
        return self.origin.heads()["candidates/main"]

    def open(self, who: str = "robot") -> Pull:
        """Open the promotion of the candidate."""
        if who == "robot":
            opened = open_promotion(self.deployer, "test", "main", progress=self.world.progress.append)
            assert opened is not None
            return self.repository.pulls[opened.number]
        number = self.send(who, "POST", "pulls", {"head": "candidates/main", "base": BASE, "title": "x"})["number"]
        return self.repository.pulls[number]

    def approve(self, pull: Pull, who: str = "bob", event: str = "APPROVE") -> int:
        """Review the head."""
        return int(self.send(who, "POST", f"pulls/{pull.number}/reviews", {"event": event, "body": "read"})["id"])

    def merge(self, pull: Pull, who: str = "cat", method: str = "merge") -> str:
        """Merge as the page does; gives the commit."""
        body = {"sha": pull.head, "merge_method": method}
        return str(self.send(who, "PUT", f"pulls/{pull.number}/merge", body)["sha"])

    def forgetting(self) -> ReviewWorld:
        """The same with a deployer that lost its state directory: it knows what the repository has today."""
        settings = self.deployer.settings
        other = settings.model_copy(update={"state_dir": settings.state_dir.with_name("other")})
        deployer = replace(Deployer.from_settings(other), _forge=self.deployer._forge)
        world = replace(self.world, deployer=deployer)
        return replace(self, world=world, small=replace(self.small, world=world))

    # -- what the deployer does ----------------------------------------------------------------------------------------

    def found(self, pull: Pull) -> PullRequest:
        """The pull request as polling finds it."""
        promotions = self.deployer.forge.open_promotions().pull_requests
        return next(found for found in promotions if found.number == pull.number)

    def review(self, pull: Pull, run_url: str = RUN) -> ReviewedPromotion:
        """Show the diff."""
        return review_promotion(self.deployer, self.found(pull), run_url=run_url, progress=self.world.progress.append)

    def reviewed(self, step: str = "second", **channel: Any) -> Pull:
        """A change whose diff is shown on an open pull request."""
        self.change(step, **channel)
        pull = self.open()
        self.review(pull)
        return pull

    def release(self, **more: Any) -> ReleaseResult:
        """Release the channel, told on the forge."""
        request = ReleaseRequest("test", "cli", **more)
        say, told = self.world.progress.append, self.world.apps.append
        return release_and_report(self.deployer, request, log_url=RUN, progress=say, on_app=told)

    # -- what is there -------------------------------------------------------------------------------------------------

    def live(self) -> Any:
        """Every ConfigMap but the deployer's own, what the apps own, and what was released."""
        cluster = self.deployer.cluster("test")
        items = cluster.connection.get("/api/v1/configmaps").body["items"]
        objects = [item for item in items if item["metadata"]["namespace"] != "deploy-pipeline"]
        return objects, cluster.inventories("test").all(), self.records.releases()

    def step(self) -> str:
        """Which change runs."""
        return str(self.small.live("configmap")["data"]["step"])

    def drift(self, text: str) -> None:
        """Somebody changes the app in the cluster."""
        patch = f'{{"data": {{"step": "{text}"}}}}'
        self.world.kubectl("patch", "configmap", "web", "--namespace", NAMESPACE, "--patch", patch)

    def refusal(self, **more: Any) -> ApprovalError:
        """The release is refused, and nothing changes in the cluster; gives why."""
        before, head = self.live(), self.head
        with pytest.raises(ApprovalError) as refused:
            self.release(**more)
        assert self.live() == before
        assert self.records.approval(head) is None
        return refused.value

    def comments(self, pull: Pull, who: str = "robot") -> list[Comment]:
        """What somebody said on a pull request."""
        return [c for c in self.repository.comments.values() if (c.pull, c.user) == (pull.number, who)]

    def diff_comment(self, pull: Pull) -> str:
        """The one comment with the diff."""
        (comment,) = [c for c in self.comments(pull) if c.body.startswith("<!-- deploy-pipeline:diff -->")]
        return comment.body

    def result_comment(self, pull: Pull) -> str:
        """The one comment with the result."""
        (comment,) = [c for c in self.comments(pull) if c.body.startswith("<!-- deploy-pipeline:release -->")]
        return comment.body

    def statuses(self, commit: str) -> list[tuple[str, str]]:
        """State and description of a commit's statuses for the channel, in the order they were set."""
        found = [status.request for status in self.repository.statuses if status.sha == commit]
        return [(s["state"], s["description"]) for s in found if s["context"] == "deploy-pipeline/test"]


@contextmanager
def review_world(directory: Path, kubeconfig: Path, secrets: Path) -> Iterator[ReviewWorld]:
    """Everything, with nothing committed yet; fails if GitHub's description does not know what went over the wire."""
    with GitHubServer(directory / "github") as server:
        repository = server.state.repository(HOME)
        people = ("robot", "ann", "bob", "cat", "eve")
        tokens = {login: server.state.user(login) for login in people}
        repository.roles |= {"robot": "write", "ann": "write", "bob": "write", "cat": "maintain", "eve": "read"}
        server.state.accounts["ann"].email = "test@example.invalid"  # what Origin commits with
        origin = Origin(repository.bare.path, f"{server.url}/{HOME}.git")
        origin.commit("main", {"README.md": "nothing yet\n"}, "Start")
        world = World(origin, _deployer(server, tokens["robot"], directory, kubeconfig, secrets), kubeconfig, secrets)
        yield ReviewWorld(server, repository, tokens, world, Small(world))
    assert server.violations == []


def _deployer(server: GitHubServer, token: str, directory: Path, kubeconfig: Path, secrets: Path) -> Deployer:
    """A deployer by settings, but for the second that its forge would leave between two writes."""
    settings = Settings(
        repository=f"{server.url}/{HOME}.git",
        state_dir=directory / "state",
        kubeconfig=kubeconfig,
        secrets_dir=secrets,
        lock_wait=8,
        lock_seconds=5,
        github_repository=HOME,
        github_url=server.api_url,
        github_token=SecretStr(token),
    )
    forge = GitHubForge(Connection(server.api_url, HOME, TokenCredentials(token), pause=0, patience=2))
    return replace(Deployer.from_settings(settings), _forge=lambda: forge)
