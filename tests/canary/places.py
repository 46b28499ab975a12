"""Everywhere that a value could be left: files, git objects, the forge, the deployer's records, other processes."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.support.github.state import Repository

Place = tuple[str, bytes]
"""What it is called, and what it holds."""


def files(*roots: Path) -> Iterator[Place]:
    """Every file below some folders, names included."""
    for root in roots:
        for path in root.rglob("*"):
            yield f"the name of {path}", os.fsencode(path.name)
            if path.is_file() and not path.is_symlink():
                yield str(path), path.read_bytes()


def git_objects(*roots: Path) -> Iterator[Place]:
    """Every object of every bare repository below some folders, reachable or not, unpacked; and the branches."""
    for head in (head for root in roots for head in root.rglob("HEAD")):
        if (head.parent / "objects").is_dir():
            for arguments in (("cat-file", "--batch-all-objects", "--batch"), ("for-each-ref",)):
                command = ["git", f"--git-dir={head.parent}", *arguments]
                done = subprocess.run(command, check=True, capture_output=True)
                yield f"git {arguments[0]} in {head.parent}", done.stdout


def forge(repository: Repository) -> Iterator[Place]:
    """What the forge was told: pull requests, comments, statuses, deployments."""
    told = {
        "pull requests": [(pull.title, pull.body, pull.number) for pull in repository.pulls.values()],
        "comments": [asdict(comment) for comment in repository.comments.values()],
        "statuses": [status.request for status in repository.statuses],
        "deployments": [(made.request, [s.request for s in made.statuses]) for made in repository.deployments.values()],
    }
    for name, content in told.items():
        yield f"{name} of the forge", json.dumps(content, ensure_ascii=False).encode()


def records(objects: Any) -> Iterator[Place]:
    """The deployer's own objects in the cluster as ``kubectl`` prints them, what it packed there unpacked."""
    for item in objects["items"]:
        name = f"{item['kind']} {item['metadata']['name']} of the deployer"
        yield name, json.dumps(item, ensure_ascii=False).encode()
        for key, value in (item.get("data") or {}).items():
            yield f"{name}, {key}", _unpacked(value)


def _unpacked(value: str) -> bytes:
    """A value as it was before it was packed for the cluster; if it was not, as it is."""
    try:
        return zlib.decompress(base64.b64decode(value, validate=True))
    except (ValueError, zlib.error):
        return value.encode()


@dataclass
class ProcessWatch:
    """Arguments and environment of every process below this one, looked at all the time; use as a context manager."""

    arguments: set[bytes] = field(default_factory=set)
    environments: set[bytes] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> ProcessWatch:  # noqa: PYI034 - typing.Self came with Python 3.11
        self._thread = threading.Thread(target=self._look, name="process watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            for process in children(Path("/proc/self")):
                self.arguments.add(content_of(process / "cmdline"))
                self.environments.add(content_of(process / "environ"))

    def calls_of_helm(self) -> set[bytes]:
        """The arguments of Helm, if it was seen at all."""
        return {arguments for arguments in self.arguments if b"helm" in arguments}

    def places(self) -> Iterator[Place]:
        """What was seen."""
        yield "arguments of processes", b"\n".join(self.arguments).replace(b"\0", b"\n")
        yield "environments of processes", b"\n".join(self.environments).replace(b"\0", b"\n")


def children(process: Path) -> Iterator[Path]:
    """The folders in /proc of the children of a process, and of theirs."""
    for task in _folders(process / "task"):
        for number in content_of(task / "children").split():
            child = Path("/proc", number.decode())
            yield child
            yield from children(child)


def _folders(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except OSError:
        return []


def content_of(path: Path) -> bytes:
    """A file in /proc; nothing if its process is gone."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
