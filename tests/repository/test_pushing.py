"""Writing trees and commits, and pushing them with a lease."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from deploy_pipeline.errors import RaceLost, RefusedError, RepositoryUnreachable, UnsafeTree
from deploy_pipeline.repository import EXECUTABLE, Blob, Mirror
from tests.support.origin import Origin

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))


def written(mirror: Mirror, content: str = "1", *parents: str) -> str:
    """A commit that holds one file."""
    tree = mirror.write_tree({"a": Blob(content.encode())})
    return mirror.write_commit(tree=tree, parents=parents, message="Write\n", when=WHEN)


def test_written_tree_holds_the_files(mirror: Mirror) -> None:
    """New contents, blobs that are there already, modes and names beyond ASCII."""
    known = mirror.tree("main").entries()["deploy.yaml"]
    files = {"x/größe": Blob(b"1\n"), "run": Blob(b"#!", mode=EXECUTABLE), "deploy.yaml": Blob(sha=known.sha)}
    tree = mirror.tree(mirror.write_tree(files))
    assert tree.paths() == ["deploy.yaml", "run", "x/größe"]
    assert tree.read("x/größe") == b"1\n"
    assert tree.entries()["run"].mode == EXECUTABLE
    assert tree.read("deploy.yaml") == mirror.tree("main").read("deploy.yaml")


def test_written_tree_can_stand_on_another(mirror: Mirror) -> None:
    """With a base, all its files stay and the given ones come on top."""
    base = mirror.commit("main").tree
    tree = mirror.tree(mirror.write_tree({"deploy.yaml": Blob(b"{}"), "new": Blob(b"")}, base=base))
    assert set(tree.paths()) == {*mirror.tree("main").paths(), "new"}
    assert tree.read("deploy.yaml") == b"{}"


def test_empty_tree_can_be_written(mirror: Mirror) -> None:
    """A candidate without any file is git's well-known empty tree."""
    assert mirror.write_tree({}) == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", ".git/hooks/x", "a/.GIT/config", "a\nb", ""])
def test_bad_paths_are_not_written(path: str, mirror: Mirror) -> None:
    """What must not be checked out is not stored either."""
    with pytest.raises(UnsafeTree):
        mirror.write_tree({path: Blob(b"")})


def test_same_commit_has_the_same_id_everywhere(
    mirror: Mirror, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither identity nor time zone, clock or configuration of the machine has a say."""
    first = written(mirror, "1", origin.heads()["main"])
    other = Mirror(origin.url, tmp_path / "other")
    other.fetch()
    config = tmp_path / "config"
    config.write_text("[user]\nname = Somebody\n[i18n]\ncommitEncoding = latin1\n[commit]\ngpgSign = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_AUTHOR_DATE", "2001-01-01T00:00:00")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert written(other, "1", origin.heads()["main"]) == first
    commit = other.commit(first)
    assert commit.committed_at == WHEN
    assert commit.author == "deploy-pipeline <deploy-pipeline@localhost>"


@pytest.mark.parametrize("kind", ["origin", "http_origin"])
def test_push_creates_moves_and_deletes(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The whole life of a branch, by file and by HTTP; the mirror knows each step without a fetch."""
    origin: Origin = request.getfixturevalue(kind)
    mirror = Mirror(origin.url, tmp_path / "mirror")
    mirror.fetch()
    branch = "candidates/fix/größe"
    first = written(mirror, "1")
    second = written(mirror, "2", first)
    mirror.push(branch, first, expected=None)
    assert origin.heads()[branch] == mirror.heads()[branch] == first
    mirror.push(branch, second, expected=first)
    assert origin.show(branch, "a") == "2"
    mirror.delete_branch(branch, expected=second)
    assert branch not in origin.heads()
    assert branch not in mirror.heads()


def test_branch_that_moved_is_left_alone(origin: Origin, mirror: Mirror) -> None:
    """The lease: what somebody else pushed meanwhile is not overwritten, not even by a descendant of the old state."""
    first = origin.heads()["main"]
    moved = origin.commit("main", {"b": "2"})
    with pytest.raises(RaceLost, match="`main` moved"):
        mirror.push("main", written(mirror, "1", first), expected=first)
    with pytest.raises(RaceLost):
        mirror.delete_branch("main", expected=first)
    assert origin.heads()["main"] == moved


def test_branch_that_came_up_is_left_alone(origin: Origin, mirror: Mirror) -> None:
    """Expecting no branch means that there must be none."""
    theirs = origin.commit("candidates/x", {"b": "2"})
    with pytest.raises(RaceLost):
        mirror.push("candidates/x", written(mirror), expected=None)
    assert origin.heads()["candidates/x"] == theirs


def test_branch_that_went_away_is_not_made_again(origin: Origin, mirror: Mirror) -> None:
    """Somebody deleted the branch: a push that expects it loses."""
    head = origin.commit("candidates/x", {"b": "2"})
    mirror.fetch()
    origin.delete("candidates/x")
    with pytest.raises(RaceLost):
        mirror.push("candidates/x", written(mirror, "1", head), expected=head)
    assert "candidates/x" not in origin.heads()


def test_push_that_was_done_already_is_fine(origin: Origin, mirror: Mirror) -> None:
    """Killed after the push and run again, the same push succeeds."""
    commit = written(mirror)
    mirror.push("candidates/x", commit, expected=None)
    mirror.push("candidates/x", commit, expected=commit)
    assert origin.heads()["candidates/x"] == commit


def test_refusing_hook_is_a_refusal(origin: Origin, mirror: Mirror) -> None:
    """Branch protection needs a person; trying again would not help. The server's words are shown."""
    hook = origin.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'protected branch' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(RefusedError) as refused:
        mirror.push("candidates/x", written(mirror), expected=None)
    assert not isinstance(refused.value, RaceLost)
    assert "protected branch" in str(refused.value)
    assert "candidates/x" not in mirror.heads()


def test_lost_server_is_no_refusal(origin: Origin, mirror: Mirror) -> None:
    """A remote that is away may come back."""
    commit = written(mirror)
    origin.path.rename(origin.path.with_name("away"))
    with pytest.raises(RepositoryUnreachable):
        mirror.push("candidates/x", commit, expected=None)


@pytest.mark.parametrize("branch", ["a..b", "-x y", "x.lock", "a b", "x/", "@{x"])
def test_bad_branch_names_are_refused(branch: str, mirror: Mirror) -> None:
    """Checked by git's own rules before anything is sent."""
    with pytest.raises(RefusedError, match="cannot be the name"):
        mirror.push(branch, written(mirror), expected=None)


def test_unpushed_commits_survive_housekeeping(mirror: Mirror, tmp_path: Path) -> None:
    """A garbage collection between writing and pushing deletes nothing young."""
    commit = written(mirror)
    for number in range(20):
        mirror.write_tree({"a": Blob(str(number).encode())})
    time.sleep(1.1)  # git counts ages in seconds
    mirror._git("gc", "--quiet")
    mirror.push("candidates/x", commit, expected=None)
    assert mirror.tree("candidates/x").read("a") == b"1"
