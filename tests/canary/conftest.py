"""The world of the canaries, with every log record and whatever is printed kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.canary.scene import Scene, scene


@pytest.fixture
def begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Mapping[str, str]], AbstractContextManager[Scene]]:
    """Opens the scene with these values in the secret store."""
    return lambda values: scene(tmp_path, values, monkeypatch)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """A file in which every logger writes all that it has to say."""
    path = tmp_path / "all.log"
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    root, before = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield path
    root.setLevel(before)
    root.removeHandler(handler)
    handler.close()
