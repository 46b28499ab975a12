"""Registries that the tests share: an open one, and one that wants a login."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.images.registry import Registry, serve, serve_with_login


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that lets everybody in."""
    with serve(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="session")
def locked_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that wants USER and PASSWORD."""
    with serve_with_login(tmp_path_factory.mktemp("locked-registry")) as running:
        yield running
