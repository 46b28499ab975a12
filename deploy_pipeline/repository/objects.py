"""Commits and blobs as values, and the text forms git has for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

FILE = "100644"
EXECUTABLE = "100755"
SYMLINK = "120000"
SUBMODULE = "160000"

# One record of `git log -z`: the fields end with NUL, and so does the record.
COMMIT_FORMAT = "%H%x00%T%x00%P%x00%an <%ae>%x00%ct%x00%B"
_COMMIT_FIELDS = COMMIT_FORMAT.count("%x00") + 1
_TRAILER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*): *(.*)")


@dataclass(frozen=True)
class Commit:
    """One commit. ``tree`` is the id of its tree; ``trailers`` are the `Key: value` lines that end its message."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    subject: str
    message: str
    trailers: Mapping[str, str]
    author: str
    committed_at: datetime


@dataclass(frozen=True)
class Blob:
    """A file to be written: its content, or the id of a blob that lies in the mirror already."""

    content: bytes = b""
    sha: str = ""
    mode: str = FILE


def parse_commits(output: str) -> Iterator[Commit]:
    """Read the output of ``git log -z --format=COMMIT_FORMAT``."""
    fields = output.split("\0")
    for start in range(0, len(fields) - 1, _COMMIT_FIELDS):
        sha, tree, parents, author, seconds, message = fields[start : start + _COMMIT_FIELDS]
        yield Commit(
            sha=sha,
            tree=tree,
            parents=tuple(parents.split()),
            subject=message.partition("\n")[0],
            message=message,
            trailers=_trailers(message),
            author=author,
            committed_at=datetime.fromtimestamp(int(seconds), tz=timezone.utc),
        )


def _trailers(message: str) -> dict[str, str]:
    """The last paragraph, if every line of it is a trailer and it is not the subject; the last of equal keys wins."""
    _, separator, last = message.strip().rpartition("\n\n")
    matches = [_TRAILER.fullmatch(line) for line in last.split("\n")] if separator else []
    return {match[1]: match[2].strip() for match in matches if match} if all(matches) else {}
