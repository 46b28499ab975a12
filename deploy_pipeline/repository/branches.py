"""The branch names that carry meaning: which branch is a source, a candidate or a release.

Everything else about branches is git's business; these names are the contract between people, forge and pipeline.
"""

from __future__ import annotations

CANDIDATES = "candidates/"
RELEASES = "releases/"


def candidate_branch(source: str) -> str:
    """The branch that carries the candidate of a source branch."""
    return CANDIDATES + source


def release_branch(channel: str) -> str:
    """The branch whose head is what the channel shall run."""
    return RELEASES + channel


def source_of(candidate_branch: str) -> str | None:
    """The source branch of a candidate branch; None if it is no candidate branch."""
    return _after(CANDIDATES, candidate_branch)


def channel_of(release_branch: str) -> str | None:
    """The channel of a release branch; None if it is no release branch."""
    return _after(RELEASES, release_branch)


def is_source_branch(branch: str) -> bool:
    """Whether people commit to this branch, rather than the pipeline."""
    return bool(branch) and not branch.startswith((CANDIDATES, RELEASES))


def _after(prefix: str, branch: str) -> str | None:
    return branch[len(prefix) :] or None if branch.startswith(prefix) else None
