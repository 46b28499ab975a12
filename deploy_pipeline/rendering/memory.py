"""What this deployer rendered last for a branch, so that refreshing a candidate need not render again.

It is kept here rather than in the candidate, where whoever may push could write it too: a tree is taken over only if
this deployer made it. Losing it costs one rendering.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


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
        self.directory.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self.directory)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{inputs} {tree}")
        Path(name).replace(self._file)

    @property
    def _file(self) -> Path:
        return self.directory / hashlib.sha256(self.branch.encode()).hexdigest()
