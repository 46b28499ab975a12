"""Reading open promotions: everything is found, and looking again costs next to nothing."""

from __future__ import annotations

import json

import pytest

from deploy_pipeline.errors import ForgeRefused, ForgeUnreachable
from tests.forge.conftest import World
from tests.support.github.faults import Fault, Kind


def test_open_promotions_are_found_with_head_author_and_branches(world: World) -> None:
    """What the sensor needs stands in the list itself."""
    pull = world.pull()
    world.origin.commit("feature", {"x": "1"})
    world.send("bob", "POST", "pulls", {"head": "feature", "base": "main", "title": "no promotion"})
    (found,) = world.forge().open_promotions().pull_requests
    assert (found.number, found.head, found.author) == (pull.number, pull.head, "ann")
    assert (found.head_branch, found.base_branch, found.from_fork) == ("candidates/main", "releases/prod", False)
    assert found.url == f"{world.server.url}/acme/shop/pull/{pull.number}"


def test_a_hundred_open_pull_requests_cost_one_request_that_does_not_count(world: World) -> None:
    """An idle tick reads nothing: one 304, and the pull requests come from a cursor of some kilobytes."""
    world.many_pulls(100)
    first = world.forge().open_promotions()
    world.requests()
    used = sum(world.server.used.values())
    again = world.forge().open_promotions(first.cursor)
    assert again == first
    assert len(again.pull_requests) == 100
    assert world.requests() == [("GET", "pulls", 304)]
    assert sum(world.server.used.values()) == used
    assert len(first.cursor) < 15_000


def test_only_the_page_that_changed_is_read_again(world: World) -> None:
    """Of 110 pull requests the second page holds the one that got a new commit."""
    world.many_pulls(110)
    forge = world.forge()
    before = forge.open_promotions()
    head = world.origin.commit("candidates/branch-105", {"app.yaml": "newer"})
    world.requests()
    after = forge.open_promotions(before.cursor)
    assert world.requests() == [("GET", "pulls", 304), ("GET", "pulls", 200)]
    assert {p.head for p in after.pull_requests} - {p.head for p in before.pull_requests} == {head}
    assert len(after.pull_requests) == 110


def test_a_closed_pull_request_is_gone(world: World) -> None:
    """What is no longer open is not in the next answer."""
    forge, pull = world.forge(), world.pull()
    before = forge.open_promotions()
    world.send("bob", "PATCH", f"pulls/{pull.number}", {"state": "closed"})
    assert len(before.pull_requests) == 1
    assert forge.open_promotions(before.cursor).pull_requests == ()


@pytest.mark.parametrize(
    "cursor", ["", "nonsense", "[]", "[1,[[1]]]", '[0,[["etag",false,[]]]]', "[1,[[null,true,[[1]]]]]"]
)
def test_a_broken_cursor_costs_a_request_and_nothing_else(world: World, cursor: str) -> None:
    """A cursor may come from another version, or from nowhere."""
    world.pull()
    assert len(world.forge().open_promotions(cursor).pull_requests) == 1


def test_a_failed_read_is_no_empty_read(world: World) -> None:
    """A forge that does not answer has closed nothing."""
    world.pull()
    cursor = world.forge().open_promotions().cursor
    world.server.faults.add(Fault(Kind.RESET, "GET", times=10))
    with pytest.raises(ForgeUnreachable, match="GitHub does not answer for acme/shop"):
        world.forge().open_promotions(cursor)


def test_a_promotion_from_a_fork_is_told_from_others(world: World) -> None:
    """Anybody can call a branch of their fork a candidate."""
    fork = world.server.state.repository("eve/shop", private=False, fork_of=world.repository)
    world.candidate("stolen")
    fork.bare.run("fetch", "-q", str(world.repository.bare.path), "+refs/heads/*:refs/heads/*")
    body = {"head": "eve:candidates/stolen", "base": "releases/prod", "title": "mine"}
    world.send("eve", "POST", "pulls", body)
    (found,) = world.forge().open_promotions().pull_requests
    assert (found.from_fork, found.author) == (True, "eve")
    del world.server.state.repositories[fork.id]
    assert world.forge().open_promotions().pull_requests[0].from_fork


def test_a_renamed_repository_is_noticed_by_reading_and_by_writing(world: World) -> None:
    """GitHub redirects both, and what comes of it is not what was asked for."""
    pull = world.pull()
    world.repository.former_names.append("acme/shop")
    world.repository.name = "store"
    with pytest.raises(ForgeRefused, match="acme/shop is called acme/store on GitHub"):
        world.forge().open_promotions()
    with pytest.raises(ForgeRefused, match="acme/shop has moved on GitHub"):
        world.connection().patiently(
            lambda: world.connection().write("POST", f"issues/{pull.number}/comments", {"body": "hello"})
        )
    assert world.repository.comments == {}


def test_the_cursor_is_json_without_anything_secret(world: World) -> None:
    """Cursors are shown in the UI."""
    world.pull()
    cursor = world.forge().open_promotions().cursor
    assert json.loads(cursor)[0] == 1
    assert world.tokens["ann"] not in cursor
