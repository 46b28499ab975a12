"""A bare repository as the forge uses it: real git says what conflicts, what a merge is and whether a branch moved."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ZERO = "0" * 40
WEB_FLOW = "noreply@github.com"
_COMMIT = "%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B%x01"


@dataclass(frozen=True)
class GitCommit:
    """One commit as git has it. Dates are ISO 8601."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: tuple[str, str, str]
    committer: tuple[str, str, str]
    message: str


@dataclass(frozen=True)
class Bare:
    """The bare repository at ``path``."""

    path: Path

    def run(
        self, *arguments: str, accept: tuple[int, ...] = (0,), stdin: str = "", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run git; a status that is not accepted raises CalledProcessError."""
        command = ["git", "-C", str(self.path), *arguments]
        result = subprocess.run(command, input=stdin, capture_output=True, text=True, env={**os.environ, **(env or {})})
        if result.returncode not in accept:
            raise subprocess.CalledProcessError(result.returncode, arguments, result.stdout, result.stderr)
        return result

    def heads(self) -> dict[str, str]:
        """Branch name to commit id."""
        output = self.run("for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads").stdout
        return {name: sha for sha, _, name in (line.partition(" ") for line in output.splitlines())}

    def resolve(self, rev: str) -> str | None:
        """The commit of a branch, reference or id; None if there is none."""
        for name in (f"refs/heads/{rev}", rev):
            found = self.run(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", accept=(0, 1, 128)
            )
            if found.returncode == 0:
                return found.stdout.strip()
        return None

    def log(self, *revs: str) -> list[GitCommit]:
        """Commits reachable as ``git log`` understands it, newest first."""
        records = self.run("log", f"--format={_COMMIT}", *revs, "--").stdout.split("\x01")[:-1]
        return [_parse(record.lstrip("\n")) for record in records]

    def commit(self, sha: str) -> GitCommit:
        """One commit."""
        return self.log("-1", sha)[0]

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether ``newer`` holds all of ``older``."""
        return self.run("merge-base", "--is-ancestor", older, newer, accept=(0, 1)).returncode == 0

    def merge_base(self, one: str, other: str) -> str | None:
        """The best common ancestor, if the histories have one."""
        return self.run("merge-base", one, other, accept=(0, 1)).stdout.strip() or None

    def merged_tree(self, base: str, head: str) -> str | None:
        """The tree a merge gives; None on a conflict."""
        result = self.run("merge-tree", "--write-tree", base, head, accept=(0, 1))
        return result.stdout.split()[0] if result.returncode == 0 else None

    def commit_tree(self, tree: str, parents: list[str], message: str, author: tuple[str, str]) -> str:
        """Store a commit by this author, committed by the forge itself, as it does for merges on its pages."""
        env = {
            "GIT_AUTHOR_NAME": author[0],
            "GIT_AUTHOR_EMAIL": author[1],
            "GIT_COMMITTER_NAME": "GitHub",
            "GIT_COMMITTER_EMAIL": WEB_FLOW,
        }
        options = [part for parent in parents for part in ("-p", parent)]
        return self.run("commit-tree", tree, *options, stdin=message, env=env).stdout.strip()

    def keep(self, reference: str, sha: str, source: Path | None = None) -> None:
        """Let a reference outside the branches hold a commit, brought from another repository if it lies there."""
        if source:
            self.run("fetch", "--quiet", "--no-tags", str(source), sha)
        self.run("update-ref", reference, sha)

    def update(self, branch: str, new: str, old: str) -> bool:
        """Move a branch from ``old`` (ZERO: it must not exist) to ``new``; False if it is something else by now."""
        return self.run("update-ref", f"refs/heads/{branch}", new, old, accept=(0, 128)).returncode == 0

    def delete(self, branch: str) -> bool:
        """Remove a branch; False if there is none."""
        found = branch in self.heads()
        self.run("update-ref", "-d", f"refs/heads/{branch}")
        return found

    def files(self, old: str, new: str) -> list[tuple[str, str, int, int]]:
        """Status letter, path, added and deleted lines of each file that differs."""
        states = self.run("diff", "--no-renames", "--name-status", "-z", old, new).stdout.split("\0")[:-1]
        counts = self.run("diff", "--no-renames", "--numstat", "-z", old, new).stdout.split("\0")[:-1]
        numbers = {path: (added, gone) for added, gone, path in (line.split("\t") for line in counts)}
        pairs = zip(states[::2], states[1::2], strict=True)
        return [(state, path, *(int(n) if n.isdigit() else 0 for n in numbers[path])) for state, path in pairs]  # type: ignore[misc]

    def content(self, rev: str, path: str) -> tuple[str, bytes] | None:
        """Blob id and content of a file at a revision; None if it is no file there."""
        found = self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}:{path}", accept=(0, 1, 128))
        if found.returncode or self.run("cat-file", "-t", found.stdout.strip()).stdout.strip() != "blob":
            return None
        sha = found.stdout.strip()
        raw = subprocess.run(["git", "-C", str(self.path), "cat-file", "blob", sha], check=True, capture_output=True)
        return sha, raw.stdout


def _parse(record: str) -> GitCommit:
    sha, tree, parents, an, ae, ad, cn, ce, cd, message = record.split("\0")
    return GitCommit(sha, tree, tuple(parents.split()), (an, ae, ad), (cn, ce, cd), message.rstrip("\n"))
