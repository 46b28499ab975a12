"""GitHub's documents in our words: the parts that several requests have in common."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from deploy_pipeline.errors import ForgeRefused
from deploy_pipeline.forge.forge import PullRequest
from deploy_pipeline.forge.github.connection import Connection


def pull_request(connection: Connection, document: Mapping[str, Any]) -> PullRequest:
    """A pull request of GitHub's document. ForgeRefused if it is of another repository: the name has moved."""
    full_name = document["base"]["repo"]["full_name"]
    if full_name.lower() != connection.repository.lower():
        raise ForgeRefused(
            f"{connection.repository} is called {full_name} on GitHub",
            hint=f"set DEPLOY_GITHUB_REPOSITORY to {full_name}",
        )
    return PullRequest(
        number=document["number"],
        head_branch=document["head"]["ref"],
        head=document["head"]["sha"],
        base_branch=document["base"]["ref"],
        author=login_of(document["user"]),
        from_fork=from_fork(document),
        draft=bool(document.get("draft")),
        url=pull_url(connection, document["number"]),
    )


def from_fork(document: Mapping[str, Any]) -> bool:
    """Whether the head lies in another repository, or in one that is gone."""
    repository = document["head"]["repo"]
    return repository is None or repository["id"] != document["base"]["repo"]["id"]


def login_of(user: Mapping[str, Any] | None) -> str:
    """The login of an account; empty if GitHub knows none."""
    return str(user["login"]) if user else ""


def time_of(text: str) -> datetime:
    """A time as GitHub writes it."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def pull_url(connection: Connection, number: int) -> str:
    """The page of a pull request."""
    return f"{connection.web_url}/{connection.repository}/pull/{number}"
