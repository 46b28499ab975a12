"""The files of one commit, read from git objects without a checkout; and writing them out safely.

A tree comes from people who may not be trusted yet. It is looked at entry by entry before anything is written: symlinks
that leave it, submodules and paths that are no plain paths are refused, and nothing is ever written through a symlink.
Blobs are read from git's store, so that no filter that a branch names ever runs; a pointer of Git LFS is refused, since
a tool would take it for the file.
"""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from deploy_pipeline.errors import RepositoryUnreachable, UnsafeTree
from deploy_pipeline.repository.git import GitResult
from deploy_pipeline.repository.objects import EXECUTABLE, SUBMODULE, SYMLINK

_MIB = 1024 * 1024
MAX_FILES = 20_000
MAX_BYTES = 256 * _MIB
MAX_ENTRIES = 1_000_000  # of the whole tree: a few small objects that name each other can list without end
_BATCH_BYTES = 16 * _MIB
_MAX_LINKS = 8
_SHOWN_END = 100  # characters
_DEEPEST = 100  # folders: many a library goes through them by functions that call themselves
# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md: a pointer begins so, and is smaller than this.
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_LFS_BYTES = 1024


@dataclass(frozen=True)
class Entry:
    """One file of a tree: git's mode (``100644``, ``100755``, ``120000``, ``160000``), blob id and size in bytes."""

    mode: str
    sha: str
    size: int


