"""Tokens and Apps: who we are, renewed in time, for the API and for git, and shown to nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from deploy_pipeline.errors import ForgeRefused, ForgeUnreachable, SettingsError
from deploy_pipeline.forge.github.credentials import AppCredentials, TokenCredentials
from deploy_pipeline.redaction import Redactor
from deploy_pipeline.repository.git import GitResult, run_git
from tests.forge.conftest import HOME, World
from tests.support.github.faults import Fault, Kind
from tests.support.github.state import App

GRANTS = {
    "metadata": "read",
    "contents": "write",
    "pull_requests": "write",
    "statuses": "write",
    "deployments": "write",
}


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A key pair: the file with the private key, and the public one as PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kinds = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    path = tmp_path_factory.mktemp("keys") / "app.pem"
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, *kinds))
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return path, public.decode()


@pytest.fixture
def app(world: World, keys: tuple[Path, str]) -> App:
    """An App with what the pipeline needs, installed on the repository."""
    return world.server.state.app("delivery", keys[1], GRANTS, world.repository)


@pytest.fixture
def credentials(world: World, app: App, keys: tuple[Path, str]) -> Callable[..., AppCredentials]:
    """Make the App's credentials, with anything about them changed."""

    def make(app_id: str = "", key: Path = keys[0], installation: int | None = None) -> AppCredentials:
        return AppCredentials(
            world.server.api_url,
            app_id or str(app.id),
            key,
            repository="acme/shop",
            installation=installation,
            timeout=5,
        )

    return make


Make = Callable[..., AppCredentials]


def test_an_app_comments_under_its_own_name(world: World, credentials: Make) -> None:
    """Its installation is found by the repository, its login by its slug, and its comment again by both."""
    pull, forge = world.pull(), world.forge(credentials())
    forge.publish_comment(pull.number, "diff", "one")
    forge.publish_comment(pull.number, "diff", "two")
    assert [(made.user, made.body[-3:]) for made in world.repository.comments.values()] == [("delivery[bot]", "two")]


def test_an_installation_that_is_named_is_not_looked_up(world: World, app: App, credentials: Make) -> None:
    """One request less, and for an App that may not list its installations."""
    world.connection(credentials(installation=app.installation)).get(HOME)
    assert ("GET", "installation", 200) not in world.requests()


def test_a_token_is_asked_for_once_while_it_is_good(world: World, credentials: Make) -> None:
    """Not for each request, and not for each thread."""
    connection = world.connection(credentials())
    for _ in range(3):
        connection.get(HOME)
    assert sum(path.endswith("access_tokens") for _, path, _ in world.requests()) == 1


def test_a_token_is_renewed_before_it_ends(world: World, credentials: Make) -> None:
    """One that ends in this second is never sent; the next one is kept."""
    ours = credentials()
    world.server.state.token_seconds = 0
    first = ours.token()
    world.server.state.token_seconds = 3600
    assert world.connection(ours).get(HOME)["full_name"] == "acme/shop"
    second = ours.token()
    assert first != second
    assert ours.token() == second
    assert all(status < 400 for _, _, status in world.requests())


def test_a_revoked_token_is_replaced(world: World, credentials: Make) -> None:
    """GitHub ends tokens early when an App's permissions change."""
    connection = world.connection(credentials())
    connection.get(HOME)
    for token in [token for token, of in world.server.state.tokens.items() if of.app]:
        del world.server.state.tokens[token]
    assert connection.get(HOME)["full_name"] == "acme/shop"


def test_a_missing_grant_is_a_refusal_that_says_so(world: World, app: App, credentials: Make) -> None:
    """The operator has to give the App the right."""
    del app.permissions["pull_requests"]
    pull = world.pull()
    with pytest.raises(ForgeRefused, match="403 Resource not accessible by integration"):
        world.forge(credentials()).publish_comment(pull.number, "diff", "one")


@pytest.mark.parametrize("wrong", [{"app_id": "4711"}, {"installation": 4711}])
def test_a_wrong_app_or_installation_is_refused(world: World, credentials: Make, wrong: dict[str, object]) -> None:
    """The answer names what was asked for."""
    with pytest.raises(ForgeRefused, match=r"the App.s token: 40[14]"):
        world.connection(credentials(**wrong)).get(HOME)


