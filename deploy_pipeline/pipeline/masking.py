"""What is handed to Dagster passes the process's redactor once more: it is stored, and shown to everybody.

What comes from the core is masked already. This is for what got past it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from deploy_pipeline.pipeline.events import Event
from deploy_pipeline.process_redaction import redact

# Hexadecimal by our own computation, and copied by people: a short value that occurs in one by chance stays.
_COMPUTED = frozenset(("digest", "tree", "cluster"))


def masked(event: Event) -> Event:
    """The event without secrets in its description and metadata."""
    if isinstance(event, dg.AssetCheckEvaluation):
        return masked_check(event)
    return type(event)(
        asset_key=event.asset_key,
        partition=event.partition,
        description=redact(event.description or ""),
        metadata=masked_metadata(event.metadata),
    )


def masked_check(check: dg.AssetCheckEvaluation) -> dg.AssetCheckEvaluation:
    """The same for a check."""
    return dg.AssetCheckEvaluation(
        asset_key=check.asset_key,
        check_name=check.check_name,
        passed=check.passed,
        severity=check.severity,
        description=redact(check.description or ""),
        metadata=masked_metadata(check.metadata),
    )


def masked_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata with its texts masked, Markdown among them; addresses are our own."""
    return {name: value if name in _COMPUTED else _masked_value(value) for name, value in metadata.items()}


def _masked_value(value: Any) -> Any:
    match value:
        case str():
            return redact(value)
        case dg.TextMetadataValue():
            return dg.MetadataValue.text(redact(value.value or ""))
        case dg.MarkdownMetadataValue():
            return dg.MetadataValue.md(redact(value.value or ""))
    return value
