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


def released_source(mirror: Mirror, records: Records) -> str:
    """The commit that the channel's last release was rendered from; empty if there is none, or if it is gone."""
    last = records.last_released()
    if last is None:
        return ""
    approval = records.approval(last.commit)
    if approval and approval.source:
        found: Commit | None = known_commit(mirror, approval.source)
        return found.sha if found else ""
    released = known_commit(mirror, last.commit)
    merged = released.parents[1:] if released else ()
    for sha in (approval.candidate if approval else "", *merged, last.commit):
        candidate = known_commit(mirror, sha)
        source = known_commit(mirror, claimed_source(candidate)) if candidate else None
        if source:
            return source.sha
    return ""


def known_commit(mirror: Mirror, sha: str) -> Commit | None:
    """A commit by its full id, or None where the repository no longer has it."""
    try:
        return mirror.commit(sha) if _FULL_ID.fullmatch(sha) else None
    except UnknownRevision:
        return None
