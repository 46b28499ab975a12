"""Asking real registries whether images exist, with every kind of login, and never anybody else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy_pipeline.images import Existence, Registries, existence
from deploy_pipeline.images.client import _connections
from deploy_pipeline.settings import Settings
from tests.images.certificates import Identity
from tests.images.registry import PASSWORD, USER, Registry, basic, docker_config, serve
from tests.images.token_server import serve_tokens

ABSENT = f"sha256:{'0' * 64}"


def ask(image: str, registries: str, docker: Path | None = None) -> Existence:
    """What the deployer finds out about one image with these settings."""
    return existence([image], Registries.from_settings(Settings(registries=registries, docker_config=docker)))[image]


def test_an_image_is_there_by_tag_and_by_digest(registry: Registry) -> None:
    """The answer has the digest that the registry gave the image."""
    digest = registry.push("feeds/archiver", "2.1")
    listed = f"http://{registry.host}"
    assert ask(f"{registry.host}/feeds/archiver:2.1", listed) == Existence(digest)
    assert ask(f"{registry.host}/feeds/archiver@{digest}", listed) == Existence(digest)


def test_a_tag_a_digest_and_a_repository_that_are_not_there_are_missing(registry: Registry) -> None:
    """Each of them is told apart from a registry that cannot be asked."""
    registry.push("feeds/web", "1")
    for image in ("feeds/web:2", f"feeds/web:1@{ABSENT}", "feeds/nothing:1"):
        assert ask(f"{registry.host}/{image}", f"http://{registry.host}") == Existence(missing=True)


def test_a_login_by_user_and_password(locked_registry: Registry, tmp_path: Path) -> None:
    """The docker configuration has it; without, or with a wrong one, nobody can tell."""
    digest = locked_registry.push("secret/app", "1")
    image, listed = f"{locked_registry.host}/secret/app:1", f"http://{locked_registry.host}"
    assert ask(image, listed, docker_config(tmp_path / "right", locked_registry.host)) == Existence(digest)
    assert "DEPLOY_DOCKER_CONFIG" in ask(image, listed).unknown
    refused = ask(image, listed, docker_config(tmp_path / "wrong", locked_registry.host, "guess")).unknown
    assert "may not exist (HTTP 401)" in refused
    assert "guess" not in refused


def test_a_login_by_token(tmp_path: Path) -> None:
    """The token is for pulling from that one repository, and is asked for with the deployer's credentials."""
    with serve_tokens(tmp_path) as tokens, serve(tmp_path, tokens.auth) as registry:
        registry.headers["Authorization"] = f"Bearer {tokens.token('team/app', 'push', 'pull')}"
        digest = registry.push("team/app", "1")
        listed = f"http://{registry.host},http://{tokens.host}"
        found = ask(f"{registry.host}/team/app:1", listed, docker_config(tmp_path / "docker", registry.host))
    assert found == Existence(digest)
    assert tokens.asked == [({"service": ["registry"], "scope": ["repository:team/app:pull"]}, basic(USER, PASSWORD))]


def test_a_token_server_that_is_not_listed_gets_nothing(tmp_path: Path) -> None:
    """A registry cannot have the deployer's credentials sent elsewhere."""
    with serve_tokens(tmp_path) as tokens, serve(tmp_path, tokens.auth) as registry:
        docker = docker_config(tmp_path / "docker", registry.host)
        found = ask(f"{registry.host}/team/app:1", f"http://{registry.host}", docker)
    assert f"gets its tokens from http://{tokens.host}, which DEPLOY_REGISTRIES do not name" in found.unknown
    assert tokens.asked == []


def test_only_listed_registries_are_asked(registry: Registry) -> None:
    """A branch that names a host of the deployer's network has it connect to nothing."""
    before = registry.requests()
    for listed in ("", "ghcr.io", "http://127.0.0.1:1", "*.0.0.1"):
        assert "DEPLOY_REGISTRIES do not name" in ask(f"{registry.host}/feeds/archiver:2.1", listed).unknown
    assert registry.requests() == before


