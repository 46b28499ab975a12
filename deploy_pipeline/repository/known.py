"""Git objects that were read before: they never change, so nobody has to ask git for them twice.

An action looks at the same few commits and trees from many places; without this most of its time would go to starting
git. Only full ids are known here, as a branch is another commit at any time.
"""

from __future__ import annotations

from collections.abc import Callable

from deploy_pipeline.repository.objects import Commit
from deploy_pipeline.repository.tree import GitTree

_MOST_COMMITS = 1000
_MOST_TREES = 4  # with the contents that were read of them


class KnownObjects:
    """The commits and trees that were read last. Safe to share between threads: at worst one is read again."""

    def __init__(self) -> None:
        self._commits: dict[str, Commit] = {}
        self._trees: dict[str, GitTree] = {}

    def commit(self, sha: str) -> Commit | None:
        """The commit of this full id, if it was read before."""
        return self._commits.get(sha)

    def remember(self, commit: Commit) -> Commit:
        """Keep a commit; the oldest goes when there are too many."""
        self._commits[commit.sha] = commit
        _shorten(self._commits, _MOST_COMMITS)
        return commit

    def is_tree(self, sha: str) -> bool:
        """Whether this is the full id of a tree that was read before."""
        return sha in self._trees

    def tree(self, sha: str, read: Callable[[], GitTree]) -> GitTree:
        """The tree of this full id: as it was read before, or ``read`` now."""
        tree = self._trees.pop(sha, None) or read()
        self._trees[sha] = tree  # the last one in is the last one out
        _shorten(self._trees, _MOST_TREES)
        return tree


def _shorten(kept: dict[str, Commit] | dict[str, GitTree], most: int) -> None:
    for sha in list(kept)[:-most]:
        kept.pop(sha, None)
