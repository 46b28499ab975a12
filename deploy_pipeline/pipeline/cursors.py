"""What a sensor remembers between ticks.

A cursor can be lost: with Dagster's database, by a renamed code location, by hand. Nothing may depend on it but speed,
so whatever cannot be read counts as lost, is said in the tick, and makes the sensor look at every branch anew. That
repeats work which the core finds to be done already.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError


class Cursor(BaseModel):
    """The state in which each subject (a branch, a channel or a pull request) was last handled.

    ``epoch`` is random and made with the cursor, ``round`` counts the ticks that asked for runs. Together they make run
    keys that repeat only when Dagster repeats a tick whose cursor was not stored. ``forge`` is the forge's own cursor,
    by which it reads only what is new.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    sensor: str
    repository: str
    epoch: str
    round: int = 0
    seen: dict[str, str] = {}
    forge: str = ""

    @property
    def mark(self) -> str:
        """What tells this round's run keys from those of every other round."""
        return f"{self.epoch}.{self.round}"


def read_cursor(text: str | None, *, sensor: str, repository: str, epoch: str) -> tuple[Cursor, str]:
    """The stored cursor, or a new one with ``epoch``, and why it is new ("" if it is not).

    Never raises: a cursor of another sensor, another repository or another format is a lost one.
    """
    new = Cursor(sensor=sensor, repository=repository, epoch=epoch)
    if not text:
        return new, "no cursor yet: looking at every branch"
    try:
        stored = Cursor.model_validate_json(text)
    except ValidationError:
        return new, "the cursor cannot be read: looking at every branch anew"
    if (stored.sensor, stored.repository) != (new.sensor, new.repository):
        return new, "the cursor belongs to another sensor or repository: looking at every branch anew"
    return stored, ""
