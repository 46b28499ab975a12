"""The same story where people review: each promotion is a pull request, and GitHub is asked what became of it.

Only the first release of each channel is a launch, since a pull request needs a release branch to be merged into.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deploy_pipeline.demo.flow import Flow
from deploy_pipeline.demo.github import AUTHOR, AUTO_PR, PIPELINE, GitHub
from deploy_pipeline.demo.story import FEATURE, Step, Story, expect, masked_change
from deploy_pipeline.demo.world import World
from deploy_pipeline.errors import FailedError


@dataclass(frozen=True)
class Reviews:
    """Pull requests as those see them who open, read, approve and merge them."""

    world: World
    github: GitHub

    def opened(self, channel: str, branch: str) -> int:
        """The open promotion of a candidate: by the deployer where the channel wants that, else by its author."""
        query = {"state": "open", "base": f"releases/{channel}"}

        def found() -> int | None:
            pulls = [p for p in self.github.pulls(**query) if p["head"]["ref"] == f"candidates/{branch}"]
            return pulls[0]["number"] if pulls else None

        if channel == AUTO_PR:
            return self.world.waiting.until(f"a pull request of {branch} into releases/{channel}", found)
        return found() or self.github.open_pull(channel, branch, f"Promote {branch} to {channel}")

    def shown(self, number: int, channel: str) -> str:
        """The comment with the diff of the head as it is now, once its status lets a merge through."""

        def current() -> str | None:
            head = self.head(number)
            comments = self.github.comments(number, "diff") if self.may_be_merged(head, channel) else []
            return next((comment for comment in comments if head[:12] in comment), None)

        return self.world.waiting.until(f"the diff of #{number} as a comment", current)

    def merged(self, number: int, channel: str) -> str:
        """The commit that approving and merging gives; what was pushed or is computed meanwhile is waited for."""

        def done() -> str:
            head = self.head(number)
            if not self.may_be_merged(head, channel):
                return ""
            self.github.approve(number, head)
            return self.github.merge(number, head)

        return self.world.waiting.until(f"#{number} can be merged", done)

    def head(self, number: int) -> str:
        """The commit that would be merged."""
        return str(self.github.pull(number)["head"]["sha"])

    def may_be_merged(self, head: str, channel: str) -> bool:
        """Whether the status that the branch protection asks for is there; FailedError if it is a failure."""
        status = self.github.status(head, channel)
        if status.get("state") == "failure":
            raise FailedError(f"expected: a diff of {head[:12]}; its status says: {status['description']}")
        return status.get("state") == "success"


class ReviewedStory(Story):
    """The story with GitHub as forge."""

    def __init__(self, world: World, github: GitHub) -> None:
        super().__init__(world)
        self._github = github
        self._reviews = Reviews(world, github)
        self._merged: dict[int, tuple[str, str]] = {}

    def opening(self) -> tuple[Step, ...]:
        """It ends with a pull request that waits for somebody to read it."""
        return (*super().opening(), Step("a pull request promotes it to test", self.open_feature))

    def steps(self) -> tuple[Step, ...]:
        """Then what only a forge has."""
        return (
            *super().steps(),
            Step("somebody pushes to releases/test", self.push_past_review),
            Step("GitHub tells all of it", self.look_back),
        )

    def open_feature(self) -> str:
        """The diff stands on the pull request, with the digest of the change set; nobody merges it unread."""
        number = self._reviews.opened("test", FEATURE)
        unread = self._github.merge(number, self._reviews.head(number))
        comment = self._reviews.shown(number, "test")
        expect("that the comment names the digest", self._digest in comment, True)
        expect("that the comment shows the new headline", "Feeds, live" in comment, True)
        masked_change(comment)
        unapproved = self._github.merge(number, self._reviews.head(number))
        expect("merges before anybody approved", (unread, unapproved), ("", ""))
        return f"#{number} shows the diff as a comment, and waits for an approval"

    def push_past_review(self) -> str:
        """A commit that no pull request brought is refused, and its status says so."""
        before, repository = self._versions("test"), self._world.repository
        repository.git("fetch", "--quiet", "origin")
        repository.git("push", "--quiet", "--force", "origin", "origin/candidates/main:refs/heads/releases/test")
        pushed = repository.heads()["releases/test"]
        flow = Flow(self._world)
        refused = flow.released("test", pushed)
        expect("the release of what nobody reviewed", refused.status, "FAILURE")
        reason = flow.log(refused).failure
        expect(f"that the reason says so:\n{reason}\n", "pushed past review" in reason, True)
        expect("the objects of test", self._versions("test"), before)
        status = self._github.status(pushed, "test")
        expect("the status of the commit", status.get("state"), "failure")
        return str(status["description"])

    def look_back(self) -> str:
        """Pull requests, comments and deployments as the API has them, once and for each promotion."""
        for number, (channel, commit) in self._merged.items():
            self._expect_told(self._github.pull(number), channel, commit)
        states = {channel: self._github.deployments(channel) for channel in ("test", "prod")}
        broken = [commit for commit, state in states["test"].items() if state == "failure"]
        expect("releases that failed", len(broken), 1)
        for channel, released in self._released.items():
            expect(f"the deployment of {channel}", states[channel].get(released), "success")
        expect("who opened the promotion to prod", self._authors(AUTO_PR), [PIPELINE])
        expect("who opened those to test", set(self._authors("test")), {AUTHOR})
        log = (self._world.home.logs / "github.log").read_text()
        expect("requests that GitHub's description does not know", log, "")
        return f"{len(self._merged)} pull requests, {sum(map(len, states.values()))} deployments, one of them failed"

    def _expect_told(self, pull: dict[str, Any], channel: str, commit: str) -> None:
        number = pull["number"]
        expect(f"the merge of #{number}", (pull["merged"], pull["merge_commit_sha"]), (True, commit))
        for kind in ("diff", "release"):
            expect(f"comments of the {kind} on #{number}", len(self._github.comments(number, kind)), 1)
        link = self._github.status(commit, channel).get("target_url", "")
        expect(f"where the status of #{number} leads", link.rpartition("/")[0], f"{self._world.dagster.url}/runs")

    def _authors(self, channel: str) -> list[str]:
        return [pull["user"]["login"] for pull in self._github.pulls(base=f"releases/{channel}")]

    def _put(self, channel: str, branch: str, *, digest: str = "") -> str:
        """By a pull request that the reviewer approves and merges."""
        number = self._reviews.opened(channel, branch)
        comment = self._reviews.shown(number, channel)
        expect(f"that #{number} shows {digest}", digest in comment, True)
        commit = self._reviews.merged(number, channel)
        self._merged[number] = (channel, commit)
        return commit
