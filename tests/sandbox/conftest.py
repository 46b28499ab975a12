"""A sandbox cluster for each test, a client that speaks plain HTTP, and the real kubectl and helm."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy_pipeline.sandbox import SandboxCluster

TOOLS = Path(__file__).parents[2] / ".tools" / "bin"
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Reply:
    """One answer of the API."""

    code: int
    body: Any


class Client:
    """Sends requests over one connection, as a program that knows no client library would."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)

    def send(self, method: str, path: str, body: Any = None, media: str = "application/json") -> Reply:
        """One request."""
        headers = {"Content-Type": media, "User-Agent": "tests/1"}
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        reply = self._connection.getresponse()
        text = reply.read()
        is_json = "json" in (reply.getheader("Content-Type") or "")
        return Reply(reply.status, json.loads(text) if is_json else text.decode())

    def get(self, path: str) -> Any:
        """The body of a GET that has to succeed."""
        reply = self.send("GET", path)
        assert reply.code == 200, reply
        return reply.body

    def apply(self, path: str, body: Any, query: str = "") -> Reply:
        """Server-side apply by the manager `tests`."""
        return self.send("PATCH", f"{path}?fieldManager=tests{query}", body, APPLY)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SandboxCluster]:
    """A fresh cluster whose pods get ready almost at once."""
    with SandboxCluster(tmp_path / "state", rollout_seconds=0.05) as running:
        yield running


@pytest.fixture
def client(cluster: SandboxCluster) -> Iterator[Client]:
    """A client of the fresh cluster."""
    made = Client(cluster.url)
    yield made
    made.close()


def tool(name: str) -> str:
    """The project's own kubectl or helm, else the one on PATH."""
    found = shutil.which(name, path=f"{TOOLS}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture
def shell(cluster: SandboxCluster, tmp_path: Path) -> Any:
    """Runs kubectl or helm against the fresh cluster."""
    config = tmp_path / "kubeconfig"
    cluster.write_kubeconfig(config)
    environment = {**os.environ, "KUBECONFIG": str(config), "HOME": str(tmp_path)}

    def run(*command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        full = [tool(command[0]), *command[1:]]
        return subprocess.run(
            full, env=environment, input=stdin, capture_output=True, text=True, timeout=60, check=False
        )

    return run
