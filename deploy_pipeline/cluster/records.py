"""What was approved and what was released, kept in the cluster it was approved for.

An approval is written here by the deployer before the release branch moves, or before a release that reviews approve
begins; whoever can only push to git cannot make one. A reviewed diff says what a pull request showed its reviewers, and
since when. A release record says what runs, what ran before, and how far a release got that was interrupted.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from deploy_pipeline.cluster.system import SystemDocuments

_KEPT_RELEASES = 50
_KEPT_APPROVALS = 20
_KEPT_REVIEWS = 100


class ReleaseState(str, Enum):
    """How far a release got."""

    RELEASING = "releasing"
    RELEASED = "released"
    PARTIAL = "partial"
    FAILED = "failed"


@dataclass(frozen=True)
class Approval:
    """The evidence that a change set was accepted for a channel. ``change_set`` is ChangeSet.to_json().

    ``pull_request`` is the number of the one whose reviews approve it, 0 if there was none; ``source`` the commit that
    the candidate was verified to be rendered from, empty if nobody looked. ``note`` says what is unusual about it.
    """

    channel: str
    commit: str
    tree: str
    digest: str
    approved_by: str
    approved_at: str
    candidate: str
    run_id: str
    change_set: Mapping[str, Any]
    pull_request: int = 0
    source: str = ""
    note: str = ""


@dataclass(frozen=True)
class ReviewedDiff:
    """What a pull request shows its reviewers: the change set of its head ``candidate``, rendered from ``source``.

    ``published_at`` is since when the pull request has shown this digest, by the forge's clock; an earlier approval is
    none of it. ``refreshed`` are the heads that showed it before: other commits of the same tree, which the digest
    covers. ``news`` says how it differs from what was shown before.
    """

    channel: str
    pull_request: int
    candidate: str
    source: str
    tree: str
    digest: str
    published_at: str
    computed_at: str
    change_set: Mapping[str, Any]
    news: tuple[str, ...] = ()
    refreshed: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReleaseRecord:
    """One release of a channel, as the cluster remembers it. Times are RFC 3339 in UTC.

    ``attempt`` is random: it tells this try from every other one of the same commit.
    """

    commit: str
    tree: str
    digest: str
    state: ReleaseState
    started: str
    finished: str = ""
    approved_by: str = ""
    trigger: str = ""
    run_id: str = ""
    reason: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    attempt: str = field(default_factory=lambda: uuid.uuid4().hex)


class Records:
    """Approvals, reviewed diffs and releases of one channel."""

    def __init__(self, documents: SystemDocuments, channel: str) -> None:
        self._documents = documents
        self._channel = channel

    def approve(self, approval: Approval) -> None:
        """Store an approval, and drop the oldest beyond those worth keeping."""
        kind = f"approval.{self._channel}"
        self._documents.change(kind, self._approval_name(approval.commit), lambda _: asdict(approval))
        self._keep_newest(kind, "approved_at", _KEPT_APPROVALS)

    def withdraw(self, commit: str) -> None:
        """Forget the approval of a commit that never came to the release branch."""
        self._documents.delete(self._approval_name(commit))

    def approval(self, commit: str) -> Approval | None:
        """The approval of exactly this commit, or None."""
        document = self._documents.read(self._approval_name(commit))
        return Approval(**document) if document and document["commit"] == commit else None

    def remember_review(self, diff: ReviewedDiff) -> None:
        """Store what a pull request shows now, and drop the oldest beyond those worth keeping."""
        kind = f"review.{self._channel}"
        self._documents.change(kind, self._review_name(diff.pull_request), lambda _: asdict(diff))
        self._keep_newest(kind, "computed_at", _KEPT_REVIEWS)

    def withdraw_review(self, pull_request: int) -> None:
        """Forget what a pull request showed: it holds no more."""
        self._documents.delete(self._review_name(pull_request))

    def review(self, pull_request: int) -> ReviewedDiff | None:
        """What a pull request shows, or None."""
        document = self._documents.read(self._review_name(pull_request))
        return _reviewed(document) if document else None

    def reviews(self) -> tuple[ReviewedDiff, ...]:
        """What all pull requests show, the newest first."""
        found = map(_reviewed, self._documents.list(f"review.{self._channel}").values())
        return tuple(sorted(found, key=lambda diff: diff.computed_at, reverse=True))

    def releases(self) -> tuple[ReleaseRecord, ...]:
        """All remembered releases, newest first."""
        document = self._documents.read(f"releases.{self._channel}") or {"releases": []}
        return tuple(ReleaseRecord(**{**r, "state": ReleaseState(r["state"])}) for r in document["releases"])

    def last_released(self) -> ReleaseRecord | None:
        """The last release that was completed: the last good state."""
        return next((r for r in self.releases() if r.state is ReleaseState.RELEASED), None)

    def begin(self, record: ReleaseRecord) -> None:
        """Remember that a release starts to write; an unfinished one of the same commit is continued."""

        def change(document: Any) -> Any:
            kept = (document or {"releases": []})["releases"]
            if kept and kept[0]["commit"] == record.commit and kept[0]["state"] != ReleaseState.RELEASED.value:
                kept = kept[1:]
            return {"releases": [_to_json(record), *kept][:_KEPT_RELEASES]}

        self._documents.change("releases", f"releases.{self._channel}", change)

    def finish(self, record: ReleaseRecord, state: ReleaseState, reason: str = "") -> ReleaseRecord:
        """Remember how the release that was begun ended; nothing if another one has taken its place meanwhile."""
        ended = replace(record, state=state, finished=now(), reason=reason)

        def change(document: Any) -> Any:
            return {
                "releases": [_to_json(ended) if r["attempt"] == record.attempt else r for r in document["releases"]]
            }

        self._documents.change("releases", f"releases.{self._channel}", change)
        return ended

    def _keep_newest(self, kind: str, time: str, number: int) -> None:
        stored = sorted(self._documents.list(kind).items(), key=lambda item: item[1][time], reverse=True)
        for name, _ in stored[number:]:
            self._documents.delete(name)

    def _review_name(self, pull_request: int) -> str:
        return f"review.{self._channel}.{pull_request}"

    def _approval_name(self, commit: str) -> str:
        return f"approval.{self._channel}.{commit[:16]}"


def now() -> str:
    """The time as it stands in records: RFC 3339, UTC, whole seconds."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _reviewed(document: Mapping[str, Any]) -> ReviewedDiff:
    return ReviewedDiff(**{**document, **{key: tuple(document.get(key, ())) for key in ("news", "refreshed")}})


def _to_json(record: ReleaseRecord) -> dict[str, Any]:
    return {**asdict(record), "state": record.state.value}
