"""Reading the files of a commit, and writing them out safely."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from deploy_pipeline.errors import UnsafeTree
from deploy_pipeline.repository import EXECUTABLE, SUBMODULE, SYMLINK, Blob, GitTree, Mirror
from deploy_pipeline.repository import git as git_module
from deploy_pipeline.repository import tree as tree_module
from tests.support.origin import example_files


def tree_of(mirror: Mirror, files: dict[str, Blob]) -> GitTree:
    """A tree with these files."""
    return mirror.tree(mirror.write_tree(files))


def link(target: str) -> Blob:
    """A symlink."""
    return Blob(target.encode(), mode=SYMLINK)


def raw_tree(mirror: Mirror, name: bytes, mode: bytes = b"100644") -> GitTree:
    """A tree with one entry of any name, as only an attacker makes it."""
    blob = mirror._git("hash-object", "-w", "--stdin", stdin=b"x").text.strip()
    content = mode + b" " + name + b"\0" + bytes.fromhex(blob)
    arguments = ("hash-object", "-w", "-t", "tree", "--literally", "--stdin")
    return mirror.tree(mirror._git(*arguments, stdin=content).text.strip())


def test_tree_lists_and_reads_the_files(mirror: Mirror) -> None:
    """The paths are sorted, the contents are those that were committed."""
    tree = mirror.tree("main")
    files = example_files()
    assert tree.paths() == sorted(files)
    assert {path: tree.read(path) for path in files} == files
    assert tree.sha == mirror.commit("main").tree
    assert tree.entries()["deploy.yaml"].size == len(files["deploy.yaml"])


def test_missing_file_is_a_key_error(mirror: Mirror) -> None:
    """As the Tree protocol of the channels wants it; a folder is no file."""
    for path in ("nothing", "kubernetes", "deploy.yaml/x", ""):
        with pytest.raises(KeyError):
            mirror.tree("main").read(path)


def test_read_follows_symlinks_inside_the_tree(mirror: Mirror) -> None:
    """A linked channel file is the file it leads to; one that leads out is refused; a circle ends."""
    tree = tree_of(
        mirror,
        {"d/a": Blob(b"1"), "d/b": link("a"), "c": link("d/b"), "out": link("../x"), "circle": link("circle")},
    )
    assert tree.read("c") == b"1"
    for path in ("out", "circle"):
        with pytest.raises(UnsafeTree):
            tree.read(path)


def test_export_writes_what_was_committed(mirror: Mirror, tmp_path: Path) -> None:
    """Contents, execute bits and links, whatever the umask."""
    files = {
        "d/run": Blob(b"#!", mode=EXECUTABLE),
        "d/text": Blob(b"a\r\n"),
        "link": link("d/text"),
        "up/l": link("../d"),
    }
    previous = os.umask(0o077)
    try:
        tree_of(mirror, files).export(tmp_path / "out")
    finally:
        os.umask(previous)
    out = tmp_path / "out"
    assert (out / "d" / "text").read_bytes() == b"a\r\n"
    assert stat.S_IMODE((out / "d" / "run").stat().st_mode) == 0o755
    assert stat.S_IMODE((out / "d" / "text").stat().st_mode) == 0o644
    assert (out / "link").readlink() == Path("d/text")
    assert (out / "up" / "l" / "text").is_file()


def test_export_can_be_a_part(mirror: Mirror, tmp_path: Path) -> None:
    """Only what lies below the folders, or is the file; a folder whose name merely begins alike is another one."""
    tree = tree_of(mirror, {path: Blob(b"") for path in ("a/x", "ab/x", "c/y", "c/z")})
    out = tmp_path / "out"
    tree.export(out, under=["a", "c/y"])
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*")) == ["a", "a/x", "c", "c/y"]


def test_export_applies_no_filters(mirror: Mirror, tmp_path: Path) -> None:
    """Attributes of the branch change nothing: no substitution, no line endings, no LFS, nothing left out."""
    attributes = b"* filter=lfs export-subst export-ignore text eol=crlf\n"
    tree_of(mirror, {".gitattributes": Blob(attributes), "a": Blob(b"$Format:%H$\n")}).export(tmp_path)
    assert (tmp_path / "a").read_bytes() == b"$Format:%H$\n"


def test_pointer_of_git_lfs_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    """Nobody fetches what it stands for, so a tool would take its three lines for the file."""
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 1\n" % (b"0" * 64)
    with pytest.raises(UnsafeTree, match=r"a Git LFS pointer in place of its file: 'd/values\.yaml'"):
        tree_of(mirror, {"a": Blob(b""), "d/values.yaml": Blob(pointer)}).export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("depth", "reason"), [(7, "git printed more than"), (2, "lists more than 50 files")])
def test_tree_that_lists_without_end_is_refused(
    depth: int, reason: str, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven small objects that name each other make ten million files: nobody reads that list to its end."""
    monkeypatch.setattr(git_module, "_MOST_OUTPUT", 1_000_000)
    monkeypatch.setattr(tree_module, "MAX_ENTRIES", 50)
    sha, kind = mirror._git("hash-object", "-w", "--stdin").text.strip(), "100644 blob"
    for _ in range(depth):
        listing = "".join(f"{kind} {sha}\t{number}\n" for number in range(10))
        sha, kind = mirror._git("mktree", stdin=listing.encode()).text.strip(), "040000 tree"
    with pytest.raises(UnsafeTree, match=reason):
        GitTree(sha, mirror._git).paths()


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("l", "/etc/passwd"),
        ("l", ".."),
        ("a/l", "../../x"),
        ("l", "a/../../x"),
        ("a/l", "b/../../../x"),
        ("l", ".git/config"),
        ("l", ""),
        ("l", "a\\..\\x"),
    ],
)
def test_symlink_that_leaves_the_tree_is_refused(path: str, target: str, mirror: Mirror, tmp_path: Path) -> None:
    """Nothing is written at all, and the link is named."""
    tree = tree_of(mirror, {path: link(target) if target else Blob(b"", mode=SYMLINK), "z": Blob(b"1")})
    with pytest.raises(UnsafeTree) as unsafe:
        tree.export(tmp_path / "out")
    assert path in str(unsafe.value)
    assert not (tmp_path / "out").exists()


