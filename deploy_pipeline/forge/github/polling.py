"""Which promotions are open: the list of pull requests, read with conditional requests.

A page that is still as it was costs one request that GitHub does not count, and its pull requests stand in the cursor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy_pipeline.errors import ForgeRefused
from deploy_pipeline.forge.forge import OpenPromotions, PullRequest
from deploy_pipeline.forge.github.connection import PAGE, Connection, Parameters
from deploy_pipeline.repository import CANDIDATES, RELEASES

_VERSION = 1
_ROW = ("number", "head_branch", "head", "base_branch", "author", "from_fork", "draft")
# Oldest first: what is opened meanwhile comes at the end, and moves nothing from page to page.
_QUERY: Parameters = {"state": "open", "sort": "created", "direction": "asc", "per_page": PAGE}


@dataclass(frozen=True)
class _Known:
    """A page as it was: its ETag, whether another followed, and the promotions in it."""

    etag: str
    more: bool
    rows: tuple[PullRequest, ...]


def open_promotions(connection: Connection, cursor: str) -> OpenPromotions:
    """All open pull requests from ``candidates/*`` into ``releases/*``, with one request for each hundred open ones."""
    known = _read(connection, cursor)
    pages: list[_Known] = []
    while not pages or pages[-1].more:
        number = len(pages)
        old = known[number] if number < len(known) else None
        page = connection.page("pulls", {**_QUERY, "page": number + 1}, old.etag if old else "")
        if page is None and old:
            pages.append(old)
        elif page:
            pulls = [pull_request(connection, document) for document in page.items]
            pages.append(_Known(page.etag, page.more, tuple(pull for pull in pulls if _is_promotion(pull))))
    found = {pull.number: pull for page in pages for pull in page.rows}
    return OpenPromotions(tuple(found.values()), _written(pages))


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
        url=_url(connection, document["number"]),
    )


def from_fork(document: Mapping[str, Any]) -> bool:
    """Whether the head lies in another repository, or in one that is gone."""
    repository = document["head"]["repo"]
    return repository is None or repository["id"] != document["base"]["repo"]["id"]


def login_of(user: Mapping[str, Any] | None) -> str:
    """The login of an account; empty if GitHub knows none."""
    return str(user["login"]) if user else ""


def _is_promotion(pull: PullRequest) -> bool:
    return pull.head_branch.startswith(CANDIDATES) and pull.base_branch.startswith(RELEASES)


def _url(connection: Connection, number: int) -> str:
    return f"{connection.web_url}/{connection.repository}/pull/{number}"


def _restored(connection: Connection, row: list[Any]) -> PullRequest:
    return PullRequest(**dict(zip(_ROW, row, strict=True)), url=_url(connection, row[0]))


def _written(pages: list[_Known]) -> str:
    stored = [[page.etag, page.more, [[getattr(row, name) for name in _ROW] for row in page.rows]] for page in pages]
    return json.dumps([_VERSION, stored], separators=(",", ":"))


def _read(connection: Connection, cursor: str) -> list[_Known]:
    """The pages in a cursor; none if it was lost, broken or written by another version."""
    try:
        version, stored = json.loads(cursor)
        if version != _VERSION:
            return []
        return [_Known(etag, more, tuple(_restored(connection, row) for row in rows)) for etag, more, rows in stored]
    except (ValueError, TypeError, LookupError):
        return []
