"""A promotion's way over the forge: opened, shown, approved, merged, released, told."""

from __future__ import annotations

from datetime import timedelta

from deploy_pipeline.changes import ChangeSet
from deploy_pipeline.cluster.records import ReleaseState
from deploy_pipeline.reviewing import open_promotion
from tests.actions.review_world import RUN, ReviewWorld
from tests.support.github.state import Protection


def test_the_whole_way(github: ReviewWorld) -> None:
    """Ann changes something, the deployer shows it, bob approves, cat merges, and exactly that is released."""
    github.begin()
    github.repository.protections["releases/test"] = Protection(("deploy-pipeline/test",), approvals=1)
    candidate = github.change()
    pull = github.open()
    shown = github.review(pull)
    assert shown.diff is not None
    assert github.statuses(candidate) == [
        ("pending", "computing the change set"),
        ("success", "0 created, 1 changed, 0 pruned, 0 unchanged"),
    ]
    comment = github.diff_comment(pull)
    for part in (shown.diff.digest, '-   data.step: "first"', '+   data.step: "second"', "1 files, 1 lines added", RUN):
        assert part in comment

    github.approve(pull)
    merged = github.merge(pull)
    result = github.release()
    assert (result.commit, github.step()) == (merged, "second")
    approval = github.records.approval(merged)
    assert approval is not None
    assert (approval.approved_by, approval.pull_request, approval.digest) == ("bob (#1)", 1, shown.diff.digest)
    assert (approval.candidate, approval.source) == (candidate, github.origin.heads()["main"])
    (deployment,) = github.repository.deployments.values()
    assert (deployment.sha, deployment.request["environment"]) == (merged, "test")
    assert [status.request["state"] for status in deployment.statuses] == ["in_progress", "success"]
    assert {status.request["log_url"] for status in deployment.statuses} == {RUN}
    assert "Release to `test` done" in github.result_comment(pull)
    assert "`web: released in" in github.result_comment(pull)
    assert github.statuses(merged)[-1][0] == "success"


def test_a_squash_is_released_as_well(github: ReviewWorld) -> None:
    """Its commit has no candidate among its parents, but the candidate's tree."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    merged = github.merge(pull, method="squash")
    github.release()
    approval = github.records.approval(merged)
    assert approval is not None
    assert (github.step(), approval.pull_request) == ("second", pull.number)


def test_reviews_may_come_after_the_merge(github: ReviewWorld) -> None:
    """What is missing is added to the merged pull request, and the release goes on."""
    github.begin()
    pull = github.reviewed()
    github.merge(pull)
    refusal = github.refusal()
    assert refusal.details == ("0 of 1 approvals",)
    assert "refused, nothing was changed" in github.result_comment(pull)
    assert "0 of 1 approvals" in github.result_comment(pull)
    assert github.statuses(github.head)[-1][0] == "failure"
    github.approve(pull)
    github.release()
    assert github.step() == "second"
    assert "done" in github.result_comment(pull)
    assert github.statuses(github.head)[-1][0] == "success"


def test_what_is_shown_again_unchanged_stays_approved(github: ReviewWorld) -> None:
    """The same digest on the same head: the approval of the first time counts."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    first = github.records.review(pull.number)
    github.server.state.ahead += timedelta(hours=25)
    again = github.review(pull, run_url=f"{RUN}-again")
    assert f"{RUN}-again" in github.diff_comment(pull)
    assert first is not None
    assert again.diff is not None
    assert again.unchanged
    assert again.diff.published_at == first.published_at
    github.merge(pull)
    github.release()
    assert github.step() == "second"


def test_a_refreshed_candidate_stays_approved(github: ReviewWorld) -> None:
    """Another channel's release moves the candidate to a new commit of the same tree: what was approved is still it."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    approved = pull.head
    github.origin.commit("releases/other", {"README.md": "released elsewhere\n"})
    github.world.render()
    assert github.found(pull).head != approved
    again = github.review(pull)
    assert again.unchanged
    assert again.diff is not None
    assert again.diff.refreshed == (approved,)
    github.merge(pull)
    github.release()
    assert github.step() == "second"


def test_what_changed_is_shown_as_news_and_approved_anew(github: ReviewWorld) -> None:
    """Somebody changes the cluster: the comment keeps saying what is new; older approvals are of the old."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    github.drift("third")
    github.server.state.ahead += timedelta(minutes=1)
    assert not github.review(pull).unchanged
    assert github.review(pull).unchanged
    news = github.diff_comment(pull).partition("New since it was shown last")[2]
    assert 'data.step: approved "first" → "second"' in news
    assert 'data.step: now "third" → "second"' in news
    github.merge(pull)
    assert "it is older than the diff it would be an approval of" in str(github.refusal())
    github.approve(pull)
    github.release()
    assert github.step() == "second"


def test_a_new_head_is_shown_as_news(github: ReviewWorld) -> None:
    """The pull request follows its branch; what was shown of the old head is compared with the new one."""
    github.begin()
    pull = github.reviewed()
    candidate = github.change("third")
    shown = github.review(pull)
    assert shown.diff is not None
    assert (shown.diff.candidate, shown.unchanged) == (candidate, False)
    assert any('now "first" → "third"' in line for line in shown.diff.news)


def test_a_head_that_moved_on_is_left_alone(github: ReviewWorld) -> None:
    """What was polled a moment ago is not the head any more: its turn comes with the next look."""
    from deploy_pipeline.reviewing import review_promotion

    github.begin()
    github.change()
    pull = github.open()
    old = github.found(pull)
    github.change("third")
    assert review_promotion(github.deployer, old, progress=github.world.progress.append).superseded
    assert github.statuses(old.head) == []


def test_a_second_release_asks_nobody(github: ReviewWorld) -> None:
    """The approval lies in the cluster by then."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    github.merge(pull)
    github.release()
    github.server.requests.clear()
    github.release()
    assert not [request for request in github.server.requests if "/pulls" in request.path]
    assert [record.state for record in github.records.releases()][:2] == [ReleaseState.RELEASED] * 2
    assert len(github.repository.deployments) == 2


def test_the_deployer_opens_promotions_and_says_what_they_bring(github: ReviewWorld) -> None:
    """The commits since the last release, their authors; opened once, refreshed later."""
    github.begin()
    github.change()
    pull = github.open()
    github.origin.commit("main", {"README.md": "words\n"}, "Explain <b>everything</b> @all")
    github.change("third")
    again = github.open()
    assert (again.number, again.title, again.user) == (pull.number, "Promote main to test", "robot")
    for part in ("3 commits since", "`Explain <b>everything</b> @all`", "`Test <test@example.invalid>`"):
        assert part in again.body
    assert "`Start`" not in again.body
    github.review(again)
    github.approve(again)
    github.merge(again)
    github.release()
    assert open_promotion(github.deployer, "test", "main", progress=github.world.progress.append) is None


def test_git_gets_in_with_the_token_of_the_forge(github: ReviewWorld) -> None:
    """The repository is private: what was rendered and promoted went over HTTP, and no address holds the token."""
    github.begin()
    assert github.step() == "first"
    assert "ghp_" not in github.deployer.mirror.url
    approval = github.records.approval(github.head)
    assert approval is not None
    assert approval.tree == ChangeSet.from_json(approval.change_set).tree
