"""Which promotions are open: the list of pull requests, read with conditional requests.

A page that is still as it was costs one request that GitHub does not count, and its pull requests stand in the cursor.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from deploy_pipeline.forge.forge import OpenPromotions, PullRequest
from deploy_pipeline.forge.github.connection import PAGE, Connection, Parameters
from deploy_pipeline.forge.github.documents import pull_request, pull_url
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


def _is_promotion(pull: PullRequest) -> bool:
    return pull.head_branch.startswith(CANDIDATES) and pull.base_branch.startswith(RELEASES)


def _restored(connection: Connection, row: list[Any]) -> PullRequest:
    return PullRequest(**dict(zip(_ROW, row, strict=True)), url=pull_url(connection, row[0]))


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
