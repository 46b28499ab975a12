"""For any two states of a chart, with hooks, and whatever happens in between: what is shown is what is done."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.properties.histories import HELM, HELM_RECREATING, histories
from tests.properties.playing import play_all
from tests.properties.stage import Stage


@pytest.mark.timeout(1800)
def test_what_is_shown_is_what_is_done(stage: Stage) -> None:
    """Object for object, field for field; then nothing is left to do, and nothing else was written."""
    play_all(stage, histories(stage.able(HELM)), settings(max_examples=5, derandomize=True))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_what_is_shown_is_what_is_done_in_many_more_histories(stage: Stage) -> None:
    """The same for histories that differ each time."""
    play_all(stage, histories(stage.able(HELM)), settings(max_examples=60))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_what_is_made_anew_was_shown(stage: Stage) -> None:
    """The same for charts whose objects may be made anew where they cannot be changed."""
    play_all(stage, histories(stage.able(HELM_RECREATING)), settings(max_examples=40))
