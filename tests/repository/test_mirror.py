"""Reading a repository through its mirror."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from deploy_pipeline.errors import RepositoryUnreachable, UnknownRevision
from deploy_pipeline.repository import ChangedFile, Mirror
from tests.support.origin import Origin


def test_heads_of_remote_and_mirror_agree(origin: Origin, tmp_path: Path) -> None:
    """One ls-remote, a fetch and the fetched mirror all tell the same branches."""
    origin.commit("feature/größer", {"a": "1"})
    mirror = Mirror(origin.url, tmp_path / "mirror")
    assert not mirror.exists()
    assert mirror.heads() == {}
    assert mirror.remote_heads() == mirror.fetch() == mirror.heads() == origin.heads()
    assert set(origin.heads()) == {"main", "feature/größer"}


def test_fetch_brings_new_commits_and_forgets_deleted_branches(origin: Origin, mirror: Mirror) -> None:
    """A second fetch follows what moved, what came and what went."""
    origin.commit("gone", {"a": "1"})
    mirror.fetch()
    origin.delete("gone")
    moved = origin.commit("main", {"b": "2"})
    assert mirror.fetch() == {"main": moved}
    assert mirror.tree("main").read("b") == b"2"


def test_branch_may_take_the_place_of_a_folder_of_branches(origin: Origin, mirror: Mirror) -> None:
    """`x` after `x/y` is gone would not fit beside it: pruning comes first."""
    origin.commit("x/y", {"a": "1"})
    mirror.fetch()
    origin.delete("x/y")
    origin.commit("x", {"a": "1"})
    assert set(mirror.fetch()) == {"main", "x"}


def test_rewritten_branch_is_followed(origin: Origin, mirror: Mirror) -> None:
    """A force-push is what the remote says now, so the mirror says it too."""
    first = origin.heads()["main"]
    origin.commit("main", {"a": "1"})
    mirror.fetch()
    origin.git("update-ref", "refs/heads/main", first)
    assert mirror.fetch() == {"main": first}


def test_fetch_works_over_http(http_origin: Origin, tmp_path: Path) -> None:
    """The way of a forge: smart HTTP."""
    mirror = Mirror(http_origin.url, tmp_path / "mirror")
    assert mirror.fetch() == http_origin.heads()
    moved = http_origin.commit("main", {"b": "2"})
    assert mirror.fetch() == {"main": moved}


def test_empty_repository_has_no_branches(tmp_path: Path) -> None:
    """No branches is an answer, not a failure."""
    origin = Origin.create(tmp_path / "origin.git", {"a": "1"})
    origin.delete("main")
    mirror = Mirror(origin.url, tmp_path / "mirror")
    assert mirror.remote_heads() == {}
    assert mirror.fetch() == {}
    assert mirror.fetch() == {}


def test_failed_read_is_never_an_empty_read(origin: Origin, mirror: Mirror) -> None:
    """With the remote away, both reads raise, and the mirror keeps what it knew."""
    before = mirror.heads()
    shutil.rmtree(origin.path)
    for read in (mirror.remote_heads, mirror.fetch):
        with pytest.raises(RepositoryUnreachable) as unreachable:
            read()
        assert origin.url in unreachable.value.message
        assert unreachable.value.hint
    assert mirror.heads() == before


def test_unreachable_server_is_named(tmp_path: Path) -> None:
    """Nobody listens on that port: the error says which address it was."""
    mirror = Mirror("http://127.0.0.1:9/x.git", tmp_path / "mirror")
    with pytest.raises(RepositoryUnreachable, match=r"127\.0\.0\.1:9/x\.git"):
        mirror.fetch()
    assert not mirror.exists()


@pytest.mark.parametrize("damage", ["heads", "objects", "config"])
def test_damaged_mirror_is_rebuilt(damage: str, origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    """Whatever a crash or a full disk breaks, the next fetch gives a mirror that can be read."""
    path = tmp_path / "state" / "mirror.git"
    if damage == "heads":
        (path / "refs" / "heads" / "main").unlink(missing_ok=True)
        (path / "packed-refs").write_text("no reference at all\n")
    elif damage == "objects":
        shutil.rmtree(path / "objects")
        (path / "objects").mkdir()
    else:
        (path / "config").write_text("[core\n")
    assert mirror.fetch() == origin.heads()
    assert mirror.tree("main").read("deploy.yaml")


def test_object_that_cannot_be_read_leads_to_a_rebuild(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    """A pack that is broken inside shows only when it is read: that read raises, and the next fetch mends it."""
    for pack in (tmp_path / "state" / "mirror.git" / "objects").rglob("*"):
        if pack.is_file() and pack.suffix in ("", ".pack"):
            pack.chmod(0o644)
            pack.write_bytes(b"\0" * pack.stat().st_size)
    with pytest.raises((RepositoryUnreachable, UnknownRevision)):
        mirror.tree("main").read("deploy.yaml")
    mirror.fetch()
    assert mirror.tree("main").read("deploy.yaml")


def test_threads_and_processes_share_a_mirror(origin: Origin, tmp_path: Path) -> None:
    """Eight first fetches at once into one path: one mirror, and all agree."""
    mirrors = [Mirror(origin.url, tmp_path / "mirror") for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        heads = list(threads.map(Mirror.fetch, mirrors))
    assert heads == [origin.heads()] * 8
    assert [path.name for path in tmp_path.glob("mirror*")].count("mirror") == 1
    assert not list(tmp_path.glob("mirror.new-*"))


def test_commit_says_what_it_is(origin: Origin, mirror: Mirror) -> None:
    """Every field of a commit, trailers included, with an aware time in UTC."""
    parent = origin.heads()["main"]
    sha = origin.commit(
        "main", {"a": "1"}, "Subject: not a trailer\n\nBody.\n\nSource-branch: main\nTwice: 1\nTwice: 2"
    )
    mirror.fetch()
    commit = mirror.commit("main")
    assert (commit.sha, commit.parents, commit.subject) == (sha, (parent,), "Subject: not a trailer")
    assert commit.trailers == {"Source-branch": "main", "Twice": "2"}
    assert commit.author == "Test <test@example.invalid>"
    assert commit.committed_at.utcoffset() == timedelta(0)
    assert commit.tree == origin.git("rev-parse", f"{sha}^{{tree}}").strip()
    assert mirror.commit(parent).trailers == {}


def test_commit_is_found_by_branch_and_by_full_or_short_id(origin: Origin, mirror: Mirror) -> None:
    """The three ways people name a commit."""
    sha = origin.heads()["main"]
    assert {mirror.commit(rev).sha for rev in ("main", sha, sha[:10])} == {sha}


@pytest.mark.parametrize(
    "rev", ["main~1", "HEAD", ":/Start", "main:deploy.yaml", "-p", "--all", "", "f" * 40, "@{-1}", "a..b"]
)
def test_nothing_but_names_and_ids_reaches_git(rev: str, mirror: Mirror) -> None:
    """Git's revision syntax, options and unknown ids are all unknown revisions."""
    with pytest.raises(UnknownRevision):
        mirror.commit(rev)


