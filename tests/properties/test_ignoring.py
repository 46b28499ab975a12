"""The same for apps some of whose fields are somebody else's."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.properties.histories import IGNORING, histories
from tests.properties.playing import play_all
from tests.properties.stage import Stage


@pytest.mark.timeout(1800)
def test_what_is_ignored_stays_as_it_is(stage: Stage) -> None:
    """Whatever others do in between; all that was promised of releases holds."""
    play_all(stage, histories(stage.able(IGNORING)), settings(max_examples=6, derandomize=True))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_what_is_ignored_stays_as_it_is_in_many_more_histories(stage: Stage) -> None:
    """The same for histories that differ each time."""
    play_all(stage, histories(stage.able(IGNORING)), settings(max_examples=100))
