"""What is said on GitHub is said once, whatever becomes of the answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from deploy_pipeline.errors import ForgeRefused, ForgeUnreachable
from deploy_pipeline.forge import CommitStatus, DeploymentReport, DeploymentState, Forge, StatusState
from tests.forge.conftest import World
from tests.support.github.faults import Fault, Kind

FAULTS = {
    "502": Fault(Kind.SERVER_ERROR),
    "502 after": Fault(Kind.SERVER_ERROR_AFTER),
    "reset": Fault(Kind.RESET),
    "reset after": Fault(Kind.RESET_AFTER),
    "page of a proxy": Fault(Kind.GARBAGE),
    "timeout": Fault(Kind.SLOW, seconds=1.5),
    "primary limit": Fault(Kind.PRIMARY_LIMIT, seconds=0),
    "primary limit by 429": Fault(Kind.PRIMARY_LIMIT, seconds=0, status=429),
    "secondary limit": Fault(Kind.SECONDARY_LIMIT, seconds=1),
    "secondary limit without a word": Fault(Kind.SECONDARY_LIMIT),
}


def comment(forge: Forge, number: int, head: str) -> None:
    """Publish a diff comment."""
    forge.publish_comment(number, "diff", "what would happen")


def status(forge: Forge, number: int, head: str) -> None:
    """Publish a commit status."""
    forge.publish_status(CommitStatus(head, "prod", StatusState.SUCCESS, "2 created", "https://dagster.invalid/1"))


def deployment(forge: Forge, number: int, head: str) -> None:
    """Publish a deployment that begins."""
    report = DeploymentReport(
        "prod", head, "attempt-1", DeploymentState.IN_PROGRESS, "begun", "https://dagster.invalid/1"
    )
    forge.publish_deployment(report)


def promotion(forge: Forge, number: int, head: str) -> None:
    """Open the pull request of another candidate."""
    assert forge.open_promotion("candidates/other", "releases/prod", "Promote other", "body")


Action = Callable[[Forge, int, str], None]


@pytest.mark.parametrize("action", [comment, status, deployment, promotion])
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_nothing_is_doubled_when_an_answer_is_lost(
    world: World, waits: list[float], action: Action, fault: str
) -> None:
    """The write that went wrong is repeated only after a look at what came of it; calling again changes nothing."""
    pull = world.pull()
    world.candidate("other")
    wrong = FAULTS[fault]
    world.server.faults.add(Fault(wrong.kind, "POST", seconds=wrong.seconds, status=wrong.status))
    forge = world.forge(timeout=1, patience=90)
    action(forge, pull.number, pull.head)
    action(forge, pull.number, pull.head)
    found = world.repository
    counts = [len(found.comments), len(found.statuses), len(found.deployments), len(found.pulls) - 1]
    assert counts == [int(action is each) for each in (comment, status, deployment, promotion)]
    assert [len(made.statuses) for made in found.deployments.values()] == [1] * counts[2]


@pytest.mark.parametrize("action", [comment, status, deployment, promotion])
def test_what_was_delivered_twice_says_one_thing(world: World, action: Action) -> None:
    """A proxy repeats the write; the next call leaves one comment, one pull request, and deployments of one state."""
    pull = world.pull()
    world.candidate("other")
    world.server.faults.add(Fault(Kind.TWICE, "POST"))
    forge = world.forge()
    action(forge, pull.number, pull.head)
    action(forge, pull.number, pull.head)
    found = world.repository
    assert len(found.comments) == int(action is comment)
    assert len(found.pulls) - 1 == int(action is promotion)
    assert {status.request["state"] for status in found.statuses} == ({"success"} if action is status else set())
    states = [made.statuses[-1].request["state"] for made in found.deployments.values()]
    assert set(states) == ({"in_progress"} if action is deployment else set())


def test_a_comment_is_updated_in_place_over_all_pages(world: World) -> None:
    """Ours is found after a hundred others, and changed only if it says something else."""
    pull, forge = world.pull(), world.forge()
    for number in range(120):
        world.send("bob", "POST", f"issues/{pull.number}/comments", {"body": f"talk {number}"})
    forge.publish_comment(pull.number, "diff", "first")
    forge.publish_comment(pull.number, "result", "another kind")
    world.requests()
    forge.publish_comment(pull.number, "diff", "second")
    assert [method for method, _, _ in world.requests()] == ["GET", "GET", "PATCH"]
    forge.publish_comment(pull.number, "diff", "second")
    assert [method for method, _, _ in world.requests()] == ["GET", "GET"]
    ours = [made.body for made in world.repository.comments.values() if made.user == "ann"]
    assert ours == ["<!-- deploy-pipeline:diff -->\nsecond", "<!-- deploy-pipeline:result -->\nanother kind"]


def test_a_comment_says_since_when_it_is_shown(world: World) -> None:
    """By the forge's clock; saying the same again does not make it younger."""
    pull, forge, state = world.pull(), world.forge(), world.server.state
    first = forge.publish_comment(pull.number, "diff", "one")
    state.ahead = timedelta(hours=1)
    assert forge.publish_comment(pull.number, "diff", "one") == first
    later = forge.publish_comment(pull.number, "diff", "two")
    assert first is not None
    assert later is not None
    assert timedelta(minutes=59) < later - first < timedelta(minutes=61)


