"""The repository that tests deploy: a bare git repository with real commits, made without a work tree.

Every commit is one ``git fast-import``, so that a test can afford a history.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLE = ("channels", "kubernetes", "deploy.yaml")

Content = str | bytes | None


def example_files() -> dict[str, bytes]:
    """The files of the example that lies at the top level of this repository, by path."""
    found = (PROJECT / name for name in EXAMPLE)
    files = (file for path in found for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())
    return {file.relative_to(PROJECT).as_posix(): file.read_bytes() for file in files}


@dataclass(frozen=True)
class Origin:
    """A bare repository that plays the remote.

    ``path`` is where it lies, ``url`` what a deployer is given.
    """

    path: Path
    url: str

    @classmethod
    def create(cls, path: Path, files: Mapping[str, Content], *, url: str = "") -> Origin:
        """Make a bare repository whose branch ``main`` holds ``files``."""
        command = ["git", "init", "--quiet", "--bare", "--initial-branch=main", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        origin = cls(path, url or path.as_uri())
        origin.git("config", "http.receivepack", "true")
        origin.commit("main", files, "Start")
        return origin

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run git in the repository; a failure raises CalledProcessError."""
        command = ["git", "-C", str(self.path), *arguments]
        return subprocess.run(command, input=stdin, check=True, stdout=subprocess.PIPE).stdout.decode()

    def commit(
        self,
        branch: str,
        changes: Mapping[str, Content],
        message: str = "Change",
        *,
        start: str = "main",
        email: str = "test@example.invalid",
    ) -> str:
        """Commit ``changes`` (path to content, None removes) on ``branch``; returns the commit's full id.

        A branch that does not exist begins at ``start``; ``email`` is the committer's.
        """
        heads = self.heads()
        parent = heads.get(branch) or heads.get(start)
        stream = b"".join(_fast_import(branch, parent, changes, message, email))
        return self.git("fast-import", "--quiet", "--done", "--date-format=now", stdin=stream).strip()

    def heads(self) -> dict[str, str]:
        """Branch name to commit id."""
        lines = self.git("for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads").splitlines()
        return {name: sha for sha, _, name in (line.partition(" ") for line in lines)}

    def show(self, rev: str, path: str) -> str:
        """A file's content at a revision; CalledProcessError when it is not there."""
        return self.git("show", f"{rev}:{path}")

    def delete(self, branch: str) -> None:
        """Remove a branch, as somebody does after a merge."""
        self.git("update-ref", "-d", f"refs/heads/{branch}")


def _fast_import(
    branch: str, parent: str | None, changes: Mapping[str, Content], message: str, email: str
) -> Iterable[bytes]:
    """The commands of one commit; ``get-mark`` makes fast-import print its id."""
    yield f"commit refs/heads/{branch}\nmark :1\ncommitter Test <{email}> now\n".encode()
    yield _data(message)
    if parent:
        yield f"from {parent}\n".encode()
    for path, content in changes.items():
        if content is None:
            yield f"D {path}\n".encode()
        else:
            yield f"M 100644 inline {path}\n".encode() + _data(content)
    yield b"get-mark :1\ndone\n"


def _data(content: str | bytes) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return b"data %d\n%s\n" % (len(raw), raw)
