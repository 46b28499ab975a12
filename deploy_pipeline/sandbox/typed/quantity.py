"""Resource quantities: `0.5` is stored as `500m`, and limits have to be compared with requests.

The canonical form is that of apimachinery's `resource.Quantity`: no fraction, the largest suffix that allows that, and
the family of suffixes the author used.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

DECIMAL = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
PATTERN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([KMGTPE]i)|([numkMGTPE]?)|[eE]([+-]?\d+))", re.ASCII)
MESSAGE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def parse(text: str | int | float) -> Fraction:
    """The number a quantity stands for; ValueError says what is wrong."""
    match = PATTERN.fullmatch(str(text))
    if not match:
        raise ValueError(MESSAGE)
    number, binary, decimal, exponent = match.groups()
    scale = Fraction(1024) ** BINARY.index(binary or "") * Fraction(1000) ** (DECIMAL.index(decimal or "") - 3)
    return Fraction(number) * scale * Fraction(10) ** int(exponent or 0)


@lru_cache(maxsize=4096)
def canonical(text: str | int | float) -> str:
    """The form in which the server stores a quantity."""
    value = parse(text)
    if str(text).endswith("i") and abs(value) >= 1024 and value.denominator == 1:
        return _scaled(value, BINARY, 1024)
    if re.search(r"[eE][+-]?\d+$", str(text)):
        power = 0
        while value and value % 1000 == 0:
            value, power = value / 1000, power + 3
        return f"{value}e{power}" if power else str(value)
    return _scaled(value * 10**9, DECIMAL, 1000)


def _scaled(value: Fraction, suffixes: tuple[str, ...], step: int) -> str:
    whole, index = -(-value.numerator // value.denominator), 0
    while whole and whole % step == 0 and index < len(suffixes) - 1:
        whole, index = whole // step, index + 1
    return f"{whole}{suffixes[index]}" if whole else "0"