def test_links_cannot_climb_through_each_other(mirror: Mirror, tmp_path: Path) -> None:
    """Read as text, `d/up/../../x` stays inside; followed by the system it would leave."""
    tree = tree_of(mirror, {"d/e/f": Blob(b""), "d/up": link(".."), "d/l": link("up/../../x")})
    with pytest.raises(UnsafeTree, match="must not be written out"):
        tree.export(tmp_path)


def test_submodule_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    """Its content is not in the tree, so it cannot have been reviewed."""
    tree = tree_of(mirror, {"vendor/x": Blob(sha=mirror.commit("main").sha, mode=SUBMODULE)})
    with pytest.raises(UnsafeTree) as unsafe:
        tree.export(tmp_path)
    assert "a submodule: 'vendor/x'" in str(unsafe.value)
    with pytest.raises(KeyError):
        tree.read("vendor/x")


@pytest.mark.parametrize("name", [b"..", b".git", b".GIT", b"a\nb", b"a\\b", b"\xff"])
def test_names_no_checkout_should_hold_are_refused(name: bytes, mirror: Mirror, tmp_path: Path) -> None:
    """Made by hand, past git's own checks."""
    with pytest.raises(UnsafeTree):
        raw_tree(mirror, name).export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_faults_are_told_at_once(mirror: Mirror, tmp_path: Path) -> None:
    """One push should be enough to mend them."""
    tree = tree_of(mirror, {"a": link("/x"), "b": link("../y"), "c": Blob(b"")})
    with pytest.raises(UnsafeTree) as unsafe:
        tree.export(tmp_path)
    assert len(unsafe.value.details) == 2


@pytest.mark.parametrize(("limit", "value"), [("MAX_FILES", 2), ("MAX_BYTES", 5)])
def test_large_trees_are_refused(
    limit: str, value: int, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many files, or too much in them, fills no disk."""
    monkeypatch.setattr(tree_module, limit, value)
    tree = tree_of(mirror, {name: Blob(b"12") for name in "abc"})
    with pytest.raises(UnsafeTree, match="larger than"):
        tree.export(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    tree.export(tmp_path / "out", under=["a", "b"])
