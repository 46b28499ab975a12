"""The facts about a merged pull request: everything a decision on its reviews needs, and no decision.

What cannot be found out (an account that is gone, a team we may not see) is left out, so that it counts for nothing.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from deploy_pipeline.errors import ForgeRefused
from deploy_pipeline.forge.code_owners import PLACES, owners_named
from deploy_pipeline.forge.forge import MergedPullRequest, Review, ReviewState, SourceCommit, SourceRange
from deploy_pipeline.forge.github.connection import Connection, Parameters
from deploy_pipeline.forge.github.documents import from_fork, login_of, pull_request, time_of

_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")  # they come from trailers, which anybody who can push can write
_WRITING = ("admin", "write")  # GitHub says `write` for maintainers, too, and `read` for triage


def merged_pull_request(
    connection: Connection, commit: str, *, branch: str, before: str, source: SourceRange
) -> MergedPullRequest | None:
    """The pull request whose merge made this commit on the branch; None if there is none."""
    number = _number(connection, commit, branch)
    if number is None:
        return None
    document = connection.get(f"pulls/{number}")
    pull = pull_request(connection, document)
    reviews = tuple(_review(item) for item in connection.items(f"pulls/{number}/reviews"))
    writers = frozenset(user for user in _deciding(reviews) if _may_write(connection, user))
    code_owners = _code_owners(connection, before)
    named = owners_named(code_owners or "")
    return MergedPullRequest(
        number=number,
        url=pull.url,
        author=pull.author,
        head_branch=pull.head_branch,
        base_branch=pull.base_branch,
        head=pull.head,
        merge_commit=commit,
        merged_by=login_of(document["merged_by"]),
        merged_at=time_of(document["merged_at"]),
        from_fork=from_fork(document),
        reviews=reviews,
        writers=writers,
        source=_source_commits(connection, source),
        code_owners=code_owners,
        teams={owner: _team(connection, owner) for owner in named if "/" in owner},
        emails=_addresses(connection, writers) if any(not owner.startswith("@") for owner in named) else {},
    )


def _number(connection: Connection, commit: str, branch: str) -> int | None:
    """The merged pull request of a commit: of the last hundred into the branch, else of GitHub's index of commits.

    The index alone would not do: it has a merge some time later only.
    """
    recent: Parameters = {"state": "closed", "base": branch, "sort": "updated", "direction": "desc", "per_page": 100}
    for listed in (connection.get("pulls", recent), connection.items(f"commits/{commit}/pulls")):
        for pull in listed:
            if pull["merged_at"] and pull["base"]["ref"] == branch and pull["merge_commit_sha"] == commit:
                return int(pull["number"])
    return None


def _review(document: Mapping[str, Any]) -> Review:
    """A review; one without a time is not submitted yet."""
    submitted = document.get("submitted_at")
    if document["state"] not in set(ReviewState):
        raise ForgeRefused(f"a review says `{document['state']}`, which this version does not know")
    return Review(
        user=login_of(document["user"]),
        state=ReviewState(document["state"]),
        commit=document["commit_id"] or "",
        submitted_at=time_of(submitted) if submitted else datetime.max.replace(tzinfo=timezone.utc),
    )


def _deciding(reviews: Iterable[Review]) -> set[str]:
    """Whose reviews can decide anything."""
    states = (ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED)
    return {review.user for review in reviews if review.user and review.state in states}


def _may_write(connection: Connection, login: str) -> bool:
    found = connection.find(f"collaborators/{login}/permission")
    return found is not None and found["permission"] in _WRITING


def _source_commits(connection: Connection, source: SourceRange) -> tuple[SourceCommit, ...] | None:
    """The commits of the range; None where GitHub lacks one of its ends, or what connects them."""
    if source.since is None:
        return None
    if not all(_FULL_ID.fullmatch(commit) for commit in (source.until, source.since or source.until)):
        raise ForgeRefused(f"`{source.since}...{source.until}` are no full commit ids")
    if not source.since:
        return (_source_commit(connection.get(f"commits/{source.until}")),)
    path = f"compare/{source.since}...{source.until}"
    if connection.find(path, {"per_page": 1}) is None:
        return None
    return tuple(_source_commit(commit) for commit in connection.items(path, within="commits"))


def _source_commit(document: Mapping[str, Any]) -> SourceCommit:
    author, committer = (document.get(who) or {} for who in ("author", "committer"))
    verification = document["commit"].get("verification") or {}
    verified = verification.get("verified") is True
    return SourceCommit(document["sha"], author.get("login", ""), committer.get("login", ""), verified)


def _code_owners(connection: Connection, before: str) -> str | None:
    """The first CODEOWNERS there is, where GitHub looks for it."""
    for place in PLACES:
        found = connection.find(f"contents/{place}", {"ref": before})
        if isinstance(found, dict) and found["type"] == "file":
            if found["encoding"] != "base64":
                raise ForgeRefused(
                    f"{place} is too large to be read", hint="GitHub gives files of one megabyte at most"
                )
            return base64.b64decode(found["content"]).decode(errors="replace")
    return None


def _team(connection: Connection, owner: str) -> frozenset[str]:
    """The members of ``@org/team``; nobody if there is no such team, or we may not see it."""
    organisation, _, team = owner.removeprefix("@").partition("/")
    path = f"/orgs/{organisation}/teams/{team}/members"
    if connection.find(path, {"per_page": 1}) is None:
        return frozenset()
    return frozenset(login_of(member) for member in connection.items(path))


def _addresses(connection: Connection, logins: Iterable[str]) -> dict[str, str]:
    """The public address of each of these accounts, in lower case."""
    profiles = {login: connection.find(f"/users/{login}") for login in sorted(logins)}
    return {profile["email"].lower(): login for login, profile in profiles.items() if profile and profile["email"]}
