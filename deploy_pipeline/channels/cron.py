"""Cron expressions of five fields: minute, hour, day of the month, month, day of the week.

They are checked here so that a bad one is reported together with all other faults of its file, by a core that knows no
scheduler. Only what every cron implementation reads the same way is accepted: no ``@daily``, no seconds, no ``L``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PART = re.compile(r"(?P<from>\*|[0-9]{1,2}|[a-z]{3})(?:-(?P<to>[0-9]{1,2}|[a-z]{3}))?(?:/(?P<step>[0-9]{1,2}))?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST_MONTH = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def values(self, text: str) -> set[int]:
        """The values that the field's text selects; ValueError says what is wrong."""
        return set().union(*(self._range(part) for part in text.lower().split(",")))

    def _range(self, part: str) -> range:
        match = _PART.fullmatch(part)
        if not match or (match["from"] == "*" and match["to"]):
            raise ValueError(f"{self.name} {part!r} is neither a number, a range, a step nor *")
        step = int(match["step"] or 1)
        first = self.low if match["from"] == "*" else self._number(match["from"])
        alone = match["from"] != "*" and not match["step"]
        last = self._number(match["to"]) if match["to"] else first if alone else self.high
        if first > last or step < 1:
            raise ValueError(f"{self.name} {part!r} selects nothing")
        return range(first, last + 1, step)

    def _number(self, text: str) -> int:
        named = text in self.names
        number = self.names.index(text) + self.low if named else int(text) if text.isdigit() else -1
        if not self.low <= number <= self.high:
            raise ValueError(f"{self.name} {text!r} is not between {self.low} and {self.high}")
        return number


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 7, _WEEKDAYS),
)


def check_cron(expression: str) -> str:
    """Return the expression with single blanks between its fields; ValueError says what is wrong with it."""
    texts = expression.split()
    if len(texts) != len(_FIELDS):
        raise ValueError(f"must be a cron expression of five fields such as '*/30 * * * *', not {len(texts)}")
    _, _, days, months, _ = (each.values(text) for each, text in zip(_FIELDS, texts, strict=True))
    # With a day of the week too, cron takes either of both, which always comes.
    if texts[4] == "*" and min(days) > max(_LONGEST_MONTH.get(month, 31) for month in months):
        raise ValueError("names a day that never comes")
    return " ".join(texts)
