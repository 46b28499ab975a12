"""Directories for files that hold secrets: in memory where the system has a tmpfs, for this user only, gone afterwards.

A killed process cannot clean up, so whoever makes the next directory, and every deployer that starts, removes those of
dead processes. A directory is locked as long as its process lives (flock(2); the system gives the lock up for whoever
dies): that shows across containers as well, which may share the memory of a pod and see other process numbers.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_OURS = re.compile(r"deploy-pipeline-[0-9]+-[a-z0-9_]{8}")  # with the number of its process, for whoever looks
_making, _of_processes = threading.Lock(), dict[int, Path]()
_MEMORY = Path("/dev/shm")  # noqa: S108 (a directory of our own is made in it, with mode 0700)


@contextmanager
def private_directory(base: Path | None = None) -> Iterator[Path]:
    """A new empty directory with mode 0700, removed with all its content at the end of the block.

    It lies in ``base``, for what is too large for memory.
    """
    directory, lock = _make(base or _base())
    try:
        yield directory
    finally:
        _give_up(directory, lock)


def process_directory() -> Path:
    """A directory like that for as long as this process lives: for libraries that write files and leave them.

    Another one in a forked process, and after somebody has removed it.
    """
    process = os.getpid()
    with _making:
        if process not in _of_processes or not _of_processes[process].exists():
            directory, lock = _make(_base())
            atexit.register(_give_up, directory, lock, process)
            _of_processes[process] = directory
        return _of_processes[process]


def sweep(base: Path | None = None) -> None:
    """Remove our directories whose process is gone; without ``base`` those where private directories lie."""
    for left in (base or _base()).glob("deploy-pipeline-*"):
        if _OURS.fullmatch(left.name):
            with suppress(OSError):  # somebody holds it, or was faster; or it belongs to another user
                _remove_abandoned(left)


def _make(base: Path) -> tuple[Path, int]:
    """A new directory, and the descriptor whose lock says that we live; those of the dead are gone then."""
    sweep(base)
    while True:
        directory = Path(tempfile.mkdtemp(prefix=f"deploy-pipeline-{os.getpid()}-", dir=base))
        with suppress(FileNotFoundError):
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(OSError):  # a file system without locks: nobody can tell there what is left
                fcntl.flock(lock, fcntl.LOCK_EX)
            if directory.exists():  # nobody swept it before it was locked
                return directory, lock
            os.close(lock)


def _give_up(directory: Path, lock: int, process: int = 0) -> None:
    """Remove a directory; one of a process only in that one, not in those that it has forked."""
    if process in (0, os.getpid()):
        _remove(directory)
        os.close(lock)


def _remove_abandoned(directory: Path) -> None:
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(directory)
    finally:
        os.close(lock)


def _remove(directory: Path) -> None:
    """What a branch has brought may lie deeper than shutil.rmtree goes, in folders that nobody may write to."""
    folders = [directory]
    for folder in folders:  # which grow meanwhile
        for path in _within(folder):
            if path.is_dir() and not path.is_symlink():
                folders.append(path)
            else:
                with suppress(OSError):  # somebody else may remove it, too: whatever can go, goes
                    path.unlink()
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()


def _within(folder: Path) -> list[Path]:
    with suppress(OSError):
        folder.chmod(0o700)
        return list(folder.iterdir())
    return []


def _base() -> Path:
    return _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
