"""A checkout on disk as a tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy_pipeline.channels import WorkingTree, load_channels
from deploy_pipeline.errors import ChannelFaults, RefusedError, UnsafeTree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with a file outside of it that nobody may read."""
    (tmp_path / "outside").write_text("channel: stolen")
    root = tmp_path / "checkout"
    for path in ("channels/test.yaml", "kubernetes/web/kustomization.yaml", ".git/config", "vendor/.git/config"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("channel: test")
    return root


def test_files_are_listed_sorted_without_git(root: Path) -> None:
    """What git keeps for itself is no part of the tree."""
    assert WorkingTree(root).paths() == ["channels/test.yaml", "kubernetes/web/kustomization.yaml"]


def test_files_are_read_and_folders_are_none(root: Path) -> None:
    """KeyError says that there is no file, as for every tree."""
    tree = WorkingTree(root)
    assert tree.read("channels/test.yaml") == b"channel: test"
    for path in ("channels", "nope", "channels/test.yaml/x", ""):
        with pytest.raises(KeyError):
            tree.read(path)


def test_a_link_inside_the_checkout_is_followed(root: Path) -> None:
    """Only what leaves the checkout is dangerous."""
    (root / "channels/prod.yaml").symlink_to("test.yaml")
    assert WorkingTree(root).read("channels/prod.yaml") == b"channel: test"


@pytest.mark.parametrize("target", ["../../outside", "../..", "/etc/passwd"])
def test_a_link_that_leaves_the_checkout_is_refused(root: Path, target: str) -> None:
    """Neither its content nor whether it exists can be learned through it."""
    (root / "channels/prod.yaml").symlink_to(target)
    assert "channels/prod.yaml" in WorkingTree(root).paths()
    with pytest.raises(UnsafeTree, match=r"channels/prod\.yaml leads out of"):
        WorkingTree(root).read("channels/prod.yaml")
    with pytest.raises(UnsafeTree):
        load_channels(WorkingTree(root))


def test_a_folder_that_is_a_link_out_of_the_checkout_is_refused(root: Path) -> None:
    """The same for a folder on the way to a file; it is listed as one entry and not entered."""
    (root / "kubernetes/out").symlink_to("../..")
    tree = WorkingTree(root)
    assert "kubernetes/out" in tree.paths()
    assert not [path for path in tree.paths() if path.startswith("kubernetes/out/")]
    for path in ("kubernetes/out/outside", "../outside", "/etc/passwd"):
        with pytest.raises(UnsafeTree):
            tree.read(path)


def test_a_channel_that_names_such_a_link_is_a_fault(root: Path) -> None:
    """It is reported with the place that names it."""
    (root / "kubernetes/out").symlink_to("../..")
    (root / "channels/test.yaml").write_text(
        "channel: test\nreleases: [{name: web, driver: kustomize, kustomize_dir: kubernetes/out}]"
    )
    with pytest.raises(ChannelFaults) as refused:
        load_channels(WorkingTree(root))
    (fault,) = refused.value.details
    assert fault.startswith(
        "channels/test.yaml: releases[0].kustomize_dir: kubernetes/out/kustomization.yaml leads out"
    )


def test_links_in_a_circle_are_no_file(root: Path) -> None:
    """They must not end in an endless loop or another exception."""
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(KeyError):
        WorkingTree(root).read("a")


def test_links_elsewhere_in_the_checkout_harm_nobody(root: Path) -> None:
    """A virtual environment links to the system's interpreter; the channels load all the same."""
    (root / ".venv").mkdir()
    (root / ".venv/python").symlink_to("/usr/bin/env")
    assert list(load_channels(WorkingTree(root))) == ["test"]


def test_a_pipe_is_no_file(root: Path) -> None:
    """Reading one would wait for ever."""
    os.mkfifo(root / "channels/prod.yaml")
    with pytest.raises(KeyError):
        WorkingTree(root).read("channels/prod.yaml")


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    """It would look like a repository without channels."""
    with pytest.raises(RefusedError, match="is not a folder"):
        WorkingTree(tmp_path / "nope")