class GitTree:
    """The files of one commit, read-only. ``sha`` is the id of the tree."""

    def __init__(self, sha: str, git: Callable[..., GitResult]) -> None:
        self.sha = sha
        self._git = git
        self._read: dict[str, bytes] = {}

    def entries(self) -> Mapping[str, Entry]:
        """Everything in the tree by path, as git lists it: also what :meth:`export` would refuse."""
        return self._entries

    def paths(self) -> Sequence[str]:
        """All paths, sorted, with ``/`` between folders and no leading ``/``."""
        return sorted(self._entries)

    def read(self, path: str) -> bytes:
        """A file's content; a symlink inside the tree is followed. KeyError if there is no such file."""
        for _ in range(_MAX_LINKS):
            entry = self._entries[path]
            if entry.mode == SUBMODULE:
                raise KeyError(path)
            content = self._read.get(entry.sha)
            if content is None:
                if entry.size > MAX_BYTES:
                    raise UnsafeTree(f"`{path}` is larger than {MAX_BYTES // _MIB} MiB")
                content = self._blobs([entry.sha])[entry.sha]
                self._keep({entry.sha: content})
            if entry.mode != SYMLINK:
                return content
            path = _link_target(path, content)
        raise UnsafeTree(f"`{path}` is a chain of more than {_MAX_LINKS} symlinks")

    def has(self, path: str) -> bool:
        """Whether :meth:`read` would find a file; of plain files, nothing is read for that. Raises UnsafeTree."""
        entry = self._entries.get(path)
        if entry is None or entry.mode == SUBMODULE:
            return False
        return entry.mode != SYMLINK or self.has(_link_target(path, self._blobs([entry.sha])[entry.sha]))

    def prefetch(self, folder: str) -> None:
        """Read all files below a folder by one call of git and keep them, if they are not too large for that."""
        wanted = {e.sha: e.size for path, e in self._entries.items() if _is_under(path, [folder])}
        missing = wanted.keys() - self._read.keys()
        if sum(wanted[sha] for sha in missing) <= _BATCH_BYTES:
            self._keep(self._blobs(sorted(missing)))

    def _keep(self, contents: Mapping[str, bytes]) -> None:
        """Keep what was read, as long as all of it fits into a batch."""
        if sum(map(len, (*self._read.values(), *contents.values()))) <= _BATCH_BYTES:
            self._read |= contents

    def stored(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Contents as they are stored, by path: of a symlink, where it leads. Raises UnsafeTree like :meth:`export`."""
        chosen = {path: self._entries[path] for path in paths}
        self._check(chosen)
        return {path: content for path, _, content in self._contents(chosen)}

    def export(self, destination: Path, *, under: Sequence[str] = ()) -> None:
        """Write the files (only those below the folders or at the paths of ``under``, if any) into a folder.

        Contents are written as they are stored: no line-ending or LFS filter, no ``export-subst``. Raises UnsafeTree
        for anything that must not be written out, with every fault, before the first byte is written.
        """
        chosen = {path: entry for path, entry in self._entries.items() if not under or _is_under(path, under)}
        self._check(chosen)
        links = {}
        for path, entry, content in self._contents(chosen):
            if entry.mode == SYMLINK:
                links[path] = content
            else:
                _write(destination / path, content, executable=entry.mode == EXECUTABLE)
        # Links last: until all files are written there is none a path could lead through.
        for path, content in links.items():
            (destination / path).parent.mkdir(parents=True, exist_ok=True)
            (destination / path).symlink_to(content.decode())

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        listing = self._git("ls-tree", "-r", "-z", "-l", "--full-tree", self.sha).text
        if listing.count("\0") > MAX_ENTRIES:
            raise UnsafeTree(f"the tree {self.sha} lists more than {MAX_ENTRIES} files")
        entries = {}
        for line in filter(None, listing.split("\0")):
            attributes, _, path = line.partition("\t")
            mode, _, sha, size = attributes.split()
            entries[path] = Entry(mode, sha, 0 if size == "-" else int(size))
        return entries

    def _check(self, chosen: Mapping[str, Entry]) -> None:
        if len(chosen) > MAX_FILES or sum(entry.size for entry in chosen.values()) > MAX_BYTES:
            raise UnsafeTree(
                f"the tree is larger than {MAX_FILES} files or {MAX_BYTES // _MIB} MiB",
                hint="leave out what deployments do not need, by `include` in deploy.yaml",
            )
        faults = [f"{fault}: {shown_path(path)}" for path, entry in chosen.items() if (fault := _fault(path, entry))]
        faults += [
            f"a file and a folder of one name: {path!r}"
            for path in chosen
            if not chosen.keys().isdisjoint(_folders(path))
        ]
        links = {path: entry for path, entry in chosen.items() if entry.mode == SYMLINK}
        faults += [fault for path, _, content in self._contents(links) if (fault := _link_fault(path, content))]
        small = {path: entry for path, entry in chosen.items() if _is_small_file(entry)}
        faults += [
            f"a Git LFS pointer in place of its file: {path!r}"
            for path, _, content in self._contents(small)
            if content.startswith(_LFS_POINTER)
        ]
        if faults:
            raise UnsafeTree(
                "the tree holds what must not be written out",
                details=faults,
                hint="remove it (of what Git LFS holds, commit the file itself), or leave it out by `include` in "
                "deploy.yaml",
            )

    def _contents(self, entries: Mapping[str, Entry]) -> Iterator[tuple[str, Entry, bytes]]:
        """The entries with their contents, read in batches that fit into memory."""
        batch: dict[str, Entry] = {}
        size = 0
        for path, entry in entries.items():
            batch[path] = entry
            size += entry.size
            if size > _BATCH_BYTES:
                yield from self._with_contents(batch)
                batch, size = {}, 0
        yield from self._with_contents(batch)

    def _with_contents(self, entries: Mapping[str, Entry]) -> Iterator[tuple[str, Entry, bytes]]:
        contents = self._blobs(sorted({entry.sha for entry in entries.values()}))
        for path, entry in entries.items():
            yield path, entry, contents[entry.sha]

    def _blobs(self, shas: Sequence[str]) -> dict[str, bytes]:
        if not shas:
            return {}
        output = self._git("cat-file", "--batch", stdin="".join(f"{sha}\n" for sha in shas).encode()).stdout
        contents, position = {}, 0
        for sha in shas:
            end = output.index(b"\n", position)
            header = output[position:end].split()
            if header[-1] == b"missing":
                raise RepositoryUnreachable(
                    f"the mirror lacks the object {sha}", hint="fetch again: it is then rebuilt"
                )
            size = int(header[2])
            contents[sha] = output[end + 1 : end + 1 + size]
            position = end + 1 + size + 1
        return contents


def check_path(path: str) -> str:
    """Why a path must not be written out; empty if it may."""
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "a path that is not plain"
    if any(part.rstrip(". ").lower() in (".git", "git~1") for part in parts):
        return "a path into git's own folder"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in path) or "\\" in path:
        return "a path with characters that do not belong there"
    if any(len(part.encode()) > 255 for part in parts):
        return "a path with a name that is too long"
    if len(parts) - 1 > _DEEPEST:
        return f"a path of more than {_DEEPEST} folders"
    return ""


def shown_path(path: str) -> str:
    """A path for messages, in quotes; of a long one both ends."""
    return repr(path if len(path) <= 2 * _SHOWN_END else f"{path[:_SHOWN_END]}…{path[-_SHOWN_END:]}")


def _is_small_file(entry: Entry) -> bool:
    return entry.mode not in (SYMLINK, SUBMODULE) and entry.size < _LFS_BYTES


def _fault(path: str, entry: Entry) -> str:
    return "a submodule" if entry.mode == SUBMODULE else check_path(path)


def _folders(path: str) -> Iterator[str]:
    return (str(folder) for folder in PurePosixPath(path).parents)


def _is_under(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _link_target(path: str, content: bytes) -> str:
    """The path a symlink names, inside the tree. UnsafeTree if it leaves it or could."""
    if fault := _link_fault(path, content):
        raise UnsafeTree(fault, hint="replace the link by the file it leads to")
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), content.decode()))


def _link_fault(path: str, content: bytes) -> str:
    """Why a symlink is refused; empty if it stays inside the tree.

    Only leading ``..`` are taken: these climb real folders. One further on could climb from where another link leads,
    which need not be where the text says.
    """
    target = content.decode(errors="surrogateescape")
    parts = [part for part in target.split("/") if part not in ("", ".")]
    climbs = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    outside = not target or target.startswith("/") or climbs > path.count("/")
    if outside or (parts[climbs:] and check_path("/".join(parts[climbs:]))):
        return f"a symlink that leaves the tree: {path!r} leads to {target!r}"
    return ""


def _write(path: Path, content: bytes, *, executable: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)
    path.chmod(0o755 if executable else 0o644)
