"""Ways to release what nobody approved, each refused with the cluster as it was."""

from __future__ import annotations

from typing import Any

import pytest

from deploy_pipeline.approval import Acceptance
from deploy_pipeline.errors import RefusedError
from tests.actions.review_world import BASE, ReviewWorld
from tests.actions.small import config_map
from tests.support.github.state import Review


def edited_candidate(github: ReviewWorld) -> str:
    """Somebody commits other manifests on the candidate's branch, with the pipeline's own message."""
    message = github.origin.git("log", "-1", "--format=%B", "candidates/main")
    rendered = github.origin.show("candidates/main", "rendered/test/web.yaml")
    return github.origin.commit(
        "candidates/main", {"rendered/test/web.yaml": rendered.replace("second", "evil")}, message
    )


def test_the_author_cannot_approve(github: ReviewWorld) -> None:
    """Bob opens the pull request, and approves: GitHub does not let him; nor do we, should it ever."""
    github.begin()
    github.change()
    pull = github.open("bob")
    github.review(pull)
    made = Review(github.server.state.next_id(), "bob", "APPROVED", pull.head, github.server.state.now())
    pull.reviews.append(made)
    github.merge(pull)
    assert github.refusal().details == (
        "0 of 1 approvals",
        "the approval of bob does not count: they opened the pull request",
    )


def test_whoever_wrote_the_source_cannot_approve(github: ReviewWorld) -> None:
    """The pull request is the deployer's, but what it brings is ann's."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull, "ann")
    github.merge(pull)
    assert github.refusal().details == (
        "0 of 1 approvals",
        "the approval of ann does not count: they made a part of what it brings",
    )


@pytest.mark.parametrize("gone", [False, True], ids=["unreferenced", "gone"])
def test_a_history_that_was_rewritten_makes_nobody_an_approver(github: ReviewWorld, gone: bool) -> None:
    """Neither git nor the branch has what was released last: bob's early commit counts, or nobody can tell."""
    start = github.origin.heads()["main"]
    github.begin()
    github.origin.git("update-ref", "refs/heads/main", start)
    email = github.server.state.accounts["bob"].email
    github.origin.commit("main", {"README.md": "bob's\n"}, "Early", email=email)
    if gone:
        github.origin.git("gc", "--quiet", "--prune=now")
    forgetful = github.forgetting()
    pull = forgetful.reviewed()
    forgetful.approve(pull, "bob")
    forgetful.merge(pull)
    reasons = forgetful.refusal().details
    if gone:
        assert reasons[0].startswith("who made what it brings cannot be told")
    else:
        assert "the approval of bob does not count: they made a part of what it brings" in reasons


def test_an_address_in_a_commit_is_no_maker_where_signatures_count(github: ReviewWorld) -> None:
    """Anybody can commit as bob; while his signature is missing it may be the reviewer's. The change says otherwise."""
    github.begin(signed_commits=True)
    email = github.server.state.accounts["bob"].email
    forged = github.origin.commit("main", {"README.md": "cat's\n"}, "Forged", email=email)
    pull = github.reviewed(signed_commits=False)
    source = (forged, github.origin.heads()["main"])
    github.approve(pull, "cat")
    github.merge(pull)
    words = "is not signed, so its author may be anybody"
    assert github.refusal().details == tuple(f"commit {sha[:12]} of the source {words}" for sha in source)
    github.repository.signed.update(source)
    assert not github.release().skipped


def test_an_early_commit_of_the_approver_counts_among_later_ones(github: ReviewWorld) -> None:
    """All commits since the last release are looked at, not the newest alone."""
    github.begin()
    email = github.server.state.accounts["bob"].email
    github.origin.commit("main", {"README.md": "bob's\n"}, "Early", email=email)
    pull = github.reviewed()
    github.approve(pull, "bob")
    github.merge(pull)
    assert "the approval of bob does not count: they made a part of what it brings" in github.refusal().details
    github.approve(pull, "cat")
    github.release()
    assert github.step() == "second"


