"""The same for apps whose objects may be made anew where they cannot be changed."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.properties.histories import RECREATING, histories
from tests.properties.playing import play_all
from tests.properties.stage import Stage


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_what_is_made_anew_was_shown(stage: Stage) -> None:
    """Whatever others do in between; all that was promised of releases holds."""
    play_all(stage, histories(stage.able(RECREATING)), settings(max_examples=6, derandomize=True))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_what_is_made_anew_was_shown_in_many_more_histories(stage: Stage) -> None:
    """The same for histories that differ each time."""
    play_all(stage, histories(stage.able(RECREATING)), settings(max_examples=100))
