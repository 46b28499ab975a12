"""Where configuration is read from: the tree of a commit, or a checkout on disk.

Releases read commits only. The checkout is for people who want to know whether their files are right before they push.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy_pipeline.errors import RefusedError, UnsafeTree


class Tree(Protocol):
    """The files of one state of the repository."""

    def paths(self) -> Sequence[str]:
        """Paths of all files, sorted, with ``/`` between their parts."""
        ...

    def read(self, path: str) -> bytes:
        """Content of one file; KeyError when there is no file of that path."""
        ...

    def has(self, path: str) -> bool:
        """Whether there is such a file; UnsafeTree if the path leads out."""
        ...

    def prefetch(self, folder: str) -> None:
        """Announce that the files below a folder will be read."""
        ...


@dataclass(frozen=True)
class WorkingTree:
    """The files of a checkout on disk, tracked by git or not; ``.git`` is left out.

    A symlink that leaves ``root`` is refused when it is read, not when it is listed: a checkout often holds a virtual
    environment, whose links lead outside and harm nobody.
    """

    root: Path

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise RefusedError(f"{self.root} is not a folder", hint="name the folder of a checkout")

    def paths(self) -> Sequence[str]:
        """Paths of all files; a link to a folder counts as one file, as it does for git."""
        return sorted(self._walk())

    def read(self, path: str) -> bytes:
        """Content of one file; KeyError when there is none, UnsafeTree when it lies outside of ``root``."""
        target = self._inside(path)
        if not target.is_file():
            raise KeyError(path)
        try:
            return target.read_bytes()
        except OSError as error:
            raise RefusedError(f"{path} cannot be read: {error.strerror}") from error

    def has(self, path: str) -> bool:
        """Whether there is such a file; UnsafeTree when it lies outside of ``root``."""
        return self._inside(path).is_file()

    def prefetch(self, folder: str) -> None:
        """Files on disk are read when they are needed."""

    def _inside(self, path: str) -> Path:
        # Not Path.resolve(): up to Python 3.12 it raises RuntimeError for links that lead in a circle.
        target = Path(os.path.realpath(self.root / path))
        if not target.is_relative_to(os.path.realpath(self.root)):
            raise UnsafeTree(f"{path} leads out of {self.root}", hint="replace the link by the file it leads to")
        return target

    def _walk(self) -> Iterator[str]:
        for folder, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if name != ".git"]
            links = [name for name in folders if Path(folder, name).is_symlink()]
            for name in (*files, *links):
                yield Path(folder, name).relative_to(self.root).as_posix()
