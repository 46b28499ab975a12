"""A lock between processes and threads that a killed process cannot leave behind."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy_pipeline.errors import RepositoryUnreachable

_POLL_SECONDS = 0.05


@contextmanager
def locked(path: Path, *, timeout: float) -> Iterator[None]:
    """Hold the lock file while the block runs; RepositoryUnreachable if others hold it for ``timeout`` seconds.

    The kernel ends the lock with the process. Each call opens the file anew, so that threads exclude each other too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RepositoryUnreachable(
                        f"another process works on {path.with_suffix('')} for more than {timeout:g} s"
                    ) from None
                time.sleep(_POLL_SECONDS)
        yield
