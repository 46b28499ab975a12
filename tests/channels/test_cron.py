"""Cron expressions of five fields."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy_pipeline.channels.cron import check_cron


@pytest.mark.parametrize(
    "expression",
    [
        "* * * * *",
        "*/30 * * * *",
        "0 6 * * 1-5",
        "0,30 8-18/2 1,15 * *",
        "5/10 * * * *",
        "0 0 29 2 *",
        "0 0 31 1,2 *",
        "0 0 30 2 mon",
        "0 0 * JAN-mar sun,Sat",
        "0 0 * * 7",
    ],
)
def test_right_expressions_pass(expression: str) -> None:
    """What cron implementations agree on is taken as it is."""
    assert check_cron(expression) == expression


def test_blanks_are_normalised() -> None:
    """Tabs and several blanks separate fields as well as one."""
    assert check_cron(" 0\t0  * * *\n") == "0 0 * * *"


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "five fields such as '*/30 * * * *', not 0"),
        ("* * * *", "five fields such as '*/30 * * * *', not 4"),
        ("* * * * * *", "five fields such as '*/30 * * * *', not 6"),
        ("@hourly", "five fields"),
        ("60 * * * *", "minute '60' is not between 0 and 59"),
        ("* 24 * * *", "hour '24' is not between 0 and 23"),
        ("* * 0 * *", "day of the month '0' is not between 1 and 31"),
        ("* * * 13 *", "month '13' is not between 1 and 12"),
        ("* * * * 8", "day of the week '8' is not between 0 and 7"),
        ("* * * mon *", "month 'mon' is not between 1 and 12"),
        ("jan * * * *", "minute 'jan' is not between 0 and 59"),
        ("*/0 * * * *", "minute '*/0' selects nothing"),
        ("30-10 * * * *", "minute '30-10' selects nothing"),
        ("1,,2 * * * *", "minute '' is neither a number, a range, a step nor *"),
        ("-1 * * * *", "minute '-1' is neither"),
        ("*-5 * * * *", r"minute '\*-5' is neither"),
        ("x * * * *", "minute 'x' is neither"),
        ("* * L * *", "day of the month 'l' is neither"),
        ("* * * * mon#1", "day of the week 'mon#1' is neither"),
        ("٣ * * * *", "minute '٣' is neither"),
        ("0 0 30 2 *", "a day that never comes"),
        ("0 0 31 4,6,9,11 *", "a day that never comes"),
    ],
)
def test_wrong_expressions_are_refused_with_the_reason(expression: str, reason: str) -> None:
    """The reason names the field."""
    with pytest.raises(ValueError, match=reason.replace("*/", r"\*/").replace("* *", r"\* \*")):
        check_cron(expression)


NUMBERS = st.integers(0, 60).map(str)
NAMES = st.sampled_from(["jan", "Dec", "sun", "SAT", "*"])
RANGES = st.builds("{}-{}".format, NUMBERS | NAMES, NUMBERS | NAMES)
PARTS = NUMBERS | NAMES | RANGES | st.builds("{}/{}".format, NUMBERS | NAMES | RANGES, NUMBERS)
FIELDS = st.lists(PARTS, min_size=1, max_size=3).map(",".join)


@settings(max_examples=500, deadline=None)
@given(st.lists(FIELDS | st.just("*"), min_size=5, max_size=5).map(" ".join))
def test_what_passes_is_right_for_the_scheduler(expression: str) -> None:
    """A schedule that is refused while the code location loads would take all others down with it."""
    from dagster._utils.schedules import is_valid_cron_string

    try:
        check_cron(expression)
    except ValueError:
        return
    assert is_valid_cron_string(expression)
