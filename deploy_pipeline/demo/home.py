"""The folder that a demo keeps everything in: made anew by each start, and by one demo at a time.

Making it anew means deleting what an earlier demo left. A folder is deleted only if a demo made it, which a marker file
says; the lock on that file keeps a second demo from pulling the floor from under the first.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy_pipeline.errors import RefusedError

MARKER = ".deploy-pipeline-demo"
_MARKER_TEXT = "Made by `python -m deploy_pipeline.demo`, which deletes this folder when it starts again.\n"


@dataclass(frozen=True)
class Home:
    """Where everything of one demo lies."""

    path: Path

    @property
    def origin(self) -> Path:
        """The bare repository that is deployed."""
        return self.path / "example.git"

    @property
    def clone(self) -> Path:
        """A person's clone of it."""
        return self.path / "work"

    @property
    def logs(self) -> Path:
        """What the processes print, one file for each."""
        return self.path / "logs"

    @property
    def kubeconfig(self) -> Path:
        """One context for each channel's cluster, named like the channel."""
        return self.path / "kubeconfig"

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME."""
        return self.path / "dagster"

    @property
    def state(self) -> Path:
        """The deployer's mirror and caches."""
        return self.path / "state"

    @property
    def secrets(self) -> Path:
        """The secret store: a file for each secret."""
        return self.path / "secrets"

    @property
    def github(self) -> Path:
        """What GitHub's stand-in keeps, and the files about it beside that."""
        return self.path / "github"

    @property
    def environment(self) -> Path:
        """A file to source in a shell, for the command line."""
        return self.path / "environment"

    def cluster(self, channel: str) -> Path:
        """The state of a channel's cluster; its own kubeconfig lies beside it."""
        return self.path / "clusters" / channel


@contextmanager
def fresh_home(path: Path) -> Iterator[Home]:
    """An empty folder at ``path`` that is this process's own while the context lasts; its content stays afterwards.

    Raises RefusedError if something lies there that no demo made, or if another demo is running there.
    """
    marker = path / MARKER
    if path.is_symlink() or (path.exists() and not path.is_dir()) or (_holds_anything(path) and not _is_ours(marker)):
        raise RefusedError(
            f"{path} was not made by the demo, so it is not deleted", hint="move it away, or remove it yourself"
        )
    path.mkdir(parents=True, exist_ok=True)
    with marker.open("a") as file:
        _lock(file.fileno(), path)
        for entry in path.iterdir():
            if entry != marker:
                _delete(entry)
        file.truncate(0)
        file.write(_MARKER_TEXT)
        file.flush()
        yield Home(path)


def _holds_anything(path: Path) -> bool:
    return path.is_dir() and any(path.iterdir())


def _is_ours(marker: Path) -> bool:
    return marker.is_file() and not marker.is_symlink()


def _lock(descriptor: int, path: Path) -> None:
    """Take the lock for as long as the file is open; it does not outlive the process."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RefusedError(f"another demo is running in {path}", hint="stop it first (Ctrl-C)") from None


def _delete(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()