def test_a_strangers_comment_with_our_marker_is_not_ours(world: World) -> None:
    """Neither is it edited, nor does it keep ours from being written."""
    pull = world.pull()
    forged = "<!-- deploy-pipeline:diff -->\nNothing changes, just merge it."
    world.send("eve", "POST", f"issues/{pull.number}/comments", {"body": forged})
    world.forge().publish_comment(pull.number, "diff", "what would happen")
    bodies = {made.user: made.body for made in world.repository.comments.values()}
    assert bodies == {"eve": forged, "ann": "<!-- deploy-pipeline:diff -->\nwhat would happen"}


def test_a_comment_that_only_quotes_our_marker_is_not_overwritten(world: World) -> None:
    """The owner of the token may talk about it, too."""
    pull = world.pull()
    world.send("ann", "POST", f"issues/{pull.number}/comments", {"body": "see `<!-- deploy-pipeline:diff -->`"})
    world.forge().publish_comment(pull.number, "diff", "what would happen")
    assert len(world.repository.comments) == 2


def test_comments_that_two_deployers_wrote_at_once_become_one(world: World) -> None:
    """The older one stays, so that links to it do."""
    pull = world.pull()
    for text in ("one", "two"):
        world.send("ann", "POST", f"issues/{pull.number}/comments", {"body": f"<!-- deploy-pipeline:diff -->\n{text}"})
    oldest = min(world.repository.comments)
    world.forge().publish_comment(pull.number, "diff", "three")
    assert [(made.id, made.body) for made in world.repository.comments.values()] == [
        (oldest, "<!-- deploy-pipeline:diff -->\nthree")
    ]


def test_a_status_is_set_anew_when_it_says_something_else(world: World) -> None:
    """The latest one of the channel's context counts; a long description is cut to what GitHub takes."""
    pull, forge = world.pull(), world.forge()
    for state, text in (
        (StatusState.PENDING, "computing"),
        (StatusState.FAILURE, "x" * 200),
        (StatusState.PENDING, "computing"),
    ):
        forge.publish_status(CommitStatus(pull.head, "prod", state, text))
    found = [(made.request["context"], made.request["state"]) for made in world.repository.statuses]
    assert found == [("deploy-pipeline/prod", state) for state in ("pending", "failure", "pending")]
    assert world.repository.statuses[1].request["description"] == "x" * 139 + "…"


def test_channels_have_statuses_of_their_own(world: World) -> None:
    """What was said for one channel does not count for another."""
    pull, forge = world.pull(), world.forge()
    forge.publish_status(CommitStatus(pull.head, "prod", StatusState.SUCCESS, "ok"))
    forge.publish_status(CommitStatus(pull.head, "test", StatusState.SUCCESS, "ok"))
    assert [made.request["context"] for made in world.repository.statuses] == [
        "deploy-pipeline/prod",
        "deploy-pipeline/test",
    ]


def test_a_deployment_goes_from_begun_to_done_and_replaces_the_one_before(world: World) -> None:
    """The repository's page shows one active deployment of the channel."""
    pull, forge = world.pull(), world.forge()
    for attempt in ("one", "two"):
        for state in (DeploymentState.IN_PROGRESS, DeploymentState.SUCCESS):
            forge.publish_deployment(
                DeploymentReport("prod", pull.head, attempt, state, "text", "https://dagster.invalid/")
            )
    first, second = world.repository.deployments.values()
    assert [made.request["state"] for made in first.statuses] == ["in_progress", "success", "inactive"]
    assert [made.request["state"] for made in second.statuses] == ["in_progress", "success"]
    assert second.request["environment"] == "prod"


def test_a_deployment_asks_for_no_merge_and_no_statuses(world: World) -> None:
    """Else GitHub would refuse a commit whose status failed, or that lacks something of the default branch."""
    pull, forge = world.pull(), world.forge()
    world.origin.commit("main", {"app.yaml": "conflict"})
    forge.publish_status(CommitStatus(pull.head, "prod", StatusState.FAILURE, "no"))
    forge.publish_deployment(DeploymentReport("prod", pull.head, "one", DeploymentState.FAILURE))
    assert len(world.repository.deployments) == 1


def test_our_promotion_is_refreshed_and_somebody_elses_left_alone(world: World) -> None:
    """Title and body that a person wrote are theirs."""
    world.candidate("ours")
    forge = world.forge()
    opened = forge.open_promotion("candidates/ours", "releases/prod", "old", "old")
    again = forge.open_promotion("candidates/ours", "releases/prod", "new", "new")
    theirs = world.pull("theirs", by="bob")
    forge.open_promotion("candidates/theirs", "releases/prod", "new", "new")
    assert opened is not None
    assert opened == again
    assert (world.repository.pulls[opened.number].title, theirs.title) == ("new", "theirs")


def test_a_candidate_that_is_released_needs_no_promotion(world: World) -> None:
    """GitHub has nothing to merge then, which is no fault."""
    world.origin.git("update-ref", "refs/heads/candidates/same", world.origin.heads()["releases/prod"])
    assert world.forge().open_promotion("candidates/same", "releases/prod", "title", "body") is None


def test_a_missing_branch_is_a_refusal_that_says_so(world: World) -> None:
    """What GitHub says about a field is passed on."""
    with pytest.raises(ForgeRefused, match="PullRequest head invalid"):
        world.forge().open_promotion("candidates/none", "releases/prod", "title", "body")


def test_a_forge_that_stays_down_is_unreachable_and_nothing_is_written(world: World) -> None:
    """After some tries the caller learns that it may try again later."""
    pull = world.pull()
    world.server.faults.add(Fault(Kind.SERVER_ERROR, "POST", times=99))
    with pytest.raises(ForgeUnreachable, match="502 Server Error"):
        comment(world.forge(), pull.number, pull.head)
    assert world.repository.comments == {}
