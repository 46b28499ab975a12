"""Releases of reviewed promotions where something is amiss: the forge, the process, the app, or the approval."""

from __future__ import annotations

from typing import Any

import pytest

from deploy_pipeline.approval import Acceptance
from deploy_pipeline.cluster.records import Records, ReleaseRecord, ReleaseState
from deploy_pipeline.errors import ApprovalError, ForgeUnreachable, ReleaseFailed, RepositoryUnreachable
from deploy_pipeline.release import ReleaseRequest, release_channel
from deploy_pipeline.reviewing import releasing
from tests.actions.review_world import ReviewWorld
from tests.actions.small import deployment
from tests.support.github.faults import Fault, Kind
from tests.support.github.state import Pull

ALWAYS = 10_000


def merged(github: ReviewWorld, **channel: Any) -> Pull:
    """A promotion that was shown, approved and merged."""
    github.begin(**channel)
    pull = github.reviewed()
    github.approve(pull)
    github.merge(pull)
    return pull


def stop_at_begin(github: ReviewWorld) -> None:
    """A release is killed when it is approved and has said that it begins."""

    def killed(_: ReleaseRecord) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        release_channel(
            github.deployer,
            ReleaseRequest("test", "cli"),
            progress=github.world.progress.append,
            on_begin=killed,
            on_app=github.world.apps.append,
        )
    assert github.step() == "first"


def down(github: ReviewWorld) -> None:
    """GitHub is gone: nothing listens there any more, for git neither."""
    github.server.__exit__()


def test_what_was_approved_before_is_released_while_github_is_down(github: ReviewWorld) -> None:
    """The approval lies in the cluster and the commit in the mirror: that is all a release needs."""
    merged(github)
    stop_at_begin(github)
    head = github.head
    down(github)
    assert github.release(commit=head).commit == head
    assert github.step() == "second"
    assert any("was read and approved before, so it goes on" in line for line in github.world.progress)


def test_what_nobody_approved_yet_waits_while_github_is_down(github: ReviewWorld) -> None:
    """Not known is not approved; and when GitHub is there again, the same call works."""
    merged(github)
    github.server.faults.add(Fault(Kind.SERVER_ERROR, "GET", "/pulls", times=ALWAYS))
    before = github.live()
    with pytest.raises(ForgeUnreachable):
        github.release()
    assert github.live() == before
    assert github.records.approval(github.head) is None
    github.server.faults.waiting.clear()
    github.release()
    assert github.step() == "second"


def test_a_commit_that_was_never_approved_does_not_go_on_from_the_mirror(github: ReviewWorld) -> None:
    """Git is down as well: knowing the commit is not enough."""
    merged(github)
    github.deployer.mirror.fetch()
    before, head = github.live(), github.head
    down(github)
    with pytest.raises(RepositoryUnreachable):
        github.release(commit=head)
    assert github.live() == before


def test_the_head_is_not_guessed_while_git_is_down(github: ReviewWorld) -> None:
    """Whoever asks for the head of the branch wants the one of now."""
    merged(github)
    stop_at_begin(github)
    down(github)
    with pytest.raises(RepositoryUnreachable):
        github.release()


def test_a_failed_release_says_what_failed_and_how_to_go_on(github: ReviewWorld) -> None:
    """On the pull request, as a status and as a deployment: one, whatever number of tries."""
    github.begin()
    github.small.put("bad", deployment(image="web-broken:1"), timeout="1s")
    pull = github.reviewed()
    github.approve(pull)
    merge = github.merge(pull)
    for _ in range(2):
        with pytest.raises(ReleaseFailed):
            github.release()
    (made,) = github.repository.deployments.values()
    assert [status.request["state"] for status in made.statuses] == ["in_progress", "failure"] * 2
    assert github.statuses(merge)[-1][0] == "failure"
    comment = github.result_comment(pull)
    for part in ("Release to `test` failed", "ImagePullBackOff", "`web: unchanged in", "or run this again to continue"):
        assert part in comment


