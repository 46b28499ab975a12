"""What the demo asks GitHub's stand-in, and the commands for it that the guide prints."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy_pipeline.demo.github import PEOPLE, PIPELINE, REPOSITORY, GitHub
from deploy_pipeline.demo.guide import guide, review
from deploy_pipeline.demo.home import Home
from deploy_pipeline.errors import FailedError
from tests.support.github.server import GitHubServer
from tests.support.github.state import Protection
from tests.support.origin import Origin

BRANCH = "feature"
COMMENT = "<!-- deploy-pipeline:diff -->\nwhat would change"


def origin(server: GitHubServer) -> Origin:
    """The bare repository behind the stand-in."""
    owner, _, name = REPOSITORY.partition("/")
    found = server.state.find(owner, name)
    assert found is not None
    return Origin(found.bare.path, "")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitHubServer]:
    """The repository of the demo with a candidate of one branch, whose promotion needs a review."""
    with GitHubServer(tmp_path / "github") as running:
        repository = running.state.repository(REPOSITORY)
        for login, role in PEOPLE.items():
            running.state.user(login)
            repository.roles[login] = role
        repository.protections["releases/test"] = Protection((), approvals=1)
        origin(running).commit("main", {"app.yaml": "old"}, "Start")
        origin(running).commit("releases/test", {"app.yaml": "old"}, "Release")
        origin(running).commit(f"candidates/{BRANCH}", {"app.yaml": "new"}, start="releases/test")
        yield running
    assert running.violations == []


@pytest.fixture
def github(server: GitHubServer) -> GitHub:
    """The people of the demo."""
    return GitHub(server.url, server.api_url, {login: server.state.user(login) for login in PEOPLE})


def comment(server: GitHubServer, github: GitHub, who: str, number: int) -> None:
    """Let somebody say what the pipeline says."""
    github._ask("POST", f"issues/{number}/comments", {"body": COMMENT}, who=who)


def test_a_pull_request_is_opened_read_approved_and_merged(server: GitHubServer, github: GitHub) -> None:
    """Unapproved, it is not merged; comments are those of the pipeline; the merge is on the release branch."""
    number = github.open_pull("test", BRANCH, "Promote")
    head = github.pull(number)["head"]["sha"]
    comment(server, github, "demo", number)
    comment(server, github, PIPELINE, number)
    assert github.comments(number, "diff") == [COMMENT]
    assert github.comments(number, "release") == []
    assert github.merge(number, head) == ""
    github.approve(number, head)
    commit = github.merge(number, head)
    assert origin(server).heads()["releases/test"] == commit
    assert [pull["number"] for pull in github.pulls(base="releases/test", state="closed")] == [number]


def test_a_refusal_says_what_was_asked(github: GitHub) -> None:
    """A story that fails there names the request and GitHub's words."""
    with pytest.raises(FailedError, match="refused POST pulls with 422"):
        github.open_pull("test", "nobody", "Promote")


def test_there_is_no_status_and_no_deployment_before_the_pipeline_made_one(github: GitHub) -> None:
    """The story waits for them."""
    number = github.open_pull("test", BRANCH, "Promote")
    assert github.status(github.pull(number)["head"]["sha"], "test") == {}
    assert github.deployments("test") == {}


@pytest.mark.skipif(shutil.which("curl") is None, reason="the guide's commands use curl")
def test_the_guides_commands_show_approve_and_merge(server: GitHubServer, github: GitHub, tmp_path: Path) -> None:
    """They can be copied from the page as they stand."""
    number = github.open_pull("test", BRANCH, "Promote")
    comment(server, github, PIPELINE, number)
    page = guide(Home(tmp_path / "the demo"), "http://127.0.0.1:3000", github)
    show, *rest = review(github).commands
    shown = subprocess.run(["bash", "-euc", show], capture_output=True, text=True)
    assert "what would change" in shown.stdout, shown.stderr
    for command in rest:
        done = subprocess.run(["bash", "-euc", command], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert command in page
    assert github.pull(number)["merged"]
