"""What was found wrong with an object: which one, in which file, which field, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from deploy_pipeline.changes import element_path, join_path, labels


class Severity(str, Enum):
    """What a finding brings about: no diff and no release, or words in the diff."""

    REFUSAL = "refusal"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One finding. ``file`` is where the rendered object can be read, ``field`` empty for the object as a whole."""

    severity: Severity
    app: str
    object: str
    file: str
    field: str
    words: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.file, self.object, self.field, self.words)))


def field_name(manifest: Mapping[str, Any], path: Iterable[str | int]) -> str:
    """The path of a field as change sets show it, elements of lists by their names."""
    text, value = "", cast("Any", manifest)
    for part in path:
        text = element_path(text, labels(value)[part]) if isinstance(part, int) else join_path(text, part)
        value = value[part]
    return text
