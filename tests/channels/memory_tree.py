"""A tree of files in memory, as small as a test needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import dedent


class MemoryTree:
    """Files given as text; every path of ``empty`` exists too, without content."""

    def __init__(self, files: Mapping[str, str], *empty: str) -> None:
        self._files = dict.fromkeys(empty, b"") | {path: dedent(text).encode() for path, text in files.items()}

    def paths(self) -> Sequence[str]:
        """All paths, sorted."""
        return sorted(self._files)

    def read(self, path: str) -> bytes:
        """Content of a file; KeyError when there is none."""
        return self._files[path]

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        return path in self._files

    def prefetch(self, folder: str) -> None:
        """All of it is in memory."""
