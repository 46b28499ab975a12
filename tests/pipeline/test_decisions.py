"""What the branch sensors ask for, without Dagster and without git."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy_pipeline.forge import PullRequest
from deploy_pipeline.pipeline import tags
from deploy_pipeline.pipeline.cursors import Cursor
from deploy_pipeline.pipeline.decisions import (
    Decision,
    candidate_states,
    decide,
    diff_requests,
    matches,
    promotions,
    release_requests,
    release_states,
    render_requests,
    review_requests,
    review_states,
    source_states,
)

A, B, C = ("a" * 40, "b" * 40, "c" * 40)
START = Cursor(sensor="any", repository="r", epoch="e")

states = st.dictionaries(st.text(min_size=1, max_size=8), st.sampled_from([A, B, C]), max_size=12)


def after(*readings: dict[str, str], limit: int = 25) -> Decision:
    """The decision on the last of several readings, each tick with the cursor of the one before."""
    decision = decide(START, readings[0], limit=limit)
    for reading in readings[1:]:
        decision = decide(decision.cursor, reading, limit=limit)
    return decision


class TestDecide:
    """Which subjects get a run."""

    def test_everything_is_new_to_a_new_cursor(self) -> None:
        """A lost cursor repeats, and never forgets."""
        assert after({"x": A, "y": B}).changed == {"x": A, "y": B}

    def test_an_idle_tick_asks_for_nothing_and_keeps_the_cursor(self) -> None:
        """The same heads twice."""
        first = after({"x": A})
        assert decide(first.cursor, {"x": A}, limit=25) == Decision({}, 0, first.cursor, mark=first.cursor.mark)

    def test_only_what_moved_is_asked_for(self) -> None:
        """One of two branches moved."""
        assert after({"x": A, "y": B}, {"x": A, "y": C}).changed == {"y": C}

    def test_a_deleted_branch_leaves_the_cursor(self) -> None:
        """Should it come back at the same commit, it is new."""
        gone = after({"x": A, "y": B}, {"y": B})
        assert gone.cursor.seen == {"y": B}
        assert decide(gone.cursor, {"x": A, "y": B}, limit=25).changed == {"x": A}

    @given(states, st.integers(min_value=1, max_value=5))
    def test_batches_reach_every_subject_exactly_once(self, heads: dict[str, str], limit: int) -> None:
        """However many branches there are, ticks handle them all, none twice, and say how many wait."""
        cursor, handled = START, list[str]()
        while True:
            decision = decide(cursor, heads, limit=limit)
            handled += decision.changed
            assert len(decision.changed) <= limit
            assert decision.waiting == len(heads) - len(handled)
            if not decision.changed:
                break
            cursor = decision.cursor
        assert sorted(handled) == sorted(heads)

    @given(st.lists(states, min_size=1, max_size=6))
    def test_the_cursor_ends_as_the_last_reading(self, readings: list[dict[str, str]]) -> None:
        """Whatever happened between, what is seen is what is there."""
        assert after(*readings).cursor.seen == readings[-1]

    def test_a_repeated_tick_makes_the_same_run_keys(self) -> None:
        """Dagster died after it made the runs and before it stored the cursor."""
        cursor = after({"prod": A}).cursor
        first, again = (release_requests(decide(cursor, {"prod": B}, limit=25)) for _ in range(2))
        assert first == again

    def test_a_branch_that_goes_back_gets_a_run_key_of_its_own(self) -> None:
        """A release branch is set from B back to A: its first key for A was consumed long ago."""
        readings = [{"prod": A}, {"prod": B}, {"prod": A}]
        keys = [release_requests(after(*readings[: n + 1]))[0].run_key for n in range(3)]
        assert len(set(keys)) == 3

    def test_a_lost_cursor_does_not_repeat_run_keys(self) -> None:
        """Its keys may have been consumed while the branch was elsewhere since."""
        lost = START.model_copy(update={"epoch": "other"})
        old, new = (release_requests(decide(c, {"prod": A}, limit=25))[0].run_key for c in (START, lost))
        assert old != new


class TestSourceBranches:
    """What is rendered, and which candidates are removed."""

    def test_a_push_renders_the_branch(self) -> None:
        """The request carries branch and commit for the run list."""
        (request,) = render_requests(after(source_states({"feature/ä": A}, "*")))
        assert request.config == {"branch": "feature/ä"}
        assert request.tags == {tags.BRANCH: "feature/ä", tags.COMMIT: A}
        assert request.run_key.startswith(f"render:feature/ä:{A}:")

    def test_a_moved_release_branch_renders_every_source_again(self) -> None:
        """Candidates must have the release branches' heads as ancestors."""
        heads = {"main": A, "x": B, "releases/prod": A}
        moved = after(source_states(heads, "*"), source_states(heads | {"releases/prod": C}, "*"))
        assert sorted(moved.changed) == ["main", "x"]

    def test_a_new_candidate_renders_nothing(self) -> None:
        """Else rendering would start itself again and again."""
        heads = {"main": A}
        assert not after(source_states(heads, "*"), source_states(heads | {"candidates/main": B}, "*")).changed

    def test_a_candidate_without_source_is_removed(self) -> None:
        """By the same job, which finds the source gone."""
        heads = {"main": A, "candidates/main": B, "candidates/old": C}
        requests = render_requests(after(source_states(heads, "*")))
        assert {"branch": "old"} in [request.config for request in requests]
        assert f"remove:old:{C}:e.0" in [request.run_key for request in requests]

    def test_a_candidate_of_an_excluded_branch_stays(self) -> None:
        """Its source branch is still there, it is just not rendered any more."""
        assert source_states({"old": A, "candidates/old": B}, "main") == {}

    def test_candidates_and_releases_are_no_sources(self) -> None:
        """Whatever the patterns say."""
        assert list(source_states({"main": A, "candidates/main": A, "releases/prod": A}, "*")) == ["main"]


