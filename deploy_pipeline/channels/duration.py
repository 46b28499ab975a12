"""Durations in Go's syntax (``10m0s``, ``1.5h``, ``600s``), since that is what Helm and kubectl read and print.

The grammar is that of ``time.ParseDuration``: decimal numbers, each with a unit. None is negative here.
"""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction

_MICROSECONDS = {
    "ns": Fraction(1, 1000),
    "us": Fraction(1),
    "µs": Fraction(1),
    "ms": Fraction(1000),
    "s": Fraction(1_000_000),
    "m": Fraction(60_000_000),
    "h": Fraction(3_600_000_000),
}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
# Go counts nanoseconds in 64 bits: no program that gets the value could hold a longer one.
_LONGEST = Fraction(2**63 - 1, 1000)
_LONGEST_TEXT = 64


def parse_duration(text: str) -> timedelta:
    """Read a duration such as ``10m0s``; ValueError says what is wrong. Parts below a microsecond are cut off."""
    if text == "0":
        return timedelta(0)
    if len(text) > _LONGEST_TEXT or not _WHOLE.fullmatch(text):
        raise ValueError("must be a duration such as 90s, 10m0s or 1.5h" + _unit_hint(text))
    parts: list[tuple[str, str]] = [match.groups() for match in _PART.finditer(text)]  # type: ignore[misc]
    microseconds = sum(Fraction(_decimal(number)) * _MICROSECONDS[unit] for number, unit in parts)
    if microseconds > _LONGEST:
        raise ValueError("is longer than any duration that can be counted (about 292 years)")
    return timedelta(microseconds=int(microseconds))


def format_duration(duration: timedelta) -> str:
    """Write a duration as Go prints it: ``10m0s``, ``1h0m0s``, ``1.5s``, ``500ms``; ValueError if it is negative."""
    total = duration // timedelta(microseconds=1)
    if total < 0:
        raise ValueError("a duration cannot be negative")
    if 0 < total < 1000:
        return f"{total}µs"
    if 0 < total < 1_000_000:
        return f"{_trimmed(total, 1000)}ms"
    minutes, microseconds = divmod(total, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_trimmed(microseconds, 1_000_000)}s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _decimal(number: str) -> str:
    return f"0{number}".rstrip(".")


def _trimmed(amount: int, unit: int) -> str:
    whole, rest = divmod(amount, unit)
    digits = str(rest).zfill(len(str(unit)) - 1).rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def _unit_hint(text: str) -> str:
    return f"; the unit is missing: {text}s for seconds" if text.isascii() and text.isdigit() and len(text) < 10 else ""
