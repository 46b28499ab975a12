"""How an error of the core ends a step: tried again, or failed with one screen that says what to do.

The only place that decides so. Dagster's retry policies are not used, since they would retry whatever is raised and
hide the last reason behind "exceeded max_retries".
"""

from __future__ import annotations

import traceback

import dagster as dg

from deploy_pipeline.errors import DeployError, RetryableError
from deploy_pipeline.pipeline import metadata
from deploy_pipeline.pipeline.masking import masked_metadata
from deploy_pipeline.process_redaction import redact

RETRIES = 3
_FIRST_WAIT = 5.0  # seconds; doubles each time, so that a step gives up after 35 seconds of waiting
_SCREEN = 40  # lines


def retry_wait(error: DeployError, attempt: int) -> float | None:
    """Seconds to wait before the same step is tried again, None if it is not; ``attempt`` counts from 0."""
    if isinstance(error, RetryableError) and attempt < RETRIES:
        return _FIRST_WAIT * 2.0**attempt
    return None


def failure(error: DeployError) -> dg.Failure:
    """The end of the step: message, details and next step, without the way through the code."""
    facts: metadata.Metadata = {"error": dg.MetadataValue.text(type(error).__name__)}
    if error.details:
        facts["details"] = metadata.bullets(error.details)
    if error.hint:
        facts["next step"] = dg.MetadataValue.md(error.hint)
    return dg.Failure(description=one_screen(redact(str(error))), metadata=masked_metadata(facts), allow_retries=False)


def unexpected(error: Exception) -> dg.Failure:
    """The end of the step by an error nobody foresaw.

    Its text is left out, since nobody knows what a foreign error quotes: the way through the code finds the place.
    """
    return dg.Failure(
        description=_unforeseen(error),
        metadata={"error": type(error).__name__, "where": dg.MetadataValue.md(f"```\n{_way(error)}```")},
        allow_retries=False,
    )


def unexpected_in_tick(error: Exception) -> str:
    """The same for a tick, which has no metadata."""
    return f"{_unforeseen(error)}\n{_way(error)}"


def _unforeseen(error: Exception) -> str:
    return f"unexpected {type(error).__name__}: a fault of deploy_pipeline, not of what it was told to do"


def _way(error: Exception) -> str:
    return "".join(traceback.format_tb(error.__traceback__))


def one_screen(text: str) -> str:
    """At most a screen of a text, and how much more there is."""
    lines = text.splitlines()
    if len(lines) <= _SCREEN:
        return text
    # The last line is the next step.
    return "\n".join([*lines[: _SCREEN - 2], f"  … {len(lines) - _SCREEN + 1} more lines", lines[-1]])
