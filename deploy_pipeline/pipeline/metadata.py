"""The core's values as metadata that people want to see in Dagster: links, Markdown, numbers.

Everything that comes in is masked already (see ``changes``); what is added here is layout alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import dagster as dg

from deploy_pipeline.changes import ChangeSet, markdown, secret_versions
from deploy_pipeline.changes.drift import AppDrift
from deploy_pipeline.changes.drift_report import COLUMNS, app_differences, drift_rows

Metadata = dict[str, dg.MetadataValue]

_MOST_ROWS = 200


def commit(repository: str, sha: str) -> dg.MetadataValue:
    """A commit: a link where the repository has web pages, else its id."""
    page = web_page(repository)
    return dg.MetadataValue.url(f"{page}/commit/{sha}") if page and sha else dg.MetadataValue.text(sha or "none")


def web_page(repository: str) -> str:
    """The web page of a repository with an http(s) URL, "" for every other one."""
    parts = urlsplit(repository)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return ""
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('.git')}"


def change_set(value: ChangeSet) -> Metadata:
    """What reviewers read: the digest they approve, the counts and the differences."""
    return {
        "changes": dg.MetadataValue.md(markdown(value)),
        "digest": dg.MetadataValue.text(value.digest),
        "tree": dg.MetadataValue.text(value.tree),
        "cluster": dg.MetadataValue.text(value.cluster),
        **secrets(value),
        "apps changed": dg.MetadataValue.int(sum(not app.is_empty for app in value.apps)),
        **counts(value.counts),
    }


def secrets(value: ChangeSet) -> Metadata:
    """Which version of each secret was read, if the store numbers them."""
    versions = secret_versions(value)
    return {"secrets": dg.MetadataValue.text(versions)} if versions else {}


def drift(value: AppDrift) -> Metadata:
    """What is not as released: a table of fields with who changed them, the differences as text, and the numbers."""
    rows = [dg.TableRecord(row) for row in drift_rows(value)]
    shown: Metadata = {f"objects: {word}": dg.MetadataValue.int(number) for word, number in value.counts.items()}
    shown["objects: as released"] = dg.MetadataValue.int(value.as_released)
    if rows:
        columns = dg.TableSchema(columns=[dg.TableColumn(name) for name in COLUMNS])
        table = dg.MetadataValue.table(rows[:_MOST_ROWS], schema=columns)
        shown |= {"healed" if value.healed else "drift": table}
        shown["differences"] = dg.MetadataValue.md(app_differences(value))
    return shown


def counts(by_operation: Mapping[str, int]) -> Metadata:
    """Number of objects by operation, each under a key of its own so that Dagster can plot it."""
    return {f"objects: {operation}": dg.MetadataValue.int(number) for operation, number in by_operation.items()}


def seconds(value: float) -> dg.MetadataValue:
    """A duration in seconds, to the millisecond."""
    return dg.MetadataValue.float(round(value, 3))


def bullets(lines: Iterable[str]) -> dg.MetadataValue:
    """A Markdown list; line breaks inside an entry stay inside it."""
    return dg.MetadataValue.md("\n".join("- " + line.replace("\n", "\n  ") for line in lines) or "none")
