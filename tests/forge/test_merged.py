"""The facts of a merged pull request, as GitHub has them, and the attacks that they must give away."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from deploy_pipeline.errors import ForgeRefused
from deploy_pipeline.forge import (
    MergedPullRequest,
    ReviewPolicy,
    ReviewState,
    Shown,
    SourceCommit,
    SourceRange,
    reasons_against,
)
from tests.forge.conftest import World
from tests.support.github.state import Pull

LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)


def release(world: World) -> str:
    """The release branch as it is."""
    return world.origin.heads()["releases/prod"]


def source(world: World, *authors: str) -> SourceRange:
    """Commits on ``main`` by these people; an address nobody has makes a commit nobody is known for."""
    since = world.origin.heads()["main"]
    for number, login in enumerate(authors):
        account = world.server.state.accounts.get(login)
        email = account.email if account else f"{login}@elsewhere.invalid"
        world.origin.commit("main", {"app.yaml": f"{login} {number}"}, f"Change by {login}", email=email)
    return SourceRange(world.origin.heads()["main"], since)


def facts(world: World, pull: Pull, brought: SourceRange | None = None, before: str = "") -> MergedPullRequest | None:
    """What the forge says about the head of the release branch."""
    until = brought or SourceRange(world.origin.heads()["main"])
    after = release(world)
    return world.forge().merged_pull_request(
        after, branch="releases/prod", before=before or world.repository.bare.commit(after).parents[0], source=until
    )


def approve(world: World, pull: Pull, who: str = "bob", event: str = "APPROVE", commit: str = "") -> int:
    """Review through the API."""
    body = {"event": event, "body": "as I see it", **({"commit_id": commit} if commit else {})}
    return int(world.send(who, "POST", f"pulls/{pull.number}/reviews", body)["id"])


def merge(world: World, pull: Pull, who: str = "bob") -> str:
    """Merge through the API; gives the release branch as it was before."""
    before = release(world)
    world.send(who, "PUT", f"pulls/{pull.number}/merge", {"sha": pull.head})
    return before


def verdict(found: MergedPullRequest | None, approvals: int = 1, *paths: str) -> tuple[str, ...]:
    """The decision on the facts."""
    assert found is not None
    policy = ReviewPolicy(approvals=approvals, code_owners=bool(paths))
    return reasons_against(found, policy, Shown(LONG_AGO, frozenset()), changed_paths=paths)


def test_the_facts_are_complete(world: World) -> None:
    """Everything the decision needs, from the stand-in's API."""
    brought = source(world, "ann", "cat")
    pull = world.pull()
    approve(world, pull, "bob")
    approve(world, pull, "eve")
    before = merge(world, pull, "cat")
    found = facts(world, pull, brought, before)
    assert found is not None
    assert (found.number, found.author, found.merged_by, found.from_fork) == (pull.number, "ann", "cat", False)
    assert (found.head, found.merge_commit) == (pull.head, release(world))
    assert (found.head_branch, found.base_branch) == ("candidates/main", "releases/prod")
    assert [(r.user, r.state, r.commit) for r in found.reviews] == [
        ("bob", ReviewState.APPROVED, pull.head),
        ("eve", ReviewState.APPROVED, pull.head),
    ]
    assert found.writers == {"bob"}
    assert [(commit.author, commit.committer) for commit in found.source or ()] == [("ann", "ann"), ("cat", "cat")]
    assert abs((found.merged_at - datetime.now(timezone.utc)).total_seconds()) < 60


def test_a_proper_promotion_is_approved(world: World) -> None:
    """The way it is meant: ann commits, the pipeline opens, bob approves and merges."""
    brought = source(world, "cat")
    pull = world.pull()
    approve(world, pull)
    merge(world, pull)
    assert verdict(facts(world, pull, brought)) == ()


def test_a_direct_push_is_explained_by_nothing(world: World) -> None:
    """A commit on the release branch without a pull request."""
    pull = world.pull()
    world.origin.commit("releases/prod", {"app.yaml": "sneaked in"})
    assert facts(world, pull) is None


