"""One request: what is repeated, how long is waited, and what people are told."""

from __future__ import annotations

import logging
import threading

import pytest

from deploy_pipeline.errors import ForgeRefused, ForgeUnreachable
from deploy_pipeline.forge.github.credentials import TokenCredentials
from tests.forge.conftest import HOME, World
from tests.support.github.faults import Fault, Kind
from tests.support.github.state import Comment


@pytest.mark.parametrize("kind", [Kind.SERVER_ERROR, Kind.RESET, Kind.RESET_AFTER, Kind.GARBAGE])
def test_reading_is_repeated_with_growing_pauses(world: World, waits: list[float], kind: Kind) -> None:
    """Three failures in passing are not worth a failed run."""
    world.server.faults.add(Fault(kind, "GET", times=3))
    assert world.connection(pause=1).get(HOME)["full_name"] == "acme/shop"
    assert waits == [1, 2, 4]


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (Fault(Kind.SECONDARY_LIMIT, seconds=7), 7),
        (Fault(Kind.SECONDARY_LIMIT, seconds=7, status=429), 7),
        (Fault(Kind.SECONDARY_LIMIT), 60),
        (Fault(Kind.PRIMARY_LIMIT, seconds=20), 20),
    ],
    ids=["retry after", "retry after by 429", "nothing said", "reset"],
)
def test_a_rate_limit_is_waited_for_as_long_as_github_asks(
    world: World, waits: list[float], fault: Fault, seconds: float
) -> None:
    """Neither shorter, which would make it worse, nor longer."""
    world.server.faults.add(Fault(fault.kind, seconds=fault.seconds, status=fault.status))
    assert world.connection(patience=60).get(HOME)["full_name"] == "acme/shop"
    assert waits == [pytest.approx(seconds, abs=2)]


def test_a_limit_that_lasts_longer_than_our_patience_ends_the_try_at_once(world: World, waits: list[float]) -> None:
    """A sensor must not sleep for an hour; the run is tried again later."""
    world.server.faults.add(Fault(Kind.PRIMARY_LIMIT, seconds=3000))
    with pytest.raises(ForgeUnreachable, match=r"rate limit exceeded.* asks to wait \d{4} s"):
        world.connection(patience=60).get(HOME)
    assert waits == []


def test_the_hours_limit_of_the_token_is_understood(world: World) -> None:
    """The stand-in counts, as GitHub does."""
    world.server.state.hour_limit = 1
    connection = world.connection()
    connection.get(HOME)
    with pytest.raises(ForgeUnreachable, match="API rate limit exceeded"):
        connection.get(HOME)


def test_an_answer_that_takes_too_long_is_given_up(world: World) -> None:
    """Each request has a limit of time."""
    world.server.faults.add(Fault(Kind.SLOW, seconds=1.5, times=4))
    with pytest.raises(ForgeUnreachable, match="Timeout"):
        world.connection(timeout=1).get(HOME)


def test_nobody_at_the_address_is_unreachable(world: World) -> None:
    """A wrong port says what it is, without the library's pages of text."""
    connection = world.connection()
    connection.api_url = "http://127.0.0.1:9/api/v3"
    with pytest.raises(ForgeUnreachable, match=r"^GitHub does not answer for acme/shop: ConnectionError"):
        connection.get(HOME)


def test_a_wrong_token_is_refused_with_the_next_step_and_without_the_token(world: World) -> None:
    """What is shown to people must not help others."""
    with pytest.raises(ForgeRefused, match="401 Bad credentials") as refusal:
        world.connection(TokenCredentials("ghp_wrongwrongwrong")).get(HOME)
    assert "DEPLOY_GITHUB_TOKEN" in refusal.value.hint
    assert "ghp_wrongwrongwrong" not in str(refusal.value)


def test_a_redirect_to_another_host_is_not_followed(world: World) -> None:
    """The token would go along."""
    world.server.faults.add(Fault(Kind.ELSEWHERE))
    with pytest.raises(ForgeRefused, match="is not where the API is") as refusal:
        world.connection().get(HOME)
    assert "elsewhere.invalid" in refusal.value.details[0]


def test_rights_that_are_missing_are_a_refusal(world: World) -> None:
    """Somebody who may only read cannot set a status."""
    connection, commit = world.connection(TokenCredentials(world.tokens["eve"])), world.candidate()
    with pytest.raises(ForgeRefused, match="403 Resource not accessible"):
        connection.patiently(lambda: connection.write("POST", f"statuses/{commit}", {"state": "success"}))


def test_what_is_not_there_is_none_where_that_is_an_answer(world: World) -> None:
    """A missing file is none; asked for as a document it is a refusal."""
    assert world.connection().find("contents/CODEOWNERS") is None
    with pytest.raises(ForgeRefused, match="404 Not Found"):
        world.connection().get("contents/CODEOWNERS")


def test_a_rate_limit_is_not_taken_for_absence(world: World) -> None:
    """Both are a 403 at times; one of them says nothing about the file."""
    world.origin.commit("main", {"CODEOWNERS": "* @bob"})
    world.server.faults.add(Fault(Kind.SECONDARY_LIMIT, seconds=0))
    assert world.connection().find("contents/CODEOWNERS") is not None


def test_every_page_of_a_list_is_read(world: World) -> None:
    """A list of 250 takes three requests."""
    pull, when = world.pull(), "2026-01-01T00:00:00Z"
    for number in range(250):
        world.repository.comments[10_000 + number] = Comment(10_000 + number, pull.number, "bob", "talk", when, when)
    world.requests()
    assert len(list(world.connection().items(f"issues/{pull.number}/comments"))) == 250
    assert len(world.requests()) == 3


def test_threads_share_a_connection_without_mixing_answers(world: World) -> None:
    """Apps are worked on at once; each thread gets what it asked for."""
    commits = [world.origin.commit("main", {"n": str(number)}) for number in range(8)]
    connection, got = world.connection(), dict[str, str]()

    def read(commit: str) -> None:
        for _ in range(5):
            got[commit] = connection.get(f"commits/{commit}")["sha"]

    threads = [threading.Thread(target=read, args=(commit,)) for commit in commits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {commit: commit for commit in commits}


def test_no_token_is_logged_even_at_the_finest_level(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """PyGithub would write headers and bodies."""
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "github.Requester"):
        world.connection().get(HOME)
    assert world.tokens["ann"] not in caplog.text
    assert not [record for record in caplog.records if record.name == "github.Requester"]
