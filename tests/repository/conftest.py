"""A mirror of the example."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy_pipeline.repository import Mirror
from tests.support.origin import Origin


@pytest.fixture
def mirror(origin: Origin, tmp_path: Path) -> Mirror:
    """A mirror of ``origin`` that was fetched once."""
    mirror = Mirror(origin.url, tmp_path / "state" / "mirror.git", timeout=30)
    mirror.fetch()
    return mirror