def test_github_being_down_while_a_token_is_asked_for_is_unreachable(world: World, credentials: Make) -> None:
    """It is no different from any other request."""
    world.server.faults.add(Fault(Kind.SERVER_ERROR, "POST", "access_tokens", times=9))
    with pytest.raises(ForgeUnreachable):
        world.connection(credentials()).get(HOME)


@pytest.mark.parametrize(
    "content", ["", "no key", "-----BEGIN RSA PRIVATE KEY-----\nMIIBverysecretpart\n-----END RSA PRIVATE KEY-----"]
)
def test_a_bad_key_file_is_a_settings_error_that_quotes_nothing(
    world: World, credentials: Make, tmp_path: Path, content: str
) -> None:
    """The file may hold half a key."""
    path = tmp_path / "bad.pem"
    path.write_text(content)
    with pytest.raises(SettingsError, match=r"bad\.pem") as error:
        world.connection(credentials(key=path)).get(HOME)
    assert "verysecret" not in str(error.value)


def test_a_token_file_is_read_anew(world: World, tmp_path: Path) -> None:
    """Mounted secrets are replaced while the deployer runs."""
    path = tmp_path / "token"
    path.write_text("ghp_outdated\n")
    connection = world.connection(TokenCredentials(path))
    with pytest.raises(ForgeRefused, match="401"):
        connection.get(HOME)
    path.write_text(world.tokens["ann"] + "\n")
    assert connection.get(HOME)["full_name"] == "acme/shop"


def test_a_missing_token_file_is_a_settings_error(world: World, tmp_path: Path) -> None:
    """With its path."""
    with pytest.raises(SettingsError, match=r"cannot read .*missing: FileNotFoundError"):
        world.connection(TokenCredentials(tmp_path / "missing")).get(HOME)


def test_no_token_of_an_app_is_logged(world: World, credentials: Make, caplog: pytest.LogCaptureFixture) -> None:
    """The answer with the new token is a body that PyGithub writes at DEBUG."""
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "github.Requester"):
        forge = world.forge(credentials())
        forge.open_promotions()
    assert all(secret not in caplog.text for secret in forge.secrets())


def test_a_refusal_that_quotes_the_token_is_redacted() -> None:
    """Whatever form the token is quoted in."""
    credentials = TokenCredentials("ghp_averysecrettoken")
    header = credentials.git_header().rpartition(" ")[2]
    shown = credentials.redact(f"no such token ghp_averysecrettoken in {header}")
    assert "ghp_averysecrettoken" not in shown
    assert header not in shown


def _git(world: World, tmp_path: Path, config: tuple[tuple[str, str], ...], *arguments: str) -> GitResult:
    return run_git([*arguments], cwd=tmp_path, timeout=30, config=config)


def test_git_is_let_in_by_the_same_credentials(world: World, credentials: Make, tmp_path: Path) -> None:
    """Reading and pushing over HTTP, by configuration in the environment."""
    config = world.forge(credentials()).git_config()
    listing = _git(world, tmp_path, config, "ls-remote", world.origin.url, "refs/heads/*")
    assert "refs/heads/releases/prod" in listing.text
    _git(world, tmp_path, config, "clone", "-q", world.origin.url, "clone")
    pushed = _git(world, tmp_path / "clone", config, "push", "-q", "origin", "HEAD:refs/heads/new")
    assert (pushed.returncode, "new" in world.origin.heads()) == (0, True)
    assert "ghs_" not in (tmp_path / "clone" / ".git" / "config").read_text()


def test_git_without_credentials_or_rights_stays_out(world: World, tmp_path: Path) -> None:
    """The stand-in asks for them, so that the test above means something."""
    assert _git(world, tmp_path, (), "ls-remote", world.origin.url).returncode != 0
    reader = world.forge(TokenCredentials(world.tokens["eve"])).git_config()
    _git(world, tmp_path, reader, "clone", "-q", world.origin.url, "clone")
    assert _git(world, tmp_path / "clone", reader, "push", "-q", "origin", "HEAD:refs/heads/new").returncode != 0
    assert "new" not in world.origin.heads()


def test_a_redactor_learns_every_form_of_the_token(world: World) -> None:
    """What the forge calls its secrets masks the header that git sends, too."""
    forge, redactor = world.forge(), Redactor(b"key")
    redactor.learn(forge.secrets())
    ((_, header),) = forge.git_config()
    assert header.rpartition(" ")[2] not in redactor.redact(header)
    assert world.tokens["ann"] not in redactor.redact(f"https://x:{world.tokens['ann']}@host")
