"""Secrets whose values can be read in git: in the candidate, and so in whatever made it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from deploy_pipeline.cluster.objects import ObjectRef
from deploy_pipeline.rendering import PLACEHOLDER

# What a chart makes of a placeholder for a number or a truth value, and of nothing at all.
_TELLING_NOTHING = frozenset(("", "0", "false", "null"))
# Characters beside a placeholder from which on they may be a secret of their own; nobody can tell which are.
_TELLING = 8


def plain_values(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The fields of a Secret that hold a value, placeholders of stored secrets aside; none of other objects.

    Of a text around placeholders less than eight characters are no value: quotes, ``Bearer``, a user's name.
    """
    ref = ObjectRef.of(manifest)
    if (ref.group, ref.kind) != ("", "Secret"):
        return
    for holder, read in (("data", _decoded), ("stringData", str)):
        for key, value in (manifest.get(holder) or {}).items():
            if _tells(read(value)):
                yield holder, str(key)


def _tells(text: str) -> bool:
    beside, placeholders = PLACEHOLDER.subn("", text)
    return len(beside) >= _TELLING if placeholders else text not in _TELLING_NOTHING


def _decoded(value: Any) -> str:
    try:
        return base64.b64decode(str(value), validate=True).decode(errors="replace")
    except (binascii.Error, ValueError):
        return str(value)
