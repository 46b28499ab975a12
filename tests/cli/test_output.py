"""The forms of a result: text that cannot deceive, tables, JSON."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest

from deploy_pipeline.changes import AppChanges, ChangeSet
from deploy_pipeline.cli.commands.candidates import _rendered
from deploy_pipeline.cli.output import Output, plain, printable, progress, table
from deploy_pipeline.cluster.records import ReleaseRecord, ReleaseState
from deploy_pipeline.errors import RefusedError
from deploy_pipeline.isolation import Network
from deploy_pipeline.rendering import RenderResult


def test_text_of_a_branch_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes that clear a line or the screen would hide what is about to be approved; colours only colour."""
    text = "prune\x1b[2K\rnothing\x9b2J\x07 \x1b[31mred\x1b[0m\ttab\n→ größer"
    Output().show(None, text)
    progress(text)

    shown = "prune�[2K�nothing�2J� \x1b[31mred\x1b[0m\ttab\n→ größer\n"
    assert capsys.readouterr() == (shown, shown)
    assert printable(text) + "\n" == shown


def test_table_aligns_columns_and_ends_no_line_with_blanks() -> None:
    """Columns are as wide as their widest cell, and lines can be copied."""
    assert table(("app", "state"), [("web", "released"), ("archiver", "")], empty="none") == (
        "APP       STATE\nweb       released\narchiver"
    )
    assert table((), [], empty="none") == "none"


def test_results_become_json() -> None:
    """Records, enumerations, times and change sets all have a form in JSON; a change set has its digest."""
    changes = ChangeSet("test", "uid", "tree", (AppChanges("web", "kustomize", ()),))
    record = ReleaseRecord("c0ffee", "tree", "sha256:0", ReleaseState.PARTIAL, "2026-01-01T00:00:00Z")
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    value = json.loads(json.dumps(plain({"set": changes, "records": (record,), "at": moment})))

    assert value["set"]["digest"] == changes.digest
    assert value["records"][0]["state"] == "partial"
    assert value["at"] == "2026-01-01T00:00:00+00:00"


def test_outfile_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    """The file that a link leads to is replaced, and the link stays one."""
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    Output(outfile=link).show(None, "new")

    assert target.read_text() == "new\n"
    assert link.is_symlink()


def test_outfile_on_a_full_disk_is_named() -> None:
    """A result that cannot be written is an error that names the file."""
    with pytest.raises(RefusedError, match="/dev/full cannot be written: No space left on device"):
        Output(outfile=Path("/dev/full")).show(None, "text")


def test_progress_survives_a_closed_stream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A terminal that went away must not end the release that reports to it."""
    stream = (tmp_path / "stderr").open("w")
    stream.close()
    monkeypatch.setattr("sys.stderr", stream)
    progress("web: released")


def test_a_render_says_what_kept_its_tools_from_the_network() -> None:
    """On a system that gives no network namespace somebody has to know."""
    result = RenderResult("main", "candidates/main", commit="0" * 40, isolation=Network.REFUSED.value)
    assert "rendered with refusing proxy (the system gives no network namespace" in _rendered(result)
