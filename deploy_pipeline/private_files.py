"""Directories for files that hold secrets: in memory where the system has a tmpfs, for this user only, gone afterwards.

A killed process cannot clean up, so whoever makes the next directory removes those of dead processes.
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
    base = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    sweep(base)
    directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def sweep(base: Path) -> None:
    """Remove our directories whose process is gone."""
    for left in base.glob(f"{_PREFIX}*-*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not _alive(int(pid)):
            with suppress(OSError):
                shutil.rmtree(left)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
