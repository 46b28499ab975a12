"""How candidates stand to release branches: a merge gives the candidate's tree, whatever happened there."""

from __future__ import annotations

from collections.abc import Callable

from tests.rendering.conftest import CONFIG_MAP, Deployer
from tests.support.origin import Origin

Make = Callable[..., Deployer]


def merged(origin: Origin, release: str, candidate: str) -> str:
    """Merge as a forge's button does, always with a merge commit; gives the tree. Conflicts fail."""
    tree = origin.git("merge-tree", "--write-tree", release, candidate).splitlines()[0]
    commit = origin.git("commit-tree", "-p", release, "-p", candidate, "-m", "Merge", tree).strip()
    origin.git("update-ref", f"refs/heads/{release}", commit)
    return tree


def test_merge_into_a_diverged_release_gives_the_candidate(small_deployer: Make) -> None:
    """The release branch changed, added and removed files of its own: none of that survives, nothing conflicts."""
    deployer = small_deployer()
    origin = deployer.origin
    first = deployer.render()
    origin.git("update-ref", "refs/heads/releases/test", first.commit or "")
    hotfix = {"kubernetes/app/one.yaml": "hot", "extra": "1", "rendered/test/app.yaml": None}
    origin.commit("releases/test", hotfix)
    origin.commit("main", {"kubernetes/app/one.yaml": CONFIG_MAP.format(name="two")})
    second = deployer.render()
    assert merged(origin, "releases/test", "candidates/main") == second.tree


def test_candidates_of_two_branches_take_turns(small_deployer: Make) -> None:
    """Two unrelated candidate histories merged into the same release: each merge gives exactly what was approved."""
    deployer = small_deployer()
    origin = deployer.origin
    for name in ("one", "two"):
        origin.commit(name, {"kubernetes/app/one.yaml": CONFIG_MAP.format(name=name)})
    origin.git("update-ref", "refs/heads/releases/test", deployer.render("one").commit or "")
    for branch in ("two", "one", "two"):
        candidate = deployer.render(branch)
        assert merged(origin, "releases/test", f"candidates/{branch}") == candidate.tree


def test_moved_release_refreshes_the_candidate(small_deployer: Make) -> None:
    """The same tree, with one parent more, without running the tools; after that there is nothing left to do."""
    deployer = small_deployer()
    origin = deployer.origin
    first = deployer.render()
    release = origin.commit("releases/test", {"x": "1"})
    deployer.lines.clear()
    refreshed = deployer.render()
    assert refreshed.changed
    assert refreshed.tree == first.tree
    assert deployer.mirror.commit(refreshed.commit or "").parents == (first.commit, release)
    assert deployer.lines == ["main: nothing that is rendered changed"]
    assert not deployer.render().changed


def test_first_candidate_descends_from_every_release(small_deployer: Make) -> None:
    """Also a branch that never had a candidate can be merged anywhere; a release within another is not named twice."""
    deployer = small_deployer()
    origin = deployer.origin
    older = origin.commit("releases/a", {"x": "1"})
    origin.git("update-ref", "refs/heads/releases/b", older)
    other = origin.commit("releases/c", {"y": "1"})
    result = deployer.render()
    assert deployer.mirror.commit(result.commit or "").parents == (older, other)
    for channel in "abc":
        assert merged(origin, f"releases/{channel}", "candidates/main") == result.tree
