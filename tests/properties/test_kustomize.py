"""For any two states of kustomize apps and whatever happens in between: what is shown is what is done."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.properties.histories import KUSTOMIZE, histories
from tests.properties.playing import play_all
from tests.properties.stage import Stage


@pytest.mark.timeout(1800)
def test_what_is_shown_is_what_is_done(stage: Stage) -> None:
    """Object for object, field for field; then nothing is left to do, and nothing else was written."""
    play_all(stage, histories(stage.able(KUSTOMIZE)), settings(max_examples=40, derandomize=True))
    assert len({ref.kind for ref in stage.proven}) > 3, "hardly any object proved to be as it is wanted"


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_what_is_shown_is_what_is_done_in_many_more_histories(stage: Stage) -> None:
    """The same for histories that differ each time."""
    play_all(stage, histories(stage.able(KUSTOMIZE)), settings(max_examples=300))
