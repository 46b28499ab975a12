"""A server that gives out tokens as the distribution project specifies it, for the real registry that trusts it."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.serialization import Encoding

from tests.images.certificates import Identity

ISSUER, SERVICE = "tests", "registry"


@dataclass
class TokenServer:
    """Gives a token for what is asked, to whoever asks; keeps what it was asked, and with what credentials."""

    directory: Path
    host: str = ""
    asked: list[tuple[dict[str, list[str]], str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._identity = Identity.new()
        self._bundle, _ = self._identity.write(self.directory)

    @property
    def auth(self) -> dict[str, Any]:
        """What the registry's configuration says about it."""
        bundle = str(self._bundle)
        return {
            "token": {
                "realm": f"http://{self.host}/token",
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": bundle,
            }
        }

    def token(self, repository: str, *actions: str) -> str:
        """A token for one repository."""
        now = int(datetime.datetime.now(datetime.timezone.utc).timestamp())
        access = [{"type": "repository", "name": repository, "actions": list(actions)}]
        claims = {
            "iss": ISSUER,
            "aud": SERVICE,
            "sub": "",
            "exp": now + 300,
            "nbf": now - 10,
            "iat": now,
            "access": access,
        }
        chain = [base64.b64encode(self._identity.certificate.public_bytes(Encoding.DER)).decode()]
        return jwt.encode(claims, self._identity.key, algorithm="ES256", headers={"x5c": chain})

    def answer(self, query: dict[str, list[str]], authorization: str) -> bytes:
        """What it answers to a question for a token."""
        self.asked.append((query, authorization))
        _, repository, actions = query["scope"][0].split(":")
        return json.dumps({"token": self.token(repository, *actions.split(","))}).encode()


@contextmanager
def serve_tokens(directory: Path) -> Iterator[TokenServer]:
    """A token server on loopback."""
    tokens = TokenServer(directory)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = tokens.answer(parse_qs(urlsplit(self.path).query), self.headers.get("Authorization", ""))
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        tokens.host = f"127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield tokens
        finally:
            server.shutdown()
            thread.join()
