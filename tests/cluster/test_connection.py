"""What the deployer makes of an API server that answers with something else than the object."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy_pipeline.cluster.connection import Answer, Connection
from deploy_pipeline.cluster.resources import Resources
from deploy_pipeline.errors import ClusterUnreachable, RefusedError
from kubernetes import config

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: c, user: {token: t}}]
contexts: [{name: c, context: {cluster: c, user: c}}]
"""
WORDS = 'failed calling webhook "x":\n connection refused'


@pytest.fixture
def connection(tmp_path: Path) -> Connection:
    """A connection to a server that nobody asks."""
    (tmp_path / "config").write_text(KUBECONFIG)
    return Connection(tmp_path / "config")


@pytest.fixture
def answering(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], Connection]:
    """The connection, whose server gives one answer to everything."""

    def answer(given: Answer) -> Connection:
        monkeypatch.setattr(connection, "_once", lambda *_: given)
        return connection

    return answer


def test_a_broken_server_is_quoted(answering: Callable[[Answer], Connection]) -> None:
    """Which webhook is down is what people need to know."""
    broken = answering(Answer(500, {"reason": "InternalError", "message": WORDS}))
    with pytest.raises(ClusterUnreachable, match='InternalError: failed calling webhook "x": connection refused'):
        broken.send("POST", "/api/v1/namespaces/web/configmaps")


@pytest.mark.parametrize("path", ["/api/v1/namespaces/web/secrets/s", "/api/v1/namespaces/web/secrets"])
def test_a_broken_server_is_not_quoted_about_secrets(path: str, answering: Callable[[Answer], Connection]) -> None:
    """It may quote their values."""
    broken = answering(Answer(500, {"reason": "InternalError", "message": "hunter2 is bad"}))
    with pytest.raises(ClusterUnreachable, match="HTTP 500 InternalError") as raised:
        broken.send("POST", path)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "problem",
    [config.ConfigException("exec: process returned 1"), FileNotFoundError("plugin"), Exception("of some cloud")],
)
def test_no_credentials_is_no_crash(
    problem: Exception, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A credential plugin that fails now may work later, as a server that does not answer."""

    def fail(*_: Any) -> None:
        raise problem

    monkeypatch.setattr(connection._access._client, "update_params_for_auth", fail)
    with pytest.raises(ClusterUnreachable, match="no credentials") as raised:
        connection.get("/version")
    assert str(problem) in raised.value.message


@pytest.mark.parametrize(
    ("status", "error"),
    [(403, RefusedError), (400, ClusterUnreachable), (302, ClusterUnreachable)],
)
def test_a_kind_is_not_absent_because_nobody_says(
    status: int, error: type[Exception], answering: Callable[[Answer], Connection]
) -> None:
    """A refusal read as absence would make live objects look as if they were not there."""
    with pytest.raises(error, match="apps/v1"):
        Resources(answering(Answer(status, {}))).find("apps/v1", "Deployment")


def test_a_kind_that_is_not_found_is_absent(answering: Callable[[Answer], Connection]) -> None:
    """Only 404 says so."""
    assert Resources(answering(Answer(404, {}))).find("apps/v1", "Deployment") is None
