"""Addresses of repositories, and credentials in them."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from deploy_pipeline.errors import RepositoryUnreachable, SettingsError
from deploy_pipeline.repository import Mirror
from deploy_pipeline.repository.git import run_git
from deploy_pipeline.repository.remote import Remote


class _Refusing(BaseHTTPRequestHandler):
    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Note the header, and quote it in a refusal as a talkative server does."""
        header = self.headers.get("Authorization", "")
        self.seen.append(header)
        self.send_response(500, header)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the parent's parameter
        """Quiet."""


@pytest.fixture
def refusing_server() -> Iterator[str]:
    """The host and port of a server that answers 500 and repeats what it was told."""
    _Refusing.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_credentials_reach_the_server_and_nobody_else(refusing_server: str, tmp_path: Path) -> None:
    """The header arrives; neither the shown URL, nor messages, nor the mirror's files hold the token in any form."""
    mirror = Mirror(f"http://bot:s3cr%2Ft@{refusing_server}/x.git", tmp_path / "mirror")
    with pytest.raises(RepositoryUnreachable) as unreachable:
        mirror.remote_heads()
    encoded = base64.b64encode(b"bot:s3cr/t").decode()
    assert f"Basic {encoded}" in _Refusing.seen
    assert mirror.url == f"http://{refusing_server}/x.git"
    for secret in (encoded, "s3cr/t", "s3cr%2Ft"):
        assert secret not in str(unreachable.value)
        assert secret not in repr(mirror._remote)


def test_credentials_of_the_forge_reach_the_server_anew_and_nobody_else(refusing_server: str, tmp_path: Path) -> None:
    """Tokens end: each call brings the one that is good then, and no message shows it."""
    tokens = iter(("first", "second"))
    key = f"http.http://{refusing_server}/.extraHeader"
    mirror = Mirror(
        f"http://{refusing_server}/x.git",
        tmp_path / "mirror",
        access=lambda: ((key, f"Authorization: Basic {next(tokens)}"),),
    )
    for token in ("first", "second"):
        with pytest.raises(RepositoryUnreachable) as unreachable:
            mirror.remote_heads()
        assert f"Basic {token}" in _Refusing.seen
        assert token not in str(unreachable.value)


@pytest.mark.parametrize("url", ["http://bot:s3cret@127.0.0.1:9/x.git", "/srv/x.git"])
def test_the_forge_is_not_asked_where_git_gets_in_otherwise(url: str, tmp_path: Path) -> None:
    """Two headers of one name would be refused, and a path needs none."""

    def ask() -> tuple[tuple[str, str], ...]:
        raise AssertionError("asked")

    with pytest.raises(RepositoryUnreachable):
        Mirror(url, tmp_path / "mirror", access=ask).remote_heads()


def test_user_alone_is_taken_for_a_token() -> None:
    """Forges take a token as the user name, too."""
    remote = Remote.parse("https://ghp_token@forge.example/x.git")
    assert remote.url == "https://forge.example/x.git"
    assert "ghp_token" not in remote.redact("fatal: https://ghp_token@forge.example/x.git")


@pytest.mark.parametrize(
    "url",
    [
        "file:///srv/x.git",
        "https://forge.example/x.git",
        "ssh://git@forge.example:22/x.git",
        "git@forge.example:a/x.git",
    ],
)
def test_ordinary_addresses_are_taken_as_they_are(url: str) -> None:
    """No user info, nothing to move."""
    assert Remote.parse(url).url == url


def test_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git runs elsewhere, where a relative path would lead elsewhere."""
    monkeypatch.chdir(tmp_path)
    assert Remote.parse("x.git").url == str(tmp_path / "x.git")


@pytest.mark.parametrize(
    "url", ["ext::sh -c id", "ext::sh://x", "--upload-pack=id", "ftp://x/y", "git://x/y", "", "fd::7", "http::x://y"]
)
def test_addresses_that_can_run_commands_are_refused(url: str) -> None:
    """Only transports that transport."""
    with pytest.raises(SettingsError):
        Remote.parse(url)


def test_git_gets_no_payload_of_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they come as variables of the environment: its hooks and helpers would inherit them."""
    monkeypatch.setenv("DEPLOY_SECRET_PAYLOAD_TOKEN", "hunter2")
    monkeypatch.setenv("GIT_SSL_NO_VERIFY", "of-the-caller")
    seen = run_git(("-c", "alias.tell=!env", "tell"), cwd=tmp_path, timeout=10).text
    assert "of-the-caller" in seen
    assert "hunter2" not in seen
