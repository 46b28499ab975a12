"""Servers that secrets are read from: a real one that speaks Vault's API, and Google's service over gRPC."""

from __future__ import annotations

import json
import platform
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import hvac
import pytest
import requests

from deploy_pipeline.secret_stores.vault import VaultPlace, VaultStore
from deploy_pipeline.secret_stores.vault_login import GivenToken, VaultLogin
from deploy_pipeline.settings import PROJECT_TOOLS

ROOT_TOKEN = "root-of-the-tests"
READER = 'path "secret/data/deploy/*" { capabilities = ["read"] }'


@dataclass(frozen=True)
class Bao:
    """A running OpenBao with its root's client. What the deployer may read lies in ``secret/deploy``."""

    url: str
    root: hvac.Client

    def put(self, name: str, **fields: Any) -> None:
        """Store a new version of a secret."""
        self.root.secrets.kv.v2.create_or_update_secret(f"deploy/{name}", secret=fields)

    def reader(self) -> str:
        """A token that may read and nothing else."""
        return str(self.root.auth.token.create(policies=["reader"], no_default_policy=True)["auth"]["client_token"])

    def store(self, login: VaultLogin | None = None, **place: Any) -> VaultStore:
        """The store of a deployer with that login."""
        chosen: dict[str, Any] = {"url": self.url, "folder": "deploy", "timeout": 30.0, **place}
        return VaultStore(VaultPlace(**chosen), login or GivenToken(self.reader()))


@contextmanager
def running_bao(log: Path, *, certificates: Path | None = None) -> Iterator[Bao]:
    """OpenBao in its development mode: in memory, unsealed, with a key-value engine at ``secret``.

    With a folder for ``certificates`` it speaks TLS, and puts the authority there as ``vault-ca.pem``.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("no package carries OpenBao elsewhere")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = [f"-dev-root-token-id={ROOT_TOKEN}", f"-dev-listen-address={address}", "-dev-no-store-token"]
    options += ["-dev-tls", f"-dev-tls-cert-dir={certificates}"] if certificates else ["-dev"]
    with log.open("wb") as output:
        server = subprocess.Popen([PROJECT_TOOLS / "bao", "server", *options], stdout=output, stderr=output)
    try:
        url = f"https://{address}" if certificates else f"http://{address}"
        authority = str(certificates / "vault-ca.pem") if certificates else True
        _wait(server, url, authority)
        root = hvac.Client(url=url, token=ROOT_TOKEN, verify=authority)
        root.sys.create_or_update_policy("reader", READER)
        yield Bao(url, root)
    finally:
        server.kill()
        server.wait()


def _wait(server: subprocess.Popen[bytes], url: str, authority: str | bool) -> None:
    deadline = time.monotonic() + 30
    while server.poll() is None:
        try:
            if requests.get(f"{url}/v1/sys/health", timeout=1, verify=authority).ok:
                return
        except OSError:  # nobody there yet, or no certificates
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)
    pytest.fail("OpenBao ended by itself: somebody else has its port")


@pytest.fixture(scope="session")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    """One server for all tests, each with secrets of its own."""
    with running_bao(tmp_path_factory.mktemp("bao") / "log") as running:
        yield running


@dataclass
class Answers:
    """A server that gives the answer a test wants, and notes what it was asked."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""


@contextmanager
def answering() -> Iterator[Answers]:
    """The server, on loopback."""
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers.asked.append((self.path, dict(self.headers)))
            self._answer()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def _answer(self) -> None:
            self.send_response(answers.status)
            for name, value in {**answers.headers, "Content-Length": str(len(answers.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answers.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        answers.url = f"http://127.0.0.1:{server.server_address[1]}"
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield answers
        server.shutdown()


def as_json(value: Any) -> bytes:
    """A JSON body."""
    return json.dumps(value).encode()


def everything_said(error: BaseException) -> str:
    """All that an error and those it came from may show: texts, arguments and attributes."""
    said: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        said += [str(seen), repr(seen), str(vars(seen))]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\n".join(said)
