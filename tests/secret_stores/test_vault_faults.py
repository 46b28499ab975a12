"""What the Vault store makes of answers that no healthy server gives."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from deploy_pipeline.errors import RetryableError, SecretFault, SecretStoreUnreachable
from deploy_pipeline.secret_stores.vault import VaultPlace, VaultStore
from deploy_pipeline.secret_stores.vault_login import GivenToken
from tests.secret_stores.conftest import Answers, answering, as_json, everything_said

TOKEN = "s.token-of-the-tests"


@pytest.fixture
def server() -> Iterator[Answers]:
    """A server that answers what it is told."""
    with answering() as answers:
        yield answers


def _store(url: str, timeout: float = 30.0) -> VaultStore:
    return VaultStore(VaultPlace(url, timeout=timeout), GivenToken(TOKEN))


@pytest.mark.parametrize("status", [412, 429, 473, 500, 501, 502, 503, 504])
def test_passing_troubles(server: Answers, status: int) -> None:
    """They may be tried again; what the server says of them is not quoted."""
    server.status, server.body = status, as_json({"errors": ["hunter2"]})
    server.headers = {"Content-Type": "application/json"}
    with pytest.raises(SecretStoreUnreachable, match="does not answer") as caught:
        _store(server.url).read("a")
    assert isinstance(caught.value, RetryableError)
    said = everything_said(caught.value)
    assert "hunter2" not in said
    assert TOKEN not in said


@pytest.mark.parametrize("body", [b"", b"<html>hunter2</html>", b"[1]", b'{"data": "hunter2"}', b'{"data": null}'])
def test_answers_that_are_not_vaults(server: Answers, body: bytes) -> None:
    """A proxy's page, another program: nothing of it is taken for a payload."""
    server.body = body
    with pytest.raises(SecretStoreUnreachable, match="does not answer as Vault does") as caught:
        _store(server.url).read("a")
    assert "hunter2" not in everything_said(caught.value)


def test_a_redirect_does_not_get_the_token(server: Answers) -> None:
    """Whoever can redirect a request must not be sent what opens Vault."""
    with answering() as elsewhere:
        server.status, server.headers = 307, {"Location": f"{elsewhere.url}/v1/secret/data/a"}
        with pytest.raises(SecretStoreUnreachable, match="does not answer as Vault does"):
            _store(server.url).read("a")
        assert elsewhere.asked == []


def test_the_token_is_in_a_header_only(server: Answers) -> None:
    """Addresses stand in logs of proxies."""
    server.status, server.body = 400, b"{}"
    with pytest.raises(SecretFault):
        _store(server.url).read("a")
    ((path, headers),) = server.asked
    assert path == "/v1/secret/data/a"
    assert headers["X-Vault-Token"] == TOKEN


def test_a_server_that_is_silent() -> None:
    """A request ends after its time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SecretStoreUnreachable, match="does not answer: ReadTimeout"):
            _store(url, timeout=0.2).read("a")


def test_nobody_there() -> None:
    """A refused connection may be tried again."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(SecretStoreUnreachable, match="does not answer: ConnectionError"):
        _store(url).read("a")


def test_a_certificate_nobody_vouches_for(server: Answers) -> None:
    """TLS is what the address says, and is checked."""
    with pytest.raises(SecretStoreUnreachable, match="SSLError"):
        _store(server.url.replace("http://", "https://")).read("a")
