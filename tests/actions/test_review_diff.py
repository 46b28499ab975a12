"""The diff on a pull request: what it stands on, what it says when there is none, and who opens the pull request."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from deploy_pipeline.deployer import Deployer
from deploy_pipeline.errors import ForgeUnreachable, ManifestRejected, RefusedError
from deploy_pipeline.forge import NoForge
from deploy_pipeline.reviewing import open_promotion, review_promotion
from tests.actions.review_world import RUN, ReviewWorld
from tests.actions.small import config_map, manifest
from tests.support.github.faults import Fault, Kind


def test_a_diff_that_cannot_be_computed_is_a_failure(github: ReviewWorld) -> None:
    """The status and the comment say why, and what was shown before holds no more."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    github.small.put("strange", manifest("Widget", version="example.com/v1"))
    github.change("third")
    with pytest.raises(ManifestRejected):
        github.review(pull)
    state, description = github.statuses(github.found(pull).head)[-1]
    assert (state, "does not serve the kinds of 1 object" in description) == ("failure", True)
    comment = github.diff_comment(pull)
    assert "no diff of" in comment
    assert "Widget of example.com/v1" in comment
    assert "second" not in comment
    assert github.records.review(pull.number) is None


def test_a_diff_that_comes_back_is_a_new_one(github: ReviewWorld) -> None:
    """What was approved before it failed is not approved after: nobody could see it meanwhile."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    first = github.records.review(pull.number)
    github.records.withdraw_review(pull.number)
    github.server.state.ahead += timedelta(minutes=1)
    time.sleep(1.1)  # the comment says when its diff was computed, in seconds: the same text would not be written again
    again = github.review(pull)
    assert first is not None
    assert again.diff is not None
    assert (again.unchanged, again.diff.digest) == (False, first.digest)
    assert again.diff.published_at > first.published_at
    github.merge(pull)
    assert "it is older than the diff" in str(github.refusal())


def test_a_passing_failure_takes_nothing_back(github: ReviewWorld) -> None:
    """The status holds the merge back until it is shown again; what stands there was true and stays approved."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    shown, comment = github.records.review(pull.number), github.diff_comment(pull)
    github.server.faults.add(Fault(Kind.SERVER_ERROR, "PATCH", "/comments", times=100))
    github.server.faults.add(Fault(Kind.SERVER_ERROR, "POST", "/comments", times=100))
    with pytest.raises(ForgeUnreachable):
        github.review(pull, run_url=f"{RUN}-again")
    assert github.statuses(pull.head)[-1][0] == "error"
    assert github.records.review(pull.number) == shown
    assert github.diff_comment(pull) == comment
    github.server.faults.waiting.clear()
    assert github.review(pull).unchanged
    assert github.statuses(pull.head)[-1][0] == "success"


def test_a_record_is_made_only_of_what_was_shown(github: ReviewWorld) -> None:
    """The comment cannot be written: nothing says that anybody could have seen the diff."""
    github.begin()
    github.change()
    pull = github.open()
    github.server.faults.add(Fault(Kind.SERVER_ERROR, "POST", "/comments", times=100))
    with pytest.raises(ForgeUnreachable):
        github.review(pull)
    assert github.records.review(pull.number) is None
    assert "success" not in [state for state, _ in github.statuses(pull.head)]


def test_another_deployer_renders_again_and_agrees(github: ReviewWorld, tmp_path: Path) -> None:
    """It has no memory of the rendering, and comes to the same tree and digest."""
    github.begin()
    pull = github.reviewed()
    first = github.records.review(pull.number)
    assert any("nothing that is rendered changed" in line for line in github.world.progress)
    settings = github.deployer.settings.model_copy(update={"state_dir": tmp_path / "elsewhere"})
    other = replace(Deployer.from_settings(settings), _forge=lambda: github.deployer.forge)
    lines: list[str] = []
    again = review_promotion(other, github.found(pull), progress=lines.append)
    assert not any("nothing that is rendered changed" in line for line in lines)
    assert again.unchanged
    assert first is not None
    assert again.diff is not None
    assert (again.diff.tree, again.diff.digest) == (first.tree, first.digest)


def test_the_candidate_of_an_older_source_is_shown_as_stale(github: ReviewWorld) -> None:
    """Somebody pushed meanwhile: what is shown is true, and will be replaced."""
    github.begin()
    github.change()
    pull = github.open()
    newer = github.origin.commit("main", {"README.md": "newer\n"})
    github.review(pull)
    assert f"main has moved on to {newer[:12]}: a newer candidate will follow" in github.diff_comment(pull)


def test_what_no_other_channel_has_released_is_warned_of(github: ReviewWorld) -> None:
    """Until one of them has."""
    github.begin()
    github.small.put("web", config_map("elsewhere"), channel="prod")
    github.small.files["apps/prod-web/kustomization.yaml"] = "namespace: shop-prod\nresources: [objects.yaml]\n"
    pull = github.reviewed()
    assert "nothing tested yet: prod did not release it" in github.diff_comment(pull)
    github.world.promote(channel="prod")
    github.world.release("prod")
    github.review(pull)
    assert "nothing tested yet" not in github.diff_comment(pull)


def test_no_token_is_ever_shown(github: ReviewWorld) -> None:
    """Not in what the forge keeps, not in progress, not in what the cluster remembers; and messages mask it."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    github.merge(pull)
    github.release()
    token = github.tokens["robot"]
    kept = [github.repository.comments, github.repository.statuses, github.repository.deployments, github.live()]
    assert token not in repr([*kept, github.world.progress, github.deployer])
    assert token not in github.deployer.cluster("test").redactor.redact(f"fatal: {token}")


def test_what_cannot_be_promoted_is_not_opened(github: ReviewWorld) -> None:
    """No candidate, or no release branch to merge into: the next step is named."""
    github.small.put("web", config_map(step="first"))
    github.small.push()
    for candidate, missing in (("nowhere", "candidates/nowhere"), ("main", "releases/test")):
        with pytest.raises(RefusedError, match=f"there is no branch {missing}"):
            open_promotion(github.deployer, "test", candidate, progress=github.world.progress.append)


def test_without_settings_there_is_no_forge(github: ReviewWorld) -> None:
    """Everything else works then."""
    settings = github.deployer.settings.model_copy(update={"github_repository": ""})
    assert isinstance(Deployer.from_settings(settings).forge, NoForge)
    assert Deployer.from_settings(github.deployer.settings).forge.gives_reviews
