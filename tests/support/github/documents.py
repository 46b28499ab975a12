"""Documents as GitHub sends them: what the stand-in knows, and for every other required field something that fits.

GitHub's documents have dozens of fields nobody here looks at. They are filled in from the description, so that a
document is complete without anybody having written it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.github.description import flat, schema

_TEXTS = {"uri": "https://github.invalid/", "date-time": "2026-01-01T00:00:00Z", "email": "nobody@example.invalid"}


def document(name: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """A document of the schema ``name`` with these values; KeyError for a value that the schema does not know."""
    return _filled(flat(schema(name)), known, name)


def _filled(part: Mapping[str, Any], known: Mapping[str, Any], where: str) -> dict[str, Any]:
    properties: Mapping[str, Any] = part.get("properties", {})
    unknown = set(known) - set(properties)
    if unknown and not part.get("additionalProperties"):
        raise KeyError(f"{where} has no {sorted(unknown)}")
    missing = [name for name in part.get("required", ()) if name not in known]
    return {
        **{name: _synthesized(properties.get(name, {}), f"{where}.{name}") for name in missing},
        **{name: _completed(properties.get(name, {}), value, f"{where}.{name}") for name, value in known.items()},
    }


def _completed(part: Mapping[str, Any], value: Any, where: str) -> Any:
    part = flat(part)
    if isinstance(value, dict) and part.get("properties"):
        return _filled(part, value, where)
    if isinstance(value, list) and "items" in part:
        return [_completed(part["items"], item, where) for item in value]
    return value


def _synthesized(part: Mapping[str, Any], where: str) -> Any:
    part = flat(part)
    if part.get("nullable"):
        return None
    if "enum" in part:
        return part["enum"][0]
    if "default" in part:
        return part["default"]
    kinds = {"string": _TEXTS.get(part.get("format", ""), ""), "integer": 0, "number": 0, "boolean": False, "array": []}
    kind = part.get("type", "object")
    return kinds[kind] if kind in kinds else _filled(part, {}, where)
