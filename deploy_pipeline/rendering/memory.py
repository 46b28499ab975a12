"""What this deployer has rendered: the last tree of each branch, and each app by all that it was made of.

So refreshing a candidate need not render again, and a push renders only the apps that it changes. It is kept here
rather than in the candidate, where whoever may push could write it too: a tree or file is taken over only if this
deployer made it. Losing it costs one rendering.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_KEPT_SECONDS = 30 * 24 * 3600.0


@dataclass(frozen=True)
class RenderMemory:
    """The last input and tree of one branch; ``branch`` tells branches of all repositories apart."""

    directory: Path
    branch: str

    def recall(self, inputs: str) -> str | None:
        """The tree that these inputs gave; None if that is not known."""
        try:
            known, _, tree = self._file.read_text(encoding="utf-8").partition(" ")
        except OSError:
            return None
        return tree if known == inputs else None

    def remember(self, inputs: str, tree: str) -> None:
        """Note what these inputs gave, in place of what was known. Readers see the old or the new, never a half."""
        _put(self._file, f"{inputs} {tree}".encode())

    @property
    def _file(self) -> Path:
        return self.directory / hashlib.sha256(self.branch.encode()).hexdigest()


@dataclass(frozen=True)
class AppMemory:
    """Rendered files, each under a digest of all that went into it. Safe to share between processes."""

    directory: Path

    def recall(self, inputs: str) -> bytes | None:
        """The file that these inputs gave; None if that is not known."""
        try:
            content = zlib.decompress((self.directory / inputs).read_bytes())
            os.utime(self.directory / inputs)
        except (OSError, zlib.error):
            return None
        return content

    def remember(self, inputs: str, content: bytes) -> None:
        """Note what these inputs gave, unless there is no room for it."""
        with suppress(OSError):
            _put(self.directory / inputs, zlib.compress(content))

    def tidy_up(self) -> None:
        """Forget what was not asked for in a month."""
        for path in self.directory.glob("*"):
            with suppress(OSError):  # another process was faster
                if path.stat().st_mtime < time.time() - _KEPT_SECONDS:
                    path.unlink()


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
