"""Paths of fields in objects, as change sets show them: ``spec.template.spec.containers[app].image``.

A part is a key, a key in quotes where it is no plain word (``metadata.annotations["example.com/note"]``), or an element
of a list: by its name (``[name="…"]`` where that is no plain word), by its position, or ``*`` for all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_KEY = r"[A-Za-z0-9_$-]+"
_PART = re.compile(
    rf'(?:^|(?<!^)\.)(?P<key>{_KEY})|\["(?P<quoted>[^"\\]+)"\]|\[(?:name="(?P<named>[^"\\]+)"|(?P<element>[^\]"]+))\]'
)
_IDENTITY = (("apiVersion",), ("kind",), ("status",), ("metadata", "name"), ("metadata", "namespace"))
_WHOLE = (("metadata",), ("spec",), ("metadata", "labels"))


@dataclass(frozen=True)
class Element:
    """An element of a list: its name, its position as digits, or ``*``."""

    label: str


@dataclass(frozen=True)
class FieldPath:
    """One path; ``parts`` are keys (text) and elements."""

    text: str
    parts: tuple[str | Element, ...]

    @classmethod
    def parse(cls, text: str) -> FieldPath:
        """Read a path; ValueError says what is wrong with it."""
        parts: list[str | Element] = []
        position = 0
        while position < len(text):
            match = _PART.match(text, position)
            if not match:
                raise ValueError(f"must be a path such as spec.replicas or spec.ports[http].port, not {text!r}")
            key = match["key"] or match["quoted"]
            parts.append(key or Element(match["named"] or match["element"]))
            position = match.end()
        if not parts or isinstance(parts[0], Element):
            raise ValueError("must be a path that begins with a key, such as spec.replicas")
        return cls(text, tuple(parts))


def ignorable(text: str) -> str:
    """A check for paths that an ignore rule may name: no object is recognised by them, none is meant as a whole."""
    parts = FieldPath.parse(text).parts
    if parts in _WHOLE or any(parts[: len(fixed)] == fixed for fixed in _IDENTITY):
        raise ValueError(f"{text} cannot be ignored: objects are recognised by it, or it is more than a field")
    if parts[:2] == ("metadata", "labels") and str(parts[2]).startswith("deploy-pipeline.io/"):
        raise ValueError(f"{text} cannot be ignored: it says who owns the object")
    return text
