"""The settings of a forge: what they make, and what is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy_pipeline.errors import SettingsError
from deploy_pipeline.forge import NoForge, SourceRange, forge_from
from deploy_pipeline.forge.github import GitHubForge
from deploy_pipeline.settings import Settings
from tests.forge.conftest import World


def test_no_repository_means_no_forge() -> None:
    """Everything else works without GitHub: nothing is open, nothing explains a commit, nothing is written."""
    forge = forge_from(Settings())
    assert isinstance(forge, NoForge)
    assert not forge.gives_reviews
    assert forge.open_promotions("cursor").pull_requests == ()
    assert (
        forge.merged_pull_request("a" * 40, branch="releases/prod", before="b" * 40, source=SourceRange("c" * 40))
        is None
    )
    assert (forge.git_config(), forge.secrets()) == ((), ())


def test_the_environment_makes_a_forge_that_works(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository, an address and a token are enough."""
    monkeypatch.setenv("DEPLOY_GITHUB_REPOSITORY", "acme/shop")
    monkeypatch.setenv("DEPLOY_GITHUB_URL", world.server.api_url)
    monkeypatch.setenv("DEPLOY_GITHUB_TOKEN", world.tokens["ann"])
    settings = Settings.from_environment()
    forge = forge_from(settings)
    assert isinstance(forge, GitHubForge)
    assert forge.gives_reviews
    assert forge.open_promotions().pull_requests == ()
    assert world.tokens["ann"] not in repr(settings)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"github_repository": "shop"}, "owner/name"),
        ({"github_repository": "../shop"}, "owner/name"),
        ({"github_url": "http://github.example/api/v3"}, "https"),
        ({"github_url": "https://user:pass@github.example/"}, "https"),
        ({"github_url": "github.example"}, "https"),
        ({"github_token": None}, "exactly one way"),
        ({"github_token_file": Path("/token")}, "exactly one way"),
        ({"github_token": None, "github_app_id": "1"}, "exactly one way"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(wrong: dict[str, object], message: str) -> None:
    """A token must not go to an address without encryption, and it must be clear which one is meant."""
    right = {"github_repository": "acme/shop", "github_token": "ghp_x"}
    with pytest.raises(SettingsError, match=message):
        forge_from(Settings.model_validate({**right, **wrong}))


@pytest.mark.parametrize(
    ("api", "web"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://ghe.example/api/v3", "https://ghe.example"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com"),
    ],
)
def test_git_gets_the_token_for_the_forges_own_address_only(api: str, web: str) -> None:
    """Git sends the header to what the configuration names, and to nothing else."""
    settings = Settings.model_validate({"github_repository": "acme/shop", "github_token": "ghp_x", "github_url": api})
    ((key, header),) = forge_from(settings).git_config()
    assert key == f"http.{web}/.extraHeader"
    assert header.startswith("Authorization: Basic ")
