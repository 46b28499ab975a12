"""What a sensor does with the cursor it finds: use it, or look at everything anew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy_pipeline.pipeline.cursors import Cursor, read_cursor

MINE = {"sensor": "releases", "repository": "https://git.example/r.git"}
STORED = Cursor(**MINE, epoch="e1", round=4, seen={"prod": "a" * 40})


def test_a_stored_cursor_is_read_back_unchanged() -> None:
    """What was seen, and where run keys stand, survives the database."""
    assert read_cursor(STORED.model_dump_json(), **MINE, epoch="e2") == (STORED, "")


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "null",
        "{",
        '"2024-01-01"',
        "12345",
        STORED.model_copy(update={"version": 2}).model_dump_json(),
        STORED.model_copy(update={"sensor": "candidates"}).model_dump_json(),
        STORED.model_copy(update={"repository": "https://git.example/other.git"}).model_dump_json(),
        STORED.model_dump_json().replace('"seen"', '"known"'),
        STORED.model_dump_json()[:-5],
    ],
    ids=["none", "empty", "null", "cut", "text", "number", "version", "sensor", "repository", "key", "truncated"],
)
def test_a_broken_or_foreign_cursor_counts_as_lost(text: str | None) -> None:
    """The sensor starts from nothing, under a new epoch, and the tick can say why."""
    cursor, why = read_cursor(text, **MINE, epoch="e2")
    assert cursor == Cursor(**MINE, epoch="e2")
    assert "looking at every branch" in why


@given(st.text())
def test_no_text_makes_reading_a_cursor_fail(text: str) -> None:
    """Somebody may have typed anything into the cursor's field in the UI."""
    cursor, _ = read_cursor(text, **MINE, epoch="e2")
    assert cursor.seen == {}