@pytest.mark.parametrize(
    ("branch", "patterns", "expected"),
    [
        ("main", "*", True),
        ("feature/x", "*", True),
        ("main", "", True),
        ("main", "main,feature/*", True),
        ("feature/x/y", "main, feature/*", True),
        ("other", "main,feature/*", False),
        ("dependabot/npm", "*,!dependabot/*", False),
        ("dependabot/npm", "!dependabot/*,*", False),
        ("main", "!dependabot/*", True),
        ("Main", "main", False),
    ],
)
def test_patterns_choose_source_branches(branch: str, patterns: str, expected: bool) -> None:
    """Globs separated by commas; exclusion wins."""
    assert matches(branch, patterns) is expected


class TestCandidates:
    """What is compared with the clusters."""

    def test_each_candidate_is_compared_for_each_of_its_channels(self) -> None:
        """By its commit, so that the run shows exactly what was pushed."""
        decision = after(candidate_states({"main": B, "candidates/main": A, "releases/prod": B}))
        requests = diff_requests(decision, {"candidates/main": ["prod", "test"]})
        assert [(request.partition, request.config) for request in requests] == [
            ("prod", {"candidate": A}),
            ("test", {"candidate": A}),
        ]
        assert requests[0].tags == {tags.BRANCH: "candidates/main", tags.COMMIT: A, **tags.IN_BACKGROUND}

    def test_run_keys_differ_between_channels(self) -> None:
        """Otherwise one of them would never run."""
        decision = after(candidate_states({"candidates/main": A}))
        keys = [request.run_key for request in diff_requests(decision, {"candidates/main": ["prod", "test"]})]
        assert len(set(keys)) == 2

    def test_a_candidate_without_channels_asks_for_nothing(self) -> None:
        """There is nothing it could be promoted to."""
        assert diff_requests(after(candidate_states({"candidates/main": A})), {"candidates/main": []}) == []


class TestReleases:
    """What is released."""

    def test_a_moved_release_branch_releases_that_commit(self) -> None:
        """Not whatever the head is by then."""
        moved = after(release_states({"releases/prod": A}), release_states({"releases/prod": B}))
        (request,) = release_requests(moved)
        assert (request.partition, request.config, request.tags) == ("prod", {"commit": B}, {tags.COMMIT: B})
        assert request.run_key.startswith(f"release:prod:{B}:")

    @pytest.mark.parametrize("branch", ["releases/a/b", "releases/Prod", "releases/-x", "releases/" + "x" * 41])
    def test_a_branch_that_cannot_be_a_channel_is_left_alone(self, branch: str) -> None:
        """And does not keep the others from being released."""
        assert release_states({branch: A, "releases/prod": B, "main": A}) == {"prod": B}