def test_a_registry_is_asked_by_tls_with_a_certificate_that_is_trusted(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is not marked ``http://`` never gets a request in the clear, nor one whose certificate nobody knows."""
    assert "does not answer (SSLError)" in ask(f"{registry.host}/feeds/archiver:2.1", registry.host).unknown
    tls = Identity.new().write(tmp_path)
    with serve(tmp_path, tls=tls) as secure:
        image = f"{secure.host}/feeds/archiver:2.1"
        assert "does not answer (SSLError)" in ask(image, secure.host).unknown
        monkeypatch.setenv("SSL_CERT_FILE", str(tls[0]))
        _connections.cache_clear()
        assert ask(image, secure.host) == Existence(missing=True)
    _connections.cache_clear()


@contextmanager
def answering(*answers: tuple[int, dict[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """A host that gives these answers, the last one for ever; gives it and the Authorization of each request."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            status, headers = answers[min(len(seen), len(answers) - 1)]
            seen.append(self.headers.get("Authorization", ""))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}", seen
        finally:
            server.shutdown()
            thread.join()


def test_a_redirect_leads_to_listed_hosts_only(registry: Registry) -> None:
    """A registry cannot send the deployer into its own network; to a listed host it may."""
    digest = registry.push("mirror/app", "1")
    with answering((307, {"Location": f"http://{registry.host}/v2/mirror/app/manifests/1"})) as (host, _):
        assert "sends the deployer on to" in ask(f"{host}/app:1", f"http://{host}").unknown
        assert ask(f"{host}/app:1", f"http://{host},http://{registry.host}") == Existence(digest)


def test_credentials_do_not_follow_a_redirect(tmp_path: Path) -> None:
    """They are for the registry, not for whoever it keeps its content with."""
    with answering((404, {})) as (other, seen_there):
        login = (401, {"WWW-Authenticate": "Basic"})
        with answering(login, (307, {"Location": f"http://{other}/x"})) as (host, seen_here):
            found = ask(f"{host}/app:1", f"http://{host},http://{other}", docker_config(tmp_path / "docker", host))
    assert found == Existence(missing=True)
    assert seen_here == ["", basic(USER, PASSWORD)]
    assert seen_there == [""]


def test_a_redirect_in_a_circle_ends() -> None:
    """After four requests."""
    with answering((302, {"Location": "/v2/again"})) as (host, seen):
        assert "in circles" in ask(f"{host}/app:1", f"http://{host}").unknown
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (500, {}, "answers with HTTP 500"),
        (403, {}, "may not exist (HTTP 403)"),
        (401, {"WWW-Authenticate": 'Bearer realm="https://169.254.169.254/token"'}, "gets its tokens from"),
        (401, {"WWW-Authenticate": 'Bearer realm="file:///etc/passwd"'}, "gets its tokens from"),
        (401, {"WWW-Authenticate": "Negotiate"}, "asks for a login"),
        (401, {}, "asks for a login"),
    ],
)
def test_whatever_else_a_registry_answers_is_no_answer(status: int, headers: dict[str, str], words: str) -> None:
    """It is never taken for missing, nor for being there."""
    with answering((status, headers)) as (host, _):
        assert words in ask(f"{host}/app:1", f"http://{host}").unknown


def test_a_digest_that_is_none_is_not_taken_over() -> None:
    """It would end up in a manifest."""
    with answering((200, {"Docker-Content-Digest": "sha256:abc\tevil"})) as (host, _):
        assert ask(f"{host}/app:1", f"http://{host}") == Existence("")


def test_a_registry_that_does_not_answer_is_asked_once() -> None:
    """Each further image of it costs nothing."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{closed.getsockname()[1]}"
        images = [f"{host}/app:{number}" for number in range(30)]
        found = existence(images, Registries.from_settings(Settings(registries=f"http://{host}")))
    assert {answer.unknown for answer in found.values()} == {f"{host} does not answer (NewConnectionError)"}
