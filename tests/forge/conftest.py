"""A stand-in for GitHub with one repository, the people around it, and the forge under test that talks to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy_pipeline.forge.github import GitHubForge
from deploy_pipeline.forge.github.connection import Connection
from deploy_pipeline.forge.github.credentials import Credentials, TokenCredentials
from tests.support.github.rules import open_pull
from tests.support.github.server import GitHubServer
from tests.support.github.state import Pull, Repository
from tests.support.origin import Origin

OWNER, NAME = "acme", "shop"
HOME = f"/repos/{OWNER}/{NAME}"


@dataclass(frozen=True)
class World:
    """The repository ``acme/shop``; the pipeline is ``ann``, ``bob`` and ``cat`` may write, ``eve`` may read."""

    server: GitHubServer
    repository: Repository
    origin: Origin
    tokens: dict[str, str]

    def connection(self, credentials: Credentials | None = None, **limits: float) -> Connection:
        """A connection that does not pause between writes, so that tests are quick."""
        given = {"timeout": 15, "patience": 5.0, "pause": 0.0, **limits}
        who = credentials or TokenCredentials(self.tokens["ann"])
        return Connection(self.server.api_url, f"{OWNER}/{NAME}", who, **given)  # type: ignore[arg-type]

    def forge(self, credentials: Credentials | None = None, **limits: float) -> GitHubForge:
        """The forge under test."""
        return GitHubForge(self.connection(credentials, **limits))

    def candidate(self, name: str = "main", content: str = "new") -> str:
        """Commit something on a candidate branch that begins at the release branch."""
        return self.origin.commit(f"candidates/{name}", {f"{name}.yaml": content}, start="releases/prod")

    def pull(self, name: str = "main", by: str = "ann") -> Pull:
        """Open the promotion of a candidate through the API, as ``by``."""
        self.candidate(name)
        opened = self.send(by, "POST", "pulls", {"head": f"candidates/{name}", "base": "releases/prod", "title": name})
        return self.repository.pulls[opened["number"]]

    def many_pulls(self, number: int) -> None:
        """Open that many promotions of one commit."""
        commit = self.candidate("branch-0")
        branches = [f"candidates/branch-{count}" for count in range(number)]
        self.origin.git(
            "update-ref", "--stdin", stdin="".join(f"update refs/heads/{b} {commit}\n" for b in branches).encode()
        )
        with self.server.state.lock:
            for branch in branches:
                open_pull(self.server.state, self.repository, "ann", {"head": branch, "base": "releases/prod"})

    def send(self, who: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A request by one of the people, through the API like any other."""
        connection = self.connection(TokenCredentials(self.tokens[who]))
        answer: dict[str, Any] = connection.patiently(lambda: connection.write(method, path, body))
        return answer

    def requests(self) -> list[tuple[str, str, int]]:
        """Method, path and status of what was asked since the last time."""
        seen = [(r.method, r.path.removeprefix(f"/repos/{OWNER}/{NAME}/"), r.status) for r in self.server.requests]
        self.server.requests.clear()
        return seen


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitHubServer]:
    """The stand-in; a test fails if anything went over the wire that GitHub's description does not know."""
    with GitHubServer(tmp_path / "github") as running:
        yield running
    assert running.violations == []


@pytest.fixture
def world(server: GitHubServer) -> World:
    """The repository, its people, a release branch and nothing else."""
    state = server.state
    repository = state.repository(f"{OWNER}/{NAME}")
    tokens = {login: state.user(login) for login in ("ann", "bob", "cat", "eve")}
    repository.roles |= {"ann": "write", "bob": "write", "cat": "maintain", "eve": "read"}
    origin = Origin(repository.bare.path, f"{server.url}/{OWNER}/{NAME}.git")
    origin.commit("main", {"app.yaml": "old"}, "Start", email=state.accounts["ann"].email)
    origin.commit("releases/prod", {"app.yaml": "old"}, "Release")
    return World(server, repository, origin, tokens)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have waited, without waiting."""
    slept: list[float] = []
    clock = SimpleNamespace(sleep=slept.append, time=time.time)
    monkeypatch.setattr("deploy_pipeline.forge.github.connection.time", clock)
    return slept
