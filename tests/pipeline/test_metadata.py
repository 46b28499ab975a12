"""How values look in Dagster."""

from __future__ import annotations

import dagster as dg
import pytest

from deploy_pipeline.changes import ChangeSet, SecretVersion
from deploy_pipeline.changes.drift import AppDrift, DriftResult
from deploy_pipeline.pipeline import events, metadata

SHA = "a" * 40


@pytest.mark.parametrize(
    ("repository", "page"),
    [
        ("https://git.example/team/apps.git", "https://git.example/team/apps"),
        ("https://git.example:8443/team/apps/", "https://git.example:8443/team/apps"),
        ("http://git.example/apps", "http://git.example/apps"),
        ("git@git.example:team/apps.git", ""),
        ("ssh://git@git.example/team/apps.git", ""),
        ("file:///srv/apps.git", ""),
        ("/srv/apps.git", ""),
        ("javascript:alert(1)", ""),
        ("https:///apps", ""),
    ],
)
def test_commits_are_links_only_where_there_is_a_web_page(repository: str, page: str) -> None:
    """Everything else is plain text: a link that leads nowhere, or runs something, is worse than none."""
    expected = dg.MetadataValue.url(f"{page}/commit/{SHA}") if page else dg.MetadataValue.text(SHA)
    assert metadata.commit(repository, SHA) == expected


def test_no_commit_is_said_to_be_none() -> None:
    """A first release has none before it."""
    assert metadata.commit("https://git.example/apps", "") == dg.MetadataValue.text("none")


def test_a_list_keeps_its_entries_apart() -> None:
    """Also where an entry has several lines."""
    assert metadata.bullets(["a\nb", "c"]) == dg.MetadataValue.md("- a\n  b\n- c")
    assert metadata.bullets([]) == dg.MetadataValue.md("none")


def test_versions_of_secrets_are_named_where_the_store_has_them() -> None:
    """By the change set of a promotion or release, and by the check for drift; fingerprints are of no use there."""
    numbered, plain = SecretVersion("feed", "f00", "7"), SecretVersion("token", "f01")
    change_set = ChangeSet("test", "uid", SHA, (), (numbered, plain))
    drift = DriftResult("test", SHA, change_set, (AppDrift("web", "kustomize", (), 3),))
    (check,) = events.drift_found(drift)
    for shown in (metadata.change_set(change_set), check.metadata):
        assert shown["secrets"] == dg.MetadataValue.text("feed version 7")
    assert metadata.secrets(ChangeSet("test", "uid", SHA, (), (plain,))) == {}