PULL = PullRequest(7, "candidates/main", A, "releases/prod", "ann", from_fork=False, draft=False, url="https://x/7")
DAY = 86_400.0
HEADS = {"releases/prod": B, "releases/test": C}


def reviews(
    *pulls: PullRequest,
    heads: dict[str, str] = HEADS,
    releases: dict[str, str] | None = None,
    now: float = 0.0,
    age: float = DAY,
) -> dict[str, str]:
    """The states of open pull requests."""
    return review_states(promotions(pulls), heads, releases or {"prod": "1"}, now=now, age=age)


class TestPullRequests:
    """Which open pull requests are shown their diff, and when again."""

    def test_an_open_promotion_is_reviewed_at_its_head(self) -> None:
        """The request names the pull request, and is found in the run list by number, branch and commit."""
        (request,) = review_requests(after(reviews(PULL)), promotions([PULL]))
        assert (request.partition, request.config) == ("prod", {"pull_request": 7, "head": A})
        assert request.tags == {tags.BRANCH: "candidates/main", tags.COMMIT: A, tags.PULL_REQUEST: "7"}
        assert request.run_key.startswith(f"review:#7:{A}:")

    def test_nothing_new_is_nothing_to_review(self) -> None:
        """An idle tick, some minutes later."""
        assert not after(reviews(PULL, now=1.0), reviews(PULL, now=600.0)).changed

    @pytest.mark.parametrize(
        ("what", "later"),
        [
            ("its head", reviews(replace(PULL, head=C))),
            ("its base", reviews(replace(PULL, base_branch="releases/test"))),
            ("whether it is a draft", reviews(replace(PULL, draft=True))),
            ("the release branch", reviews(PULL, heads=HEADS | {"releases/prod": C})),
            ("what was released", reviews(PULL, releases={"prod": "2"})),
            ("its age", reviews(PULL, now=DAY)),
        ],
    )
    def test_whatever_makes_the_diff_stale_asks_for_another_one(self, what: str, later: dict[str, str]) -> None:
        """Each by itself."""
        assert list(after(reviews(PULL), later).changed) == ["#7"], what

    @pytest.mark.parametrize(
        ("what", "later"),
        [
            ("another release branch", reviews(PULL, heads=HEADS | {"releases/test": A})),
            ("a release elsewhere", reviews(PULL, releases={"prod": "1", "test": "2"})),
            ("a source branch", reviews(PULL, heads=HEADS | {"main": A})),
        ],
    )
    def test_what_happens_elsewhere_asks_for_nothing(self, what: str, later: dict[str, str]) -> None:
        """The diff cannot be another one for that."""
        assert not after(reviews(PULL), later).changed, what

    @given(st.integers(1, 10_000), st.floats(0, 4e9), st.sampled_from([600.0, 3_600.0, DAY]))
    def test_a_diff_is_computed_once_in_each_age(self, number: int, now: float, age: float) -> None:
        """At any moment the next time is at most one age away, and the one after that is another one age later."""
        pull = replace(PULL, number=number)
        states = [reviews(pull, now=now + part * age / 4, age=age)[f"#{number}"] for part in range(9)]
        assert len(set(states[:5])) == 2
        assert len(set(states)) == 3

    def test_ages_do_not_end_at_the_same_moment(self) -> None:
        """A hundred pull requests that were opened together are not computed again together."""
        pulls = [replace(PULL, number=number) for number in range(1, 101)]
        before, later = reviews(*pulls, now=1e9), reviews(*pulls, now=1e9 + DAY / 24)
        assert sum(before[subject] != later[subject] for subject in before) <= 10

    @pytest.mark.parametrize("base", ["main", "releases/", "releases/a/b", "releases/Prod"])
    def test_what_merges_into_no_channel_is_left_alone(self, base: str) -> None:
        """And does not keep the others from being reviewed."""
        assert list(promotions([replace(PULL, number=8, base_branch=base), PULL])) == ["#7"]

    def test_a_merged_pull_request_leaves_the_cursor(self) -> None:
        """Should it be opened again, it is new."""
        assert after(reviews(PULL), reviews()).cursor.seen == {}
