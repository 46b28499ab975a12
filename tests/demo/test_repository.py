"""The demo's repository begins with the example and moves by real pushes."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy_pipeline.demo.repository import EXAMPLE, Repository
from deploy_pipeline.demo.story import _BREAKING_EDITS, _FEATURE_EDITS, _FIXING_EDITS, BROKEN, FEATURE
from deploy_pipeline.errors import FailedError


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A fresh one."""
    return Repository.create(tmp_path / "example.git", tmp_path / "work")


def test_it_begins_with_the_example_on_main_alone(repository: Repository) -> None:
    """No release branch is there that nobody approved."""
    assert list(repository.heads()) == ["main"]
    assert set(repository.git("ls-tree", "--name-only", "origin/main").split()) == set(EXAMPLE)


def test_the_edits_of_the_story_fit_the_example(repository: Repository) -> None:
    """Each push of the story changes what it says it changes."""
    feature = repository.push(FEATURE, _FEATURE_EDITS, "Feature", start="main")
    assert repository.heads()[FEATURE] == feature
    merged = repository.merge(FEATURE, "main")
    assert repository.heads() == {"main": merged}
    repository.push(BROKEN, _BREAKING_EDITS, "Break", start="main")
    fixed = repository.push(BROKEN, _FIXING_EDITS, "Fix")
    changed = repository.git("diff", "--name-only", merged, fixed).split()
    assert changed == sorted(_BREAKING_EDITS)


def test_an_edit_that_does_not_fit_pushes_nothing(repository: Repository) -> None:
    """A changed example is noticed, not silently pushed as it is."""
    before = repository.heads()
    with pytest.raises(FailedError, match=r"deploy\.yaml of the example no longer holds 'nonsense'"):
        repository.push("odd", {"deploy.yaml": ("nonsense", "sense")}, "Odd", start="main")
    assert repository.heads() == before


def test_a_failing_git_says_why(repository: Repository) -> None:
    """Git's own words are in the details."""
    with pytest.raises(FailedError) as caught:
        repository.git("checkout", "no-such-branch")
    assert "no-such-branch" in "\n".join(caught.value.details)