def test_an_approval_of_an_older_head_does_not_count(github: ReviewWorld) -> None:
    """Approve, push, merge."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    old = pull.head
    new = github.change("evil")
    github.review(pull)
    github.merge(pull)
    assert github.refusal().details == (
        "0 of 1 approvals",
        f"the approval of bob does not count: it is of {old[:12]}, merged was {new[:12]}",
    )


def test_a_dismissed_approval_does_not_count(github: ReviewWorld) -> None:
    """Somebody took it back before the merge."""
    github.begin()
    pull = github.reviewed()
    review = github.approve(pull)
    github.send("cat", "PUT", f"pulls/{pull.number}/reviews/{review}/dismissals", {"message": "too quick"})
    github.merge(pull)
    assert github.refusal().details == ("0 of 1 approvals",)


def test_requested_changes_stop_a_release_that_others_approve(github: ReviewWorld) -> None:
    """One approval is enough, but not over somebody's no."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull, "bob")
    github.approve(pull, "cat", "REQUEST_CHANGES")
    github.merge(pull)
    assert github.refusal().details == ("cat asks for changes",)


def test_a_reviewer_without_write_access_does_not_count(github: ReviewWorld) -> None:
    """Whoever may read may approve, as far as GitHub is concerned."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull, "eve")
    github.merge(pull)
    assert github.refusal().details == (
        "0 of 1 approvals",
        "the approval of eve does not count: they may not write to the repository",
    )


@pytest.mark.parametrize("loosened", [{"reviews": 0}, {"approval": "none"}])
def test_a_policy_cannot_be_loosened_by_what_it_judges(github: ReviewWorld, loosened: dict[str, Any]) -> None:
    """Two approvals are asked for by what was released; the change that asks for less brings one."""
    github.begin(reviews=2)
    pull = github.reviewed(**loosened)
    github.approve(pull)
    github.merge(pull)
    assert github.refusal().details == ("1 of 2 approvals (bob)",)


def test_a_change_cannot_let_itself_be_accepted(github: ReviewWorld) -> None:
    """That a launch may accept a change set has to be released before."""
    github.begin()
    pull = github.reviewed(accept_change_set=True)
    shown = github.records.review(pull.number)
    github.merge(pull)
    assert shown is not None
    refusal = github.refusal(acceptance=Acceptance(shown.digest, "ann"))
    assert refusal.details[-1] == "channel test, as it was released last, lets no launch accept a change set"


def test_a_direct_push_is_refused(github: ReviewWorld) -> None:
    """No pull request explains it, whatever else was approved."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    rendered = github.origin.show(BASE, "rendered/test/web.yaml")
    github.origin.commit(BASE, {"rendered/test/web.yaml": rendered.replace("first", "evil")})
    assert "was pushed past review" in github.refusal().message
    assert github.statuses(github.head)[-1][0] == "failure"


def test_a_push_on_top_of_an_approved_merge_is_refused(github: ReviewWorld) -> None:
    """The approval below it does not cover it."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    github.merge(pull)
    rendered = github.origin.show(BASE, "rendered/test/web.yaml")
    github.origin.commit(BASE, {"rendered/test/web.yaml": rendered.replace("second", "evil")})
    assert "was pushed past review" in github.refusal().message


def test_a_merge_made_by_hand_with_another_tree_is_refused(github: ReviewWorld) -> None:
    """GitHub calls the pull request merged by a push that holds its head, whatever else that push brings."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    evil = edited_candidate(github)
    tree = github.origin.git("rev-parse", f"{evil}^{{tree}}").strip()
    github.origin.git("update-ref", "refs/heads/candidates/main", pull.head)
    pushed = github.repository.bare.commit_tree(tree, [github.head, pull.head], "Merge #1", ("bob", "bob@x.invalid"))
    github.repository.bare.update(BASE, pushed, github.head)
    assert github.refusal().details == ("the merge brings what was not reviewed: rendered/test/web.yaml",)


