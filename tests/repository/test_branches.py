"""Branch names that carry meaning."""

from __future__ import annotations

from deploy_pipeline.repository import candidate_branch, channel_of, is_source_branch, release_branch, source_of


def test_names_go_forth_and_back() -> None:
    """What is made from a name gives that name again."""
    assert source_of(candidate_branch("fix/größe")) == "fix/größe"
    assert channel_of(release_branch("prod")) == "prod"


def test_other_branches_have_no_meaning() -> None:
    """Neither a source branch nor a bare prefix is a candidate or a release."""
    assert [source_of(name) for name in ("main", "releases/prod", "candidates/")] == [None] * 3
    assert [channel_of(name) for name in ("main", "candidates/main", "releases/")] == [None] * 3
    assert is_source_branch("main")
    assert is_source_branch("candidate")
    assert not any(is_source_branch(name) for name in ("", "candidates/main", "releases/prod"))