def test_a_push_that_merges_a_candidate_by_hand_brings_no_approval(world: World) -> None:
    """GitHub calls the pull request merged when its commits arrive; nobody has approved it all the same."""
    pull = world.pull()
    bare = world.repository.bare
    tree = bare.merged_tree(release(world), pull.head)
    made = bare.commit_tree(tree or "", [release(world), pull.head], "by hand", ("eve", "eve@example.invalid"))
    bare.update("releases/prod", made, release(world))
    assert verdict(facts(world, pull)) == ("0 of 1 approvals",)


def test_a_commit_on_top_of_a_merge_is_explained_by_nothing(world: World) -> None:
    """The approved merge below it does not cover it."""
    pull = world.pull()
    approve(world, pull)
    merge(world, pull)
    world.origin.commit("releases/prod", {"app.yaml": "and one more thing"})
    assert facts(world, pull) is None


def test_a_merge_into_another_channel_explains_nothing_here(world: World) -> None:
    """Approved for test is not approved for prod."""
    world.origin.git("update-ref", "refs/heads/releases/test", release(world))
    world.candidate()
    opened = world.send("ann", "POST", "pulls", {"head": "candidates/main", "base": "releases/test", "title": "x"})
    pull = world.repository.pulls[opened["number"]]
    approve(world, pull)
    merge(world, pull)
    made = world.origin.heads()["releases/test"]
    world.origin.git("update-ref", "refs/heads/releases/prod", made)
    assert facts(world, pull) is None


def test_an_approval_of_an_older_head_does_not_count(world: World) -> None:
    """Approve, push, merge."""
    pull = world.pull()
    approve(world, pull)
    old, new = pull.head, world.candidate(content="something else")
    assert world.forge().open_promotions().pull_requests[0].head == new
    merge(world, pull)
    assert verdict(facts(world, pull)) == (
        "0 of 1 approvals",
        f"the approval of bob does not count: it is of {old[:12]}, merged was {new[:12]}",
    )


def test_a_dismissed_approval_does_not_count(world: World) -> None:
    """Somebody took it back."""
    pull = world.pull()
    review = approve(world, pull)
    world.send("cat", "PUT", f"pulls/{pull.number}/reviews/{review}/dismissals", {"message": "too quick"})
    merge(world, pull)
    assert verdict(facts(world, pull)) == ("0 of 1 approvals",)


def test_a_reviewer_without_write_access_does_not_count(world: World) -> None:
    """Anybody can approve a pull request of a public repository."""
    pull = world.pull()
    approve(world, pull, "eve")
    merge(world, pull)
    assert verdict(facts(world, pull)) == (
        "0 of 1 approvals",
        "the approval of eve does not count: they may not write to the repository",
    )


def test_whoever_made_the_source_cannot_approve_it(world: World) -> None:
    """The pull request is the pipeline's; the change in it is bob's."""
    brought = source(world, "cat", "bob")
    pull = world.pull()
    approve(world, pull, "bob")
    merge(world, pull)
    assert verdict(facts(world, pull, brought)) == (
        "0 of 1 approvals",
        "the approval of bob does not count: they made a part of what it brings",
    )


def test_a_made_up_address_does_not_hide_who_made_the_source(world: World) -> None:
    """A commit of nobody may be of the reviewer."""
    brought = source(world, "nobody")
    pull = world.pull()
    approve(world, pull)
    merge(world, pull)
    (reason,) = verdict(facts(world, pull, brought))
    assert reason.startswith(f"commit {brought.until[:12]} of the source is by nobody the forge knows")