def test_unknown_branch_names_the_nearest(origin: Origin, mirror: Mirror) -> None:
    """A slip of the pen is answered with what was probably meant."""
    origin.commit("feature-login", {"a": "1"})
    mirror.fetch()
    with pytest.raises(UnknownRevision) as unknown:
        mirror.commit("feature-logn")
    assert "`feature-login`" in unknown.value.hint


def test_log_is_newest_first_and_limited(origin: Origin, mirror: Mirror) -> None:
    """The history as people read it."""
    for number in range(3):
        origin.commit("main", {"a": str(number)}, f"Change {number}")
    mirror.fetch()
    assert [commit.subject for commit in mirror.log("main", 3)] == ["Change 2", "Change 1", "Change 0"]


def test_ancestry(origin: Origin, mirror: Mirror) -> None:
    """A commit descends from its parent and from itself, not the other way round."""
    older = origin.heads()["main"]
    newer = origin.commit("main", {"a": "1"})
    mirror.fetch()
    assert mirror.is_ancestor(older, newer)
    assert mirror.is_ancestor(newer, "main")
    assert not mirror.is_ancestor(newer, older)


def test_callers_git_environment_changes_nothing(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started from a git hook, the variables point at another repository, another index and another identity."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    mirror = Mirror(str(origin.path), tmp_path / "mirror")
    assert set(mirror.fetch()) == {"main"}
    assert mirror.tree("main").read("deploy.yaml")
    assert not (tmp_path / "elsewhere").exists()


def test_call_that_hangs_is_ended(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and says nothing does not hold a run for ever."""
    wrapper = tmp_path / "ssh"
    wrapper.write_text("#!/bin/sh\nsleep 60\n")
    wrapper.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(wrapper))
    mirror = Mirror("ssh://git@example.invalid/x.git", tmp_path / "mirror", timeout=0.5)
    with pytest.raises(RepositoryUnreachable, match=r"longer than 0\.5 s"):
        mirror.remote_heads()


def test_the_difference_of_two_commits_is_told_by_file(origin: Origin, mirror: Mirror) -> None:
    """Lines that came and went, with paths as they are; a file that moved is two."""
    origin.commit("main", {"größer": "1\n2\n", "old name": "x\n", "binary": b"\0"})
    older = origin.commit("main", {"same": "1\n"})
    newer = origin.commit("main", {"größer": "1\n3\n4\n", "old name": None, "new\tname": "x\n", "binary": b"\0\1"})
    mirror.fetch()
    assert set(mirror.changed_files(older, newer)) == {
        ChangedFile("größer", 2, 1),
        ChangedFile("old name", 0, 1),
        ChangedFile("new\tname", 1, 0),
        ChangedFile("binary", 0, 0),
    }
    assert mirror.changed_files(older, mirror.tree(older).sha) == ()


def test_the_log_leaves_out_what_was_there_before(origin: Origin, mirror: Mirror) -> None:
    """Only the commits that came since."""
    before = origin.heads()["main"]
    since = [origin.commit("main", {"a": text}) for text in "123"]
    mirror.fetch()
    assert [commit.sha for commit in mirror.log("main", 9, without=before)] == since[::-1]
