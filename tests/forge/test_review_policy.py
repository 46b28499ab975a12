"""The decision on reviews, rule by rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy_pipeline.forge import (
    MergedPullRequest,
    Review,
    ReviewPolicy,
    ReviewState,
    Shown,
    SourceCommit,
    reasons_against,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
HEAD, OLDER = "a" * 40, "b" * 40
SHOWN = Shown(NOON, frozenset())
APPROVED, REQUESTED = ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED
COMMENTED, DISMISSED = ReviewState.COMMENTED, ReviewState.DISMISSED


def review(user: str = "bob", state: ReviewState = APPROVED, commit: str = HEAD, hours: float = 1) -> Review:
    """A review, so many hours after the diff was published."""
    return Review(user, state, commit, NOON + timedelta(hours=hours))


def pull(*reviews: Review) -> MergedPullRequest:
    """A pull request by the pipeline with changes of ann; bob and cat may write."""
    return MergedPullRequest(
        number=7,
        url="https://github.invalid/7",
        author="pipeline[bot]",
        head_branch="candidates/main",
        base_branch="releases/prod",
        head=HEAD,
        merge_commit="c" * 40,
        merged_by="bob",
        merged_at=NOON + timedelta(hours=2),
        from_fork=False,
        reviews=reviews,
        writers=frozenset({"bob", "cat", "ann"}),
        source=(SourceCommit("d" * 40, "ann", "web-flow"),),
    )


def reasons(found: MergedPullRequest, approvals: int = 1) -> tuple[str, ...]:
    """The verdict where only the number of approvals matters."""
    return reasons_against(found, ReviewPolicy(approvals), SHOWN, changed_paths=())


@pytest.mark.parametrize(
    "reviews",
    [
        (review(),),
        (review(commit=OLDER), review(hours=2)),
        (review(), review(state=COMMENTED, hours=2)),
        (review(state=REQUESTED), review(hours=2)),
        (review(hours=0),),
        (review("eve", REQUESTED), review()),
        (review("BOB"),),
    ],
    ids=["plain", "again on the head", "then a comment", "after changes", "in the same second", "stranger", "case"],
)
def test_these_are_approvals(reviews: tuple[Review, ...]) -> None:
    """The latest review of somebody who may decide says yes to the final head."""
    assert reasons(pull(*reviews)) == ()


@pytest.mark.parametrize(
    ("reviews", "reason"),
    [
        ((), ""),
        ((review(commit=OLDER),), "it is of bbbbbbbbbbbb, merged was aaaaaaaaaaaa"),
        ((review(), review(commit=OLDER, hours=2)), "it is of bbbbbbbbbbbb, merged was aaaaaaaaaaaa"),
        ((review(), review(state=DISMISSED, hours=2)), ""),
        ((review(state=COMMENTED),), ""),
        ((review(state=ReviewState.PENDING),), ""),
        ((review("pipeline[bot]"),), "they opened the pull request"),
        ((review("Ann"),), "they made a part of what it brings"),
        ((review("eve"),), "they may not write to the repository"),
        ((review(hours=-0.1),), "it is older than the diff it would be an approval of"),
        ((review(""),), ""),
    ],
)
def test_these_are_none(reviews: tuple[Review, ...], reason: str) -> None:
    """Each with its own reason, so that people know what to do."""
    found = reasons(pull(*reviews))
    assert found[0] == "0 of 1 approvals"
    assert [line.rpartition(": ")[2] for line in found[1:]] == ([reason] if reason else [])


def test_an_approval_of_an_older_head_counts_if_that_showed_the_same() -> None:
    """The pipeline made the newer head of a moved release branch; what was read is what is merged."""
    found = pull(review(commit=OLDER))
    policy = ReviewPolicy(1)
    assert reasons_against(found, policy, Shown(NOON, frozenset({OLDER})), changed_paths=()) == ()
    assert reasons_against(found, policy, Shown(NOON, frozenset({"c" * 40})), changed_paths=()) != ()


def test_changes_requested_by_one_outweigh_the_approval_of_another() -> None:
    """Until they say otherwise, or are dismissed."""
    asked = review("cat", REQUESTED)
    assert reasons(pull(review(), asked)) == ("cat asks for changes",)
    assert reasons(pull(review(), asked, review("cat", DISMISSED, hours=2))) == ()
    assert reasons(pull(review(), asked, review("cat", COMMENTED, hours=2))) == ("cat asks for changes",)


def test_two_approvals_are_by_two_people() -> None:
    """Approving twice is one approval."""
    assert reasons(pull(review(), review(hours=2)), 2) == ("1 of 2 approvals (bob)",)
    assert reasons(pull(review(), review("cat")), 2) == ()


def test_a_fork_and_a_strange_branch_are_refused_whatever_was_approved() -> None:
    """The pipeline makes candidates in its own repository only."""
    found = replace(pull(review()), from_fork=True, head_branch="feature")
    assert len(reasons(found)) == 2


def test_a_channel_that_asks_for_no_approval_still_hears_changes_requested() -> None:
    """Zero approvals is not deafness."""
    assert reasons(pull(), 0) == ()
    assert reasons(pull(review("cat", REQUESTED)), 0) == ("cat asks for changes",)


def test_an_unknown_maker_is_refused_where_approvals_are_asked_for() -> None:
    """Only then does it matter who made it."""
    found = replace(pull(review()), source=(SourceCommit("d" * 40, "", "ann"),))
    assert len(reasons(found)) == 1
    assert reasons(found, 0) == ()


REVIEWS = st.lists(
    st.builds(
        review,
        user=st.sampled_from(["bob", "cat", "ann", "eve", "pipeline[bot]"]),
        state=st.sampled_from(list(ReviewState)),
        commit=st.sampled_from([HEAD, OLDER]),
        hours=st.integers(-2, 5),
    ),
    max_size=6,
)


@given(REVIEWS)
def test_nothing_is_approved_without_a_proper_approval_as_somebodys_last_word(reviews: list[Review]) -> None:
    """Whatever the history, an approval needs bob's or cat's last word to be one, and neither of them against it."""
    last = {r.user: r for r in reviews if r.state not in (COMMENTED, ReviewState.PENDING)}
    voices = [last[user] for user in ("bob", "cat") if user in last]
    proper = [r for r in voices if r.state is APPROVED and r.commit == HEAD and r.submitted_at >= NOON]
    against = [r for r in last.values() if r.state is REQUESTED and r.user in ("bob", "cat", "ann")]
    assert (reasons(pull(*reviews)) == ()) == bool(proper and not against)


def test_commits_that_cannot_be_had_are_a_reason() -> None:
    """Whoever approves may have made one of them; where nobody has to approve, that does not matter."""
    found = replace(pull(review()), source=None)
    (reason,) = reasons(found)
    assert reason.startswith("who made what it brings cannot be told")
    assert reasons(found, approvals=0) == ()


def test_an_unsigned_commit_is_by_nobody_where_signatures_are_asked_for() -> None:
    """Its author may be the one who approves; where nobody has to approve, that does not matter."""
    unsigned = pull(review())
    signed = replace(unsigned, source=(SourceCommit("d" * 40, "ann", "web-flow", verified=True),))
    strict = ReviewPolicy(1, signed_commits=True)
    assert reasons_against(signed, strict, SHOWN, changed_paths=()) == ()
    assert reasons_against(unsigned, replace(strict, approvals=0), SHOWN, changed_paths=()) == ()
    assert reasons_against(unsigned, strict, SHOWN, changed_paths=()) == (
        "commit dddddddddddd of the source is not signed, so its author may be anybody",
    )


OWNERS = """\
# who decides
*               @acme/everybody
/apps/          @bob   # and not @eve
*.tf            @cat admin@example.invalid
/apps/free/
[Section]
"""


def owned(*reviews: Review, text: str | None = OWNERS) -> MergedPullRequest:
    """The same with CODEOWNERS."""
    teams = {"@acme/everybody": frozenset({"Cat"})}
    return replace(pull(*reviews), code_owners=text, teams=teams, emails={"admin@example.invalid": "bob"})


@pytest.mark.parametrize(
    ("approver", "path", "reason"),
    [
        ("bob", "apps/web.yaml", ""),
        ("cat", "apps/web.yaml", "no approval of @bob, who own apps/web.yaml"),
        ("cat", "README.md", ""),
        ("bob", "README.md", "no approval of @acme/everybody, who own README.md"),
        ("bob", "infra/main.tf", ""),
        ("cat", "infra/main.tf", ""),
        ("bob", "apps/free/x", ""),
    ],
)
def test_the_last_line_that_matches_says_who_owns_a_path(approver: str, path: str, reason: str) -> None:
    """Users, teams and addresses; a line without owners frees a path; comments and sections are nothing."""
    policy = ReviewPolicy(1, code_owners=True)
    found = reasons_against(owned(review(approver)), policy, SHOWN, changed_paths=[path])
    assert found == ((reason,) if reason else ())


def test_an_approval_that_does_not_count_is_none_of_an_owner_either() -> None:
    """The owner approved an older head."""
    policy = ReviewPolicy(0, code_owners=True)
    found = reasons_against(owned(review(commit=OLDER)), policy, SHOWN, changed_paths=["apps/a"])
    assert found == ("no approval of @bob, who own apps/a",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "the channel asks for approvals of code owners, and the release branch has no CODEOWNERS"),
        ("a[b @bob", "CODEOWNERS on the release branch cannot be read"),
    ],
)
def test_code_owners_that_cannot_be_had_are_a_reason(text: str | None, reason: str) -> None:
    """What is asked for and cannot be checked is not given."""
    policy = ReviewPolicy(1, code_owners=True)
    found = reasons_against(owned(review(), text=text), policy, SHOWN, changed_paths=["x"])
    assert found == (reason,)


def test_many_paths_of_the_same_owners_are_one_reason() -> None:
    """The reason goes into a comment and a status."""
    paths = [f"apps/{number:02}" for number in range(30)]
    policy = ReviewPolicy(1, code_owners=True)
    (reason,) = reasons_against(owned(review("cat")), policy, SHOWN, changed_paths=paths)
    assert reason.endswith("apps/08, apps/09 and 20 more")