def test_a_force_push_after_the_review_is_refused(github: ReviewWorld) -> None:
    """The approved candidate is replaced right before the merge by other manifests, and nobody shows their diff."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    old, evil = pull.head, edited_candidate(github)
    github.send("robot", "GET", f"pulls/{pull.number}")  # the forge sees where the branch is
    github.merge(pull)
    assert github.refusal().details == (
        f"#{pull.number} never showed the diff of what was merged, or it was withdrawn",
        "0 of 1 approvals",
        f"the approval of bob does not count: it is of {old[:12]}, merged was {evil[:12]}",
    )


def test_a_candidate_edited_by_hand_is_refused(github: ReviewWorld) -> None:
    """It has the pipeline's message, but not its files: no diff, a failure, and no release even if it is merged."""
    github.begin()
    pull = github.reviewed()
    evil = edited_candidate(github)
    with pytest.raises(RefusedError, match="is not what rendering main at") as refused:
        github.review(pull)
    assert refused.value.details == ("rendered/test/web.yaml",)
    state, description = github.statuses(evil)[-1]
    assert (state, "is not what rendering main" in description) == ("failure", True)
    assert "It cannot be released." in github.diff_comment(pull)
    assert "evil" not in github.diff_comment(pull)
    assert github.records.review(pull.number) is None
    github.approve(pull)
    github.merge(pull)
    assert "never showed the diff" in str(github.refusal())


@pytest.mark.parametrize("claim", ["nothing", "another branch", "an unknown commit", "a commit of another branch"])
def test_a_candidate_has_to_name_its_source(github: ReviewWorld, claim: str) -> None:
    """A commit of the branch that the candidate is called after, or there is no diff."""
    github.begin()
    pull = github.reviewed()
    source = github.origin.heads()["main"]
    other = github.origin.commit("other", {"README.md": "other\n"})
    message = {
        "nothing": "Render",
        "another branch": f"Render\n\nSource-branch: other\nSource-commit: {source}\n",
        "an unknown commit": f"Render\n\nSource-branch: main\nSource-commit: {'a' * 40}\n",
        "a commit of another branch": f"Render\n\nSource-branch: main\nSource-commit: {other}\n",
    }[claim]
    github.origin.commit("candidates/main", {}, message)
    with pytest.raises(RefusedError, match=r"does not say which commit|is no commit of main"):
        github.review(pull)
    assert github.records.review(pull.number) is None


def test_a_pull_request_from_a_fork_is_refused(github: ReviewWorld) -> None:
    """Anybody can call a branch of their fork a candidate; merged all the same, it is not released."""
    github.begin()
    github.change()
    github.repository.private = False
    fork = github.server.state.repository("eve/shop", private=False, fork_of=github.repository)
    fork.bare.run("fetch", "-q", str(github.origin.path), "+refs/heads/*:refs/heads/*")
    opened = github.send("eve", "POST", "pulls", {"head": "eve:candidates/main", "base": BASE, "title": "x"})
    pull = github.repository.pulls[opened["number"]]
    with pytest.raises(RefusedError, match="comes from a fork"):
        github.review(pull)
    assert github.statuses(pull.head)[-1][0] == "failure"
    github.approve(pull)
    github.merge(pull)
    assert f"#{pull.number} comes from a fork, whose branches the pipeline does not make" in github.refusal().details


def test_a_merge_that_mixes_another_tree_in_is_refused(github: ReviewWorld) -> None:
    """Somebody pushes to the release branch after the review; the merge button puts both together."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    github.origin.commit(BASE, {"rendered/test/extra.yaml": "{}\n"})
    github.merge(pull)
    assert github.refusal().details == ("the merge brings what was not reviewed: rendered/test/extra.yaml",)


def test_a_cluster_that_changed_since_the_approval_stops_the_release(github: ReviewWorld) -> None:
    """The approved change would undo what somebody did meanwhile, and nobody has seen that."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    github.drift("by hand")
    github.merge(pull)
    details = github.refusal().details
    assert details[0].startswith("the release would not do what was shown (sha256:")
    assert any('now "by hand" → "second"' in line for line in details)


