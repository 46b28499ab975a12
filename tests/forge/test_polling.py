"""Reading open promotions: everything is found, and looking again costs next to nothing."""

from __future__ import annotations

from tests.forge.conftest import World


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
    """An idle tick reads nothing: one 304, and the pull requests come from the cursor."""
    for number in range(100):
        world.pull(f"branch-{number}")
    forge = world.forge()
    first = forge.open_promotions()
    world.requests()
    used = sum(world.server.used.values())
    again = world.forge().open_promotions(first.cursor)
    assert again == first
    assert len(again.pull_requests) == 100
    assert (
        world.requests() == [("GET", "pulls", 304), ("GET", "pulls", 200)][: 1 if not first.cursor.count("true") else 2]
    )
    assert sum(world.server.used.values()) == used
