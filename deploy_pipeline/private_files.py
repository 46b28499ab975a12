"""Directories for files that hold secrets: in memory where the system has a tmpfs, for this user only, gone afterwards.

A killed process cannot clean up, so whoever makes the next directory, and every deployer that starts, removes those of
dead processes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "deploy-pipeline-"
_MEMORY = Path("/dev/shm")  # noqa: S108 (a directory of our own is made in it, with mode 0700)


@contextmanager
def private_directory() -> Iterator[Path]:
    """A new empty directory with mode 0700, removed with all its content at the end of the block."""
    base = _base()
    sweep(base)
    directory = Path(tempfile.mkdtemp(prefix=own_prefix(), dir=base))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def own_prefix() -> str:
    """How a directory of this process begins: its number, and when it started, since numbers are used again."""
    return f"{_PREFIX}{os.getpid()}-{_started(os.getpid())}-"


def sweep(base: Path | None = None) -> None:
    """Remove our directories whose process is gone; without ``base`` those where private directories lie."""
    base = base or _base()
    for left in base.glob(f"{_PREFIX}*-*-*"):
        pid, started = left.name.removeprefix(_PREFIX).split("-")[:2]
        if pid.isdigit() and not (_alive(int(pid)) and _started(int(pid)) in ("", started)):
            with suppress(OSError):
                shutil.rmtree(left)


def _base() -> Path:
    return _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started(pid: int) -> str:
    """When a process started, in the system's own count (proc(5), field 22 of stat); empty where nobody can tell."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]