def test_code_owners_are_those_of_before_the_merge(world: World) -> None:
    """A candidate that brings its own CODEOWNERS cannot choose who approves it."""
    world.server.state.teams["acme", "ops"] = {"cat"}
    world.origin.commit("releases/prod", {".github/CODEOWNERS": "*.yaml @acme/ops # not @bob\n"})
    world.origin.commit("candidates/main", {".github/CODEOWNERS": "* @bob\n"}, start="releases/prod")
    pull = world.pull()
    approve(world, pull, "bob")
    before = merge(world, pull)
    found = facts(world, pull, before=before)
    assert found is not None
    assert (found.code_owners, found.teams) == ("*.yaml @acme/ops # not @bob\n", {"@acme/ops": frozenset({"cat"})})
    assert verdict(found, 1, "main.yaml") == ("no approval of @acme/ops, who own main.yaml",)


def test_a_team_nobody_may_see_stands_for_nobody(world: World) -> None:
    """Closed, not open."""
    world.origin.commit("releases/prod", {"CODEOWNERS": "* @acme/secret\n"})
    pull = world.pull()
    approve(world, pull)
    merge(world, pull)
    found = facts(world, pull)
    assert found is not None
    assert found.teams == {"@acme/secret": frozenset()}
    assert verdict(found, 1, "main.yaml") == ("no approval of @acme/secret, who own main.yaml",)


def test_code_owners_that_github_does_not_show_are_refused(world: World) -> None:
    """A file beyond a megabyte comes without content, which must not mean that nobody owns anything."""
    world.origin.commit("releases/prod", {"CODEOWNERS": "* @cat\n" + "#" * 1_000_000})
    pull = world.pull()
    merge(world, pull)
    with pytest.raises(ForgeRefused, match="CODEOWNERS is too large"):
        facts(world, pull)


def test_a_review_of_a_kind_nobody_knows_is_refused(world: World) -> None:
    """It may be one that holds the merge back."""
    pull = world.pull()
    approve(world, pull)
    merge(world, pull)
    pull.reviews[0].state = "VETOED"
    with pytest.raises(ForgeRefused, match="VETOED"):
        facts(world, pull)


def test_an_owner_by_address_is_found_among_the_reviewers(world: World) -> None:
    """By the address of their profile."""
    world.origin.commit("releases/prod", {"docs/CODEOWNERS": "* BOB@example.invalid\n"})
    pull = world.pull()
    approve(world, pull)
    merge(world, pull)
    found = facts(world, pull)
    assert found is not None
    assert found.emails == {"bob@example.invalid": "bob"}
    assert verdict(found, 1, "main.yaml") == ()


def test_a_long_source_is_read_over_all_pages(world: World) -> None:
    """The comparison shows a hundred commits a page; the one by the reviewer may be the last."""
    brought = source(world, *(["cat"] * 104), "bob")
    pull = world.pull()
    approve(world, pull)
    merge(world, pull)
    found = facts(world, pull, brought)
    assert found is not None
    assert found.source is not None
    assert len(found.source) == 105
    assert found.source[-1] == SourceCommit(brought.until, "bob", "bob")


def test_a_signature_is_what_the_forge_verified(world: World) -> None:
    """An address in a commit proves nothing; the forge says of each commit whether its signature does."""
    brought = source(world, "ann", "ann")
    world.repository.signed.add(brought.until)
    pull = world.pull()
    merge(world, pull)
    found = facts(world, pull, brought)
    assert found is not None
    assert [commit.verified for commit in found.source or ()] == [False, True]


@pytest.mark.parametrize("trailer", ["main", "../../../user", "a" * 39, "main...cat"])
def test_a_made_up_source_commit_is_refused(world: World, trailer: str) -> None:
    """It comes from a trailer, which anybody who can push can write."""
    pull = world.pull()
    approve(world, pull)
    merge(world, pull)
    with pytest.raises(ForgeRefused, match="no full commit ids"):
        facts(world, pull, SourceRange(trailer))


def test_a_squash_is_explained_as_well(world: World) -> None:
    """The one commit it makes is the merge commit of its pull request."""
    pull = world.pull()
    approve(world, pull)
    before = release(world)
    world.send("bob", "PUT", f"pulls/{pull.number}/merge", {"merge_method": "squash"})
    found = facts(world, pull, before=before)
    assert found is not None
    assert (found.number, verdict(found)) == (pull.number, ())
