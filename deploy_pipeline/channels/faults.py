"""Faults of configuration files: where each lies, why it is one, and what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn

from deploy_pipeline.errors import ChannelFaults

Location = tuple[str | int, ...]
"""Keys and list positions from the top of a file, such as ``("releases", 2, "helm_chart")``."""

_SHOWN = 60


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in one file; ``line`` counts from 1 and is None for the file as a whole."""

    file: str
    where: Location
    reason: str
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}: {location_text(self.where)}" if self.where else self.file
        return f"{place}: {self.reason}" + (f" (line {self.line})" if self.line else "")


def refuse(faults: Sequence[Fault]) -> NoReturn:
    """Raise ChannelFaults with every fault, file by file and each file from top to bottom."""
    files = sorted({fault.file for fault in faults})
    count = f"{len(faults)} faults" if len(faults) > 1 else "1 fault"
    raise ChannelFaults(
        f"{count} in {files[0] if len(files) == 1 else f'{len(files)} files'}",
        details=[str(fault) for fault in sorted(faults, key=lambda fault: (fault.file, fault.line or 0))],
        hint="correct the files and push again; `deploy-pipeline validate` checks a checkout before it is pushed",
    )


def location_text(where: Location) -> str:
    """``releases[2].helm_chart`` for the location of that name."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in where)
    return text.removeprefix(".")


def shown(value: object) -> str:
    """A value from a file, short enough for a message and without line breaks or control characters."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = value if isinstance(value, str) else str(value)
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}…"


def suggestion(word: str, known: Iterable[str]) -> str:
    """What was probably meant by an unknown word, or else everything that is known."""
    names = sorted(known)
    near = get_close_matches(word, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known are {', '.join(names)}" if names else "there is none"


def _key(key: str) -> str:
    return key if key.isidentifier() else shown(key)
