"""The stand-in refuses as GitHub does, and notices what GitHub's description does not know."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tests.forge.conftest import HOME, World
from tests.support.github.state import Protection

Answer = tuple[int, Any]


def ask(world: World, method: str, path: str, body: dict[str, Any] | None = None, who: str = "bob") -> Answer:
    """One plain request, without the client under test."""
    headers = {"Authorization": f"token {world.tokens.get(who, who)}"} if who else {}
    address = world.server.api_url + (path if path.startswith("/") else f"{HOME}/{path}")
    answer = requests.request(method, address, json=body, headers=headers, timeout=20, allow_redirects=False)
    return answer.status_code, answer.json() if answer.content else None


def said(answer: Answer) -> tuple[int, str]:
    """Status, message and the messages of the single errors."""
    status, body = answer
    errors = [
        e if isinstance(e, str) else e.get("message") or f"{e.get('field')} {e['code']}" for e in body.get("errors", [])
    ]
    return status, ": ".join([body["message"], *errors])


def test_reading_needs_a_token_that_is_right_and_rights(world: World) -> None:
    """What one may not see is not there."""
    assert said(ask(world, "GET", HOME, who="ghp_wrong")) == (401, "Bad credentials")
    assert said(ask(world, "GET", HOME, who="")) == (404, "Not Found")
    del world.repository.roles["eve"]
    assert said(ask(world, "GET", HOME, who="eve")) == (404, "Not Found")


def test_pull_requests_that_cannot_be(world: World) -> None:
    """Twice the same, without difference, from nowhere."""
    pull = world.pull()
    body = {"head": pull.head_branch, "base": "releases/prod", "title": "x"}
    assert said(ask(world, "POST", "pulls", body)) == (
        422,
        "Validation Failed: A pull request already exists for acme:candidates/main.",
    )
    same = {**body, "head": "releases/prod"}
    assert said(ask(world, "POST", "pulls", same)) == (
        422,
        "Validation Failed: No commits between releases/prod and releases/prod",
    )
    assert said(ask(world, "POST", "pulls", {**body, "head": "nowhere"})) == (422, "Validation Failed: head invalid")


def test_reviews_that_cannot_be(world: World) -> None:
    """Nobody approves their own."""
    pull = world.pull(by="bob")
    found = said(ask(world, "POST", f"pulls/{pull.number}/reviews", {"event": "APPROVE"}))
    assert found == (422, "Unprocessable Entity: Can not approve your own pull request")


def test_references_that_cannot_be(world: World) -> None:
    """Created twice, deleted twice, moved aside without force."""
    head, other = world.candidate(), world.origin.commit("main", {"x": "y"})
    body = {"ref": "refs/heads/candidates/main", "sha": head}
    assert said(ask(world, "POST", "git/refs", body)) == (422, "Reference already exists")
    assert said(ask(world, "DELETE", "git/refs/heads/none")) == (422, "Reference does not exist")
    moved = ask(world, "PATCH", "git/refs/heads/candidates/main", {"sha": other})
    assert said(moved) == (422, "Update is not a fast forward")
    assert ask(world, "PATCH", "git/refs/heads/candidates/main", {"sha": other, "force": True})[0] == 200


def test_texts_that_are_too_long(world: World) -> None:
    """One character beyond the limit."""
    pull = world.pull()
    status = {"state": "success", "description": "x" * 141}
    assert said(ask(world, "POST", f"statuses/{pull.head}", status)) == (
        422,
        "Validation Failed: description is too long (maximum is 140 characters)",
    )
    path = f"issues/{pull.number}/comments"
    assert ask(world, "POST", path, {"body": "x" * 65_536})[0] == 201
    assert said(ask(world, "POST", path, {"body": "x" * 65_537})) == (
        422,
        "Validation Failed: Body is too long (maximum is 65536 characters)",
    )


def test_merges_that_cannot_be(world: World) -> None:
    """Of another head, in conflict, held back by protection, or twice."""
    pull = world.pull()
    path = f"pulls/{pull.number}/merge"
    stale = ask(world, "PUT", path, {"sha": "0" * 40})
    assert said(stale) == (409, "Head branch was modified. Review and try the merge again.")
    world.repository.protections["releases/prod"] = Protection(contexts=("deploy-pipeline/prod",))
    assert said(ask(world, "PUT", path)) == (405, 'Required status check "deploy-pipeline/prod" is expected.')
    ask(world, "POST", f"statuses/{pull.head}", {"state": "success", "context": "deploy-pipeline/prod"})
    assert ask(world, "PUT", path)[0] == 200
    assert said(ask(world, "PUT", path)) == (405, "Pull Request is not mergeable")
    world.repository.protections.clear()
    other = world.pull("other")
    world.origin.commit("releases/prod", {"other.yaml": "in the way"})
    assert said(ask(world, "PUT", f"pulls/{other.number}/merge")) == (405, "Pull Request is not mergeable")


def test_whether_a_merge_would_work_is_not_known_at_first(world: World) -> None:
    """GitHub works it out in the background, anew after each push to the base."""
    pull = world.pull()
    ask(world, "GET", f"pulls/{pull.number}")
    assert ask(world, "GET", f"pulls/{pull.number}")[1]["mergeable"] is True
    world.origin.commit("releases/prod", {"main.yaml": "in the way"})
    looks = [ask(world, "GET", f"pulls/{pull.number}")[1]["mergeable"] for _ in range(2)]
    assert looks == [None, False]


def test_a_merge_makes_the_commit_that_git_would(world: World) -> None:
    """With both parents, on the branch, in a real repository."""
    pull = world.pull()
    before = world.origin.heads()["releases/prod"]
    sha = ask(world, "PUT", f"pulls/{pull.number}/merge")[1]["sha"]
    commit = world.repository.bare.commit(sha)
    assert commit.parents == (before, pull.head)
    assert world.origin.heads()["releases/prod"] == sha
    assert world.origin.show(sha, "main.yaml") == "new"


def test_a_branch_without_protection(world: World) -> None:
    """Has its own words."""
    path = "branches/releases%2Fprod/protection"
    assert said(ask(world, "GET", path)) == (404, "Branch not protected")


def test_lists_come_in_pages_with_links_by_number(world: World) -> None:
    """Thirty a page unless asked otherwise; the links lead by the number of the repository, and work."""
    world.many_pulls(35)
    headers = {"Authorization": f"token {world.tokens['bob']}"}
    first = requests.get(f"{world.server.api_url}{HOME}/pulls", headers=headers, timeout=20)
    assert len(first.json()) == 30
    following = first.links["next"]["url"]
    assert f"/api/v3/repositories/{world.repository.id}/pulls?page=2" in following
    assert len(requests.get(following, headers=headers, timeout=20).json()) == 5


def test_a_deployment_without_care_is_refused(world: World) -> None:
    """GitHub would merge the default branch, and wait for every status."""
    head = world.candidate()
    ask(world, "POST", f"statuses/{head}", {"state": "pending"})
    status, body = ask(world, "POST", "deployments", {"ref": head, "auto_merge": False})
    assert (status, body["message"]) == (409, "Conflict: Commit status checks failed for the ref")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "pulls?sort=newest", None),
        ("GET", "pulls?colour=red", None),
        ("GET", "actions/runs", None),
        ("POST", "pulls", {"head": "x"}),
        ("POST", f"statuses/{'a' * 40}", {"state": "great"}),
        ("POST", "deployments", {"ref": "main", "auto_merge": "no"}),
        ("POST", "issues/1/comments", None),
        ("PATCH", "pulls/1", {"reviewers": []}),
    ],
    ids=lambda part: json.dumps(part) if isinstance(part, dict) else str(part),
)
def test_what_github_does_not_know_is_noticed(
    world: World, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """A client that sends it fails its test, whatever it makes of the answer."""
    world.pull()
    assert world.server.violations == []
    ask(world, method, path, body)
    assert world.server.violations
    world.server.violations.clear()


def test_an_answer_beyond_the_description_is_noticed(world: World) -> None:
    """The stand-in is held to it as well."""
    pull = world.pull()
    pull.title = None  # type: ignore[assignment]
    ask(world, "GET", f"pulls/{pull.number}")
    assert world.server.violations
    assert "title" in world.server.violations[0]
    world.server.violations.clear()
