"""The git side: branch names that carry meaning, and a bare mirror that is read and written without a checkout."""

from deploy_pipeline.repository.branches import (
    CANDIDATES,
    RELEASES,
    candidate_branch,
    channel_of,
    is_source_branch,
    release_branch,
    source_of,
)
from deploy_pipeline.repository.mirror import ChangedFile, Mirror
from deploy_pipeline.repository.objects import EXECUTABLE, FILE, SUBMODULE, SYMLINK, Blob, Commit
from deploy_pipeline.repository.tree import Entry, GitTree

__all__ = [
    "CANDIDATES",
    "EXECUTABLE",
    "FILE",
    "RELEASES",
    "SUBMODULE",
    "SYMLINK",
    "Blob",
    "ChangedFile",
    "Commit",
    "Entry",
    "GitTree",
    "Mirror",
    "candidate_branch",
    "channel_of",
    "is_source_branch",
    "release_branch",
    "source_of",
]