def test_code_owners_are_those_of_what_was_released(github: ReviewWorld) -> None:
    """The candidate makes bob an owner, and bob approves: cat has to, who was asked for before."""
    include = "include: [channels/**, apps/**, deploy.yaml, CODEOWNERS]\n"
    github.small.files |= {"deploy.yaml": include, "CODEOWNERS": "* @cat\n"}
    github.begin(code_owners=True)
    github.small.files["CODEOWNERS"] = "* @bob\n"
    pull = github.reviewed()
    github.approve(pull, "bob")
    github.merge(pull)
    (reason,) = github.refusal().details
    assert reason.startswith("no approval of @cat, who own CODEOWNERS, ")
    github.approve(pull, "cat")
    github.release()
    assert github.step() == "second"


def test_code_owners_cannot_be_brought_by_a_forged_first_parent(github: ReviewWorld) -> None:
    """A merge made by hand can claim any past of the release branch; what was released is what counts."""
    include = "include: [channels/**, apps/**, deploy.yaml, CODEOWNERS]\n"
    github.small.files |= {"deploy.yaml": include, "CODEOWNERS": "* @cat\n"}
    github.begin(code_owners=True)
    pull = github.reviewed()
    github.approve(pull, "bob")
    past = github.origin.commit("past", {"CODEOWNERS": "* @bob\n"}, start=BASE)
    tree = github.origin.git("rev-parse", f"{pull.head}^{{tree}}").strip()
    pushed = github.repository.bare.commit_tree(tree, [past, pull.head], "Merge #1", ("bob", "bob@x.invalid"))
    github.origin.git("update-ref", f"refs/heads/{BASE}", pushed)
    (reason,) = github.refusal().details
    assert reason.startswith("no approval of @cat, who own")


def test_a_strangers_comment_with_our_marker_is_not_ours(github: ReviewWorld) -> None:
    """It stays as it is, and beside it stands the real diff."""
    github.begin()
    github.change()
    pull = github.open()
    forged = "<!-- deploy-pipeline:diff -->\nNothing would change in the cluster."
    github.send("bob", "POST", f"issues/{pull.number}/comments", {"body": forged})
    github.review(pull)
    github.review(pull)
    assert [comment.body for comment in github.comments(pull, "bob")] == [forged]
    assert '"second"' in github.diff_comment(pull)


def test_an_approval_from_before_the_diff_does_not_count(github: ReviewWorld) -> None:
    """Nobody can approve what was not there to be seen."""
    github.begin()
    github.change()
    pull = github.open()
    github.approve(pull)
    pull.reviews[0].submitted = "2020-01-01T00:00:00Z"
    github.review(pull)
    github.merge(pull)
    assert "the approval of bob does not count: it is older than the diff it would be an approval of" in (
        github.refusal().details
    )


def test_a_diff_shown_elsewhere_does_not_count(github: ReviewWorld) -> None:
    """The first pull request showed it and is closed; the second, of the same head, never did."""
    github.begin()
    first = github.reviewed()
    github.send("ann", "PATCH", f"pulls/{first.number}", {"state": "closed"})
    second = github.open("bob")
    github.approve(second, "cat")
    github.merge(second)
    assert f"#{second.number} never showed the diff of what was merged, or it was withdrawn" in github.refusal().details


def test_every_reason_is_named_at_once(github: ReviewWorld) -> None:
    """Whoever is stopped learns all of it by one look."""
    github.begin(reviews=2)
    pull = github.reviewed()
    github.approve(pull, "eve")
    github.approve(pull, "bob", "REQUEST_CHANGES")
    github.drift("by hand")
    github.merge(pull)
    said = "\n".join(github.refusal().details)
    for reason in ("bob asks for changes", "0 of 2 approvals", "may not write", "would not do what was shown"):
        assert reason in said


def test_two_apps_at_once_do_not_slip_in(github: ReviewWorld) -> None:
    """What another promotion brought and nobody released is a part of the next diff, or stops it."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    github.merge(pull)
    github.small.put("other", config_map("other", step="second"))
    github.change()
    second = github.open()
    github.review(second)
    assert "ConfigMap shop/other" in github.diff_comment(second)
    assert '"second"' in github.diff_comment(second)
