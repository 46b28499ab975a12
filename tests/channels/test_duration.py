"""Durations in Go's syntax."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy_pipeline.channels import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("90s", 90),
        ("600s", 600),
        ("10m0s", 600),
        ("1h", 3600),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("1.s", 1),
        ("1h2m3s", 3723),
        ("1m1m", 120),
        ("100ms", 0.1),
        ("1500us", 0.0015),
        ("1500µs", 0.0015),
        ("2000ns", 0.000002),
    ],
)
def test_what_go_reads_is_read(text: str, seconds: float) -> None:
    """Each form of time.ParseDuration that is not negative."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "s", ".s", "5 s", " 5s", "5s\n", "5S", "5d", "-5s", "+5s", "1e3s", "٣s", "PT5M"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Neither other notations nor blanks pass."""
    with pytest.raises(ValueError, match=r"must be a duration such as 90s, 10m0s or 1\.5h"):
        parse_duration(text)


def test_a_missing_unit_is_pointed_out() -> None:
    """The most common mistake gets its own answer."""
    with pytest.raises(ValueError, match="the unit is missing: 600s for seconds"):
        parse_duration("600")


@pytest.mark.parametrize("text", ["2562048h", "99999999999999999999s"])
def test_more_than_go_can_count_is_refused(text: str) -> None:
    """Go's limit is 2562047h47m16.854775807s."""
    assert parse_duration("2562047h47m16s") == timedelta(hours=2562047, minutes=47, seconds=16)
    with pytest.raises(ValueError, match="longer than any duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(microseconds=7), "7µs"),
        (timedelta(milliseconds=1.5), "1.5ms"),
        (timedelta(seconds=1.5), "1.5s"),
        (timedelta(seconds=90), "1m30s"),
        (timedelta(minutes=10), "10m0s"),
        (timedelta(hours=1), "1h0m0s"),
        (timedelta(days=2, microseconds=1), "48h0m0.000001s"),
    ],
)
def test_durations_are_written_as_go_writes_them(duration: timedelta, text: str) -> None:
    """The examples follow Go's Duration.String."""
    assert format_duration(duration) == text


def test_a_negative_duration_is_not_written() -> None:
    """It could not be read again."""
    with pytest.raises(ValueError, match="cannot be negative"):
        format_duration(timedelta(seconds=-1))


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=100_000)))
def test_what_is_written_is_read_as_the_same(duration: timedelta) -> None:
    """No microsecond is lost on the way."""
    assert parse_duration(format_duration(duration)) == duration
