"""The bare repository that is deployed, made from the example of this checkout, and a person's clone of it.

At the start it holds ``main`` and nothing else. The branches ``releases/test`` and ``releases/prod`` are made by the
demo's first two promotions: a release branch whose head nobody approved is what the deployer refuses to release, and
the demo is no exception.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy_pipeline.errors import FailedError, RefusedError

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLE = ("channels", "kubernetes", "deploy.yaml")

_TIMEOUT = 30
_PERSON = {"user.name": "Demo", "user.email": "demo@example.invalid"}
# A person's hooks and signing keys have no business in a demo.
_PLAIN = {"core.hooksPath": os.devnull, "commit.gpgSign": "false"}


@dataclass(frozen=True)
class Repository:
    """``origin`` is the bare repository, ``clone`` a work tree whose remote it is."""

    origin: Path
    clone: Path

    @classmethod
    def create(cls, origin: Path, clone: Path, edits: Mapping[str, tuple[str, str]] | None = None) -> Repository:
        """The example, edited (path to old and new text), as the first commit of ``main``; ``origin`` may be empty."""
        missing = [name for name in EXAMPLE if not (CHECKOUT / name).exists()]
        if missing:
            raise RefusedError(f"{CHECKOUT} has no {', '.join(missing)}", hint="run the demo from a full checkout")
        repository = cls(origin, clone)
        _git("init", "--quiet", "--bare", "--initial-branch=main", str(origin))
        _git("clone", "--quiet", str(origin), str(clone))
        for key, value in (_PERSON | _PLAIN).items():
            repository.git("config", key, value)
        repository.git("checkout", "--quiet", "-B", "main")
        for name in EXAMPLE:
            copy = shutil.copytree if (CHECKOUT / name).is_dir() else shutil.copy2
            copy(CHECKOUT / name, clone / name)
        repository._edit(edits or {})
        repository._commit("The example")
        return repository

    def push(self, branch: str, edits: Mapping[str, tuple[str, str]], message: str, *, start: str = "") -> str:
        """Commit edits (path to old and new text) on a branch, which begins at ``start``; returns the pushed commit."""
        self.git("checkout", "--quiet", *(("-b", branch, start) if start else (branch,)))
        self._edit(edits)
        return self._commit(message)

    def merge(self, branch: str, into: str) -> str:
        """Merge a branch as a forge does, by a merge commit, and delete it; returns the pushed commit."""
        self.git("checkout", "--quiet", into)
        self.git("merge", "--quiet", "--no-ff", "--message", f"Merge {branch}", branch)
        merged = self._push()
        self.git("push", "--quiet", "origin", "--delete", branch)
        return merged

    def heads(self) -> dict[str, str]:
        """Branches of the remote with the commits they are at."""
        lines = self.git("ls-remote", "--heads", "origin").splitlines()
        return {name.removeprefix("refs/heads/"): sha for sha, _, name in (line.partition("\t") for line in lines)}

    def tree(self, rev: str) -> str:
        """The tree of a commit or of a branch of the remote."""
        self.git("fetch", "--quiet", "origin")
        name = f"refs/remotes/origin/{rev}" if rev in self.heads() else rev
        return self.git("rev-parse", f"{name}^{{tree}}").strip()

    def trailer(self, sha: str, key: str) -> str:
        """A trailer of a commit's message."""
        self.git("fetch", "--quiet", "origin")
        return self.git("show", "--no-patch", f"--format=%(trailers:key={key},valueonly)", sha).strip()

    def git(self, *arguments: str) -> str:
        """Run git in the clone; raises FailedError with what it said."""
        return _git("-C", str(self.clone), *arguments)

    def _edit(self, edits: Mapping[str, tuple[str, str]]) -> None:
        for path, (old, new) in edits.items():
            file = self.clone / path
            text = file.read_text()
            if old not in text:
                raise FailedError(f"{path} of the example no longer holds {old!r}")
            file.write_text(text.replace(old, new))

    def _commit(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self._push()

    def _push(self) -> str:
        self.git("push", "--quiet", "--set-upstream", "origin", "HEAD")
        return self.git("rev-parse", "HEAD").strip()


def _git(*arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", *arguments]
    done = subprocess.run(
        command,
        env={**environment, "GIT_TERMINAL_PROMPT": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise FailedError(f"git {' '.join(arguments)} failed", details=done.stderr.splitlines())
    return done.stdout
