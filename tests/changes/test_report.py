"""The change set for people: complete, short enough, and safe against what branches put into it."""

from __future__ import annotations

import re

from deploy_pipeline.changes import (
    AppChanges,
    ChangeSet,
    FieldChange,
    ObjectChange,
    Operation,
    differences,
    markdown,
    text,
)
from deploy_pipeline.cluster.objects import ObjectRef


def change_set(
    *fields: FieldChange, warnings: tuple[str, ...] = (), operation: Operation = Operation.UPDATE
) -> ChangeSet:
    """One ConfigMap with these changes."""
    change = ObjectChange(ObjectRef("", "ConfigMap", "shop", "web"), operation, fields)
    return ChangeSet("test", "uid", "a" * 40, (AppChanges("web", "kustomize", (change,), warnings=warnings),))


def test_markdown_shows_every_field_before_and_after() -> None:
    """Reviewers see what goes and what comes."""
    document = markdown(change_set(FieldChange("data.mode", '"slow"', '"fast"')))
    assert '-   data.mode: "slow"' in document
    assert '+   data.mode: "fast"' in document
    assert "| web | kustomize | 0 | 1 | 0 | 0 |" in document


def test_a_value_with_backticks_cannot_end_the_fence() -> None:
    """Whatever follows the value still stands inside the code block."""
    document = markdown(change_set(FieldChange("data.x", None, '"`````\\n# owned"')))
    fence = re.search(r"^(`+)diff$", document, re.MULTILINE)
    assert fence is not None
    assert len(fence.group(1)) == 6
    assert document.rstrip().endswith(fence.group(1))


def test_a_text_of_many_lines_is_compared_line_by_line() -> None:
    """A configuration file in a ConfigMap is read as a file."""
    before, after = '"a: 1\\nb: 2\\nc: 3\\n"', '"a: 1\\nb: 5\\nc: 3\\n"'
    lines = text(change_set(FieldChange("data.file", before, after))).splitlines()
    shown = [line.strip() for line in lines if "data.file" in line or line.strip()[:1] in "+-ac"]
    assert shown[-5:] == ["data.file:", "a: 1", "-     b: 2", "+     b: 5", "c: 3"]


def test_markup_in_a_text_of_many_lines_stays_inside_the_fence() -> None:
    """A line of backticks in a file is no fence."""
    document = markdown(change_set(FieldChange("data.x", None, '"a\\n````\\n# owned\\n"')))
    assert "`````diff" in document
    assert document.rstrip().endswith("`````")


def test_warnings_cannot_mention_or_link() -> None:
    """Text outside a code block is escaped."""
    document = markdown(change_set(warnings=("see [here](http://x) @team <b>",)))
    assert "\\[here\\]" in document
    assert "\\@team" in document
    assert "\\<b\\>" in document


def test_a_long_change_set_is_cut_and_says_so() -> None:
    """The cut document keeps within the limit and closes its fence."""
    fields = [FieldChange(f"data.k{n}", None, '"' + "v" * 300 + '"') for n in range(100)]
    document = markdown(change_set(*fields), limit=5_000)
    assert len(document) <= 5_000
    assert document.count("```") == 2
    assert "Cut here" in document


def test_text_marks_changes_and_colours_on_demand() -> None:
    """A terminal gets colours, a file does not."""
    changes = change_set(FieldChange("data.mode", None, '"fast"'), operation=Operation.CREATE)
    assert "\x1b[" not in text(changes)
    assert "\x1b[32m+ ConfigMap shop/web\x1b[0m" in text(changes, colour=True)


def test_differences_name_the_object_and_the_field() -> None:
    """Whoever is stopped learns what would be done instead."""
    approved = change_set(FieldChange("data.mode", '"slow"', '"fast"'))
    today = change_set(FieldChange("data.mode", '"odd"', '"fast"'))
    found = differences(approved, today)
    assert found == (
        'web: ConfigMap shop/web: data.mode: approved "slow" → "fast"',
        'web: ConfigMap shop/web: data.mode: now "odd" → "fast"',
    )
    assert differences(approved, approved) == ()
