"""A figure, and the table of all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

_HEAD = ("figure", "here", "target", "instead", "takes", "ratio")

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Figure:
    """One measured value with its unit, what it should be at most, and what people use instead with its value."""

    name: str
    value: float
    unit: str = "s"
    target: float | None = None
    instead: str = ""
    instead_value: float = 0.0

    @property
    def row(self) -> tuple[str, ...]:
        """The figure as it stands in the table; a ratio above 1 says how many times quicker we are."""
        target = f"{self.target:g} {self.unit}" if self.target is not None else ""
        other = f"{self.instead_value:.2f} {self.unit}" if self.instead else ""
        ratio = f"{self.instead_value / self.value:.1f}" if self.instead and self.value else ""
        return (self.name, f"{self.value:.2f} {self.unit}", target, self.instead, other, ratio)


def timed(action: Callable[[], _Value]) -> tuple[float, _Value]:
    """Seconds that the action took, and what it gave."""
    started = time.monotonic()
    value = action()
    return time.monotonic() - started, value


def table(figures: Sequence[Figure]) -> str:
    """All figures, one a line."""
    rows = [_HEAD, *(figure.row for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