def test_reports_that_cannot_be_made_do_not_fail_a_release(github: ReviewWorld) -> None:
    """The forge refuses everything that would be said: lines of progress, and a release that is done."""
    merged(github)
    for path in ("/deployments", "/statuses", "/comments"):
        github.server.faults.add(Fault(Kind.SERVER_ERROR, "*", path, times=ALWAYS))
    github.release()
    assert github.step() == "second"
    said = [line for line in github.world.progress if "could not be published" in line]
    assert [line.split(" of ")[0] for line in said] == [
        "test: the deployment",
        "test: the deployment",
        "test: the status",
        "test: the comment",
    ]


def test_a_release_does_not_wait_for_a_forge_that_asks_for_patience(
    github: ReviewWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads on is told so, and the release is over."""
    merged(github)
    monkeypatch.setattr(releasing, "_LAST_WORDS", 0.2)
    github.server.faults.add(Fault(Kind.SLOW, "GET", "/deployments", times=ALWAYS, seconds=5))
    github.release()
    assert github.step() == "second"
    assert any("it is not waited for" in line for line in github.world.progress)
    assert not github.repository.deployments


def test_a_part_of_a_release_is_not_told_as_the_whole(github: ReviewWorld) -> None:
    """The deployment is in progress until every app is there."""
    github.begin()
    github.small.put("other", deployment())
    pull = github.reviewed()
    github.approve(pull)
    github.merge(pull)
    github.release(apps=["web"])
    (made,) = github.repository.deployments.values()
    assert [status.request["state"] for status in made.statuses] == ["in_progress", "in_progress"]
    assert "only these are released: web" in made.statuses[-1].request["description"]
    github.release()
    assert made.statuses[-1].request["state"] == "success"
    assert len(github.repository.deployments) == 1


def test_a_launch_may_accept_what_is_refused_where_the_channel_allows_it(github: ReviewWorld) -> None:
    """By the digest of what would be done today, and a name; the approval says so."""
    github.begin(accept_change_set=True)
    pull = github.reviewed()
    github.merge(pull)
    shown = github.records.review(pull.number)
    assert shown is not None
    wrong = github.refusal(acceptance=Acceptance("sha256:" + "0" * 64, "ann"))
    assert any(f"the release would now do {shown.digest}" in line for line in wrong.details)
    assert "needs a name" in str(github.refusal(acceptance=Acceptance(shown.digest, " ")))
    github.release(acceptance=Acceptance(shown.digest, "ann"))
    assert github.step() == "second"
    approval = github.records.approval(github.head)
    assert approval is not None
    assert (approval.approved_by, approval.digest) == ("ann", shown.digest)
    assert approval.note.startswith("accepted by digest although it was refused: ")
    assert github.records.releases()[0].approved_by == "ann"


def test_what_is_approved_but_would_do_something_else_may_be_accepted(
    github: ReviewWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Approved, killed before it said that it begins, and then the cluster changed."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    merged(github, accept_change_set=True)
    with monkeypatch.context() as patch:
        patch.setattr(Records, "begin", killed)
        with pytest.raises(KeyboardInterrupt):
            github.release()
    assert github.records.approval(github.head) is not None
    github.drift("by hand")
    with pytest.raises(ApprovalError, match="would not do what bob"):
        github.release()
    with pytest.raises(ApprovalError) as refused:
        github.release(acceptance=Acceptance("sha256:?", "ann"))
    github.release(acceptance=Acceptance(refused.value.details[-1].split()[-1], "ann"))
    assert github.step() == "second"


def test_a_channel_without_approval_asks_no_forge(github: ReviewWorld) -> None:
    """Where the released policy says so, a push is enough."""
    github.begin(approval="none")
    rendered = github.origin.show("releases/test", "rendered/test/web.yaml")
    github.origin.commit("releases/test", {"rendered/test/web.yaml": rendered.replace("first", "pushed")})
    github.release()
    assert github.step() == "pushed"
    assert github.records.releases()[0].state is ReleaseState.RELEASED
