"""The stage of the random histories, used for stories that are told one by one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.properties.conftest import opened_stage, stage
from tests.properties.stage import Place, Stage

__all__ = ["opened_stage", "stage"]


@pytest.fixture
def place(stage: Stage) -> Iterator[Place]:
    """Names of its own in the cluster; all that is made under them is deleted in the end."""
    with stage.place() as place:
        yield place
