"""The demo deletes only what a demo made, and never under a running one."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy_pipeline.demo.home import MARKER, fresh_home
from deploy_pipeline.errors import RefusedError


def test_a_home_is_emptied_by_the_next_start(tmp_path: Path) -> None:
    """What an earlier demo left is gone, folders and links included, and what a link points to is not."""
    path, outside = tmp_path / "demo", tmp_path / "precious"
    outside.mkdir()
    (outside / "file").write_text("kept")
    with fresh_home(path) as home:
        (home.path / "folder").mkdir()
        (home.path / "folder" / "file").write_text("old")
        (home.path / "link").symlink_to(outside)
    with fresh_home(path) as home:
        assert [entry.name for entry in home.path.iterdir()] == [MARKER]
    assert (outside / "file").read_text() == "kept"


def test_a_folder_that_no_demo_made_is_refused_and_kept(tmp_path: Path) -> None:
    """A folder with files but without the marker is somebody's own."""
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RefusedError, match="not made by the demo"), fresh_home(tmp_path):
        pass
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("kind", ["link", "file"])
def test_only_a_real_folder_is_a_home(tmp_path: Path, kind: str) -> None:
    """A link to a demo's folder, or a file in its place, is refused."""
    with fresh_home(tmp_path / "real"):
        pass
    path = tmp_path / "other"
    if kind == "link":
        path.symlink_to(tmp_path / "real")
    else:
        path.write_text("")
    with pytest.raises(RefusedError), fresh_home(path):
        pass


def test_a_second_demo_leaves_the_first_one_alone(tmp_path: Path) -> None:
    """While a demo runs, another one in the same folder is refused before it deletes anything."""
    with fresh_home(tmp_path / "demo") as home:
        (home.path / "state").write_text("in use")
        with pytest.raises(RefusedError, match="another demo is running"), fresh_home(tmp_path / "demo"):
            pass
        assert (home.path / "state").read_text() == "in use"
