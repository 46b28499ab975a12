"""Which commit of a source branch stands behind a candidate and behind a release: whose work it brings."""

from __future__ import annotations

import re

from deploy_pipeline.cluster.records import Records
from deploy_pipeline.errors import UnknownRevision
from deploy_pipeline.repository import Commit, Mirror

_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def claimed_source(candidate: Commit) -> str:
    """The commit that a candidate says it was rendered from; empty if it names none.

    It is a claim: whoever can push can write it.
    """
    claimed = candidate.trailers.get("Source-commit", "")
    return claimed if _FULL_ID.fullmatch(claimed) else ""


def released_source(mirror: Mirror, records: Records) -> str | None:
    """The commit that the channel's last release was rendered from; empty if nothing was released, None if unknown.

    The mirror may have it no more, where a branch was squashed and deleted; the forge often does.
    """
    last = records.last_released()
    if last is None:
        return ""
    approval = records.approval(last.commit)
    if approval and approval.source:
        return approval.source
    released = known_commit(mirror, last.commit)
    merged = released.parents[1:] if released else ()
    candidates = (known_commit(mirror, sha) for sha in (approval.candidate if approval else "", *merged, last.commit))
    claimed = [source for candidate in candidates if candidate and (source := claimed_source(candidate))]
    return next((source for source in claimed if known_commit(mirror, source)), next(iter(claimed), None))


def known_commit(mirror: Mirror, sha: str) -> Commit | None:
    """A commit by its full id, or None where the repository no longer has it."""
    try:
        return mirror.commit(sha) if _FULL_ID.fullmatch(sha) else None
    except UnknownRevision:
        return None
